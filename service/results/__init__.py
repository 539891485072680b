# SPDX-License-Identifier: Apache-2.0
"""Neutral results become DICOM objects that every viewer shows and every validator accepts."""

from collections.abc import Mapping
from types import MappingProxyType

from service.ports import ResultEncoder, ResultKind
from service.results.encapsulated_pdf import encode_pdf
from service.results.heatmap_sc import encode_heatmaps
from service.results.sr_forms import encode_sr
from service.results.sr_text import encode_text

ENCODERS: Mapping[ResultKind, ResultEncoder] = MappingProxyType(
    {
        ResultKind.SR: encode_sr,
        ResultKind.HEATMAP: encode_heatmaps,
        ResultKind.TEXT: encode_text,
        ResultKind.PDF: encode_pdf,
    }
)
"""The encoder of each kind of object that config.yaml can name."""
