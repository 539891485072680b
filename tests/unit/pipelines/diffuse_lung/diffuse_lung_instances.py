# SPDX-License-Identifier: Apache-2.0
"""CT instances as the ledger knows them, for tests of what reads headers alone."""

from pathlib import Path
from typing import Any

from service.domain.instance import Instance

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"

HEADER: dict[str, Any] = {
    "Modality": "CT",
    "ImageType": ("ORIGINAL", "PRIMARY", "AXIAL"),
    "SeriesNumber": 2,
    "SliceThickness": 1.0,
    "PixelSpacing": (0.7, 0.7),
    "Rows": 512,
    "Columns": 512,
    "RescaleType": "HU",
    "ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "ConvolutionKernel": "LUNG",
    "BodyPartExamined": "CHEST",
    "PatientPosition": "HFS",
    "GantryDetectorTilt": 0.0,
}


def ct_slice(number: int, *, z_mm: float, series: str = "2", sop_class_uid: str = CT, **changes: Any) -> Instance:
    """One slice; a change to None removes the attribute."""
    attributes = {**HEADER, "ImagePositionPatient": (-179.0, -179.0, z_mm), **changes}
    return Instance(
        sop_instance_uid=f"1.{series}.{number}",
        sop_class_uid=sop_class_uid,
        study_instance_uid="1.9",
        series_instance_uid=f"1.{series}",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=Path(f"{number}.dcm"),
        sha256="0" * 64,
        size_bytes=1,
        attributes={key: value for key, value in attributes.items() if value is not None},
    )


def ct_series(count: int = 20, *, spacing_mm: float = 1.0, series: str = "2", **changes: Any) -> list[Instance]:
    """A gap-free stack, from the feet upwards."""
    return [ct_slice(number, z_mm=number * spacing_mm, series=series, **changes) for number in range(count)]
