# SPDX-License-Identifier: Apache-2.0
"""Neutral results become DICOM objects that every viewer shows and every validator accepts."""

from collections.abc import Mapping
from types import MappingProxyType

from service.ports import ResultEncoder, ResultKind
from service.results.overlay.parametric_map import encode_parametric_maps
from service.results.overlay.presentation_state import encode_presentation_states
from service.results.overlay.segmentation import encode_segmentations
from service.results.page.encapsulated_pdf import encode_pdf
from service.results.picture.heatmap_sc import encode_heatmaps
from service.results.report.chest_cad import encode_chest_cad
from service.results.report.key_objects import encode_key_objects
from service.results.report.mammography_cad import encode_mammography_cad
from service.results.report.sr_forms import encode_sr
from service.results.report.sr_text import encode_text

ENCODERS: Mapping[ResultKind, ResultEncoder] = MappingProxyType(
    {
        ResultKind.SR: encode_sr,
        ResultKind.HEATMAP: encode_heatmaps,
        ResultKind.MAMMOGRAPHY_CAD: encode_mammography_cad,
        ResultKind.CHEST_CAD: encode_chest_cad,
        ResultKind.TEXT: encode_text,
        ResultKind.PDF: encode_pdf,
        ResultKind.PRESENTATION_STATE: encode_presentation_states,
        ResultKind.SEGMENTATION: encode_segmentations,
        ResultKind.PARAMETRIC_MAP: encode_parametric_maps,
        ResultKind.KEY_OBJECTS: encode_key_objects,
    }
)
"""The encoder of each kind of object that config.yaml can name."""
