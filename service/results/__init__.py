# SPDX-License-Identifier: Apache-2.0
"""Neutral results become DICOM objects that every viewer shows and every validator accepts."""

from collections.abc import Mapping
from types import MappingProxyType

from service.ports import ResultEncoder, ResultKind
from service.results.heatmap_sc import encode_heatmaps
from service.results.key_objects import encode_key_objects
from service.results.parametric_map import encode_parametric_maps
from service.results.presentation_state import encode_presentation_states
from service.results.segmentation import encode_segmentations
from service.results.sr1500 import encode_sr

ENCODERS: Mapping[ResultKind, ResultEncoder] = MappingProxyType(
    {
        ResultKind.SR: encode_sr,
        ResultKind.HEATMAP: encode_heatmaps,
        ResultKind.PRESENTATION_STATE: encode_presentation_states,
        ResultKind.SEGMENTATION: encode_segmentations,
        ResultKind.PARAMETRIC_MAP: encode_parametric_maps,
        ResultKind.KEY_OBJECTS: encode_key_objects,
    }
)
"""The encoder of each kind of object that config.yaml can name."""
