# SPDX-License-Identifier: Apache-2.0
"""Neutral results become DICOM objects that every viewer shows and every validator accepts."""

from collections.abc import Mapping
from types import MappingProxyType

from service.ports import ResultEncoder, ResultKind
from service.results.chest_cad import encode_chest_cad
from service.results.encapsulated_pdf import encode_pdf
from service.results.heatmap_sc import encode_heatmaps
from service.results.mammography_cad import encode_mammography_cad
from service.results.sr_forms import encode_sr
from service.results.sr_text import encode_text

ENCODERS: Mapping[ResultKind, ResultEncoder] = MappingProxyType(
    {
        ResultKind.SR: encode_sr,
        ResultKind.HEATMAP: encode_heatmaps,
        ResultKind.MAMMOGRAPHY_CAD: encode_mammography_cad,
        ResultKind.CHEST_CAD: encode_chest_cad,
        ResultKind.TEXT: encode_text,
        ResultKind.PDF: encode_pdf,
    }
)
"""The encoder of each kind of object that config.yaml can name."""
