# SPDX-License-Identifier: Apache-2.0
"""What makes an axial picture in Hounsfield units a CT image (PS3.3 A.3), whatever part of the body it shows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.sequence import Sequence

from models.phantoms.dicom import coded, set_pixels

_TABLE_HEIGHT_MM = 160.0
INTERCEPT = -1024
"""Rescale Intercept: stored 0 is -1024 HU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """How a scanner was set: body part with its SNOMED CT code, kernel, and windows as (centre, width, name)."""

    body_part: str
    region: tuple[str, str]
    kernel: str
    windows: tuple[tuple[int, int, str], ...]


CHEST = Protocol(
    body_part="CHEST", region=("51185008", "Chest"), kernel="PHANTOM-LUNG", windows=((-600, 1500, "LUNG"),)
)
HEAD = Protocol(
    body_part="HEAD",
    region=("69536005", "Head"),
    kernel="PHANTOM-BRAIN",
    windows=((40, 80, "BRAIN"), (600, 2800, "BONE")),
)
ABDOMEN = Protocol(
    body_part="ABDOMEN", region=("818981001", "Abdomen"), kernel="PHANTOM-SOFT", windows=((60, 350, "ABDOMEN"),)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Where a picture lies: height of its plane, pixel side and slice thickness, all in mm; centred on x = y = 0."""

    z_mm: float
    pixel_mm: float
    thickness_mm: float


def set_axial_picture(
    dataset: FileDataset, hounsfield: NDArray[np.floating], geometry: Geometry, protocol: Protocol
) -> None:
    """Put Hounsfield units of (rows, columns), rows to the back and columns to the left, into a CT image's modules."""
    rows, columns = hounsfield.shape
    set_pixels(dataset, (hounsfield - INTERCEPT).astype(np.uint16), bits_stored=12, photometric="MONOCHROME2")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = INTERCEPT, 1, "HU"
    corner = [round(-(size - 1) / 2 * geometry.pixel_mm, 3) for size in (columns, rows)]
    dataset.ImagePositionPatient = [*corner, round(geometry.z_mm, 3)]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [geometry.pixel_mm, geometry.pixel_mm]
    dataset.SliceThickness = geometry.thickness_mm
    dataset.SliceLocation = round(geometry.z_mm, 3)
    dataset.PositionReferenceIndicator = ""
    dataset.ReconstructionDiameter = round(columns * geometry.pixel_mm, 3)
    _set_acquisition(dataset, protocol)


def _set_acquisition(dataset: FileDataset, protocol: Protocol) -> None:
    dataset.AcquisitionNumber = 1
    dataset.BodyPartExamined = protocol.body_part
    code, meaning = protocol.region
    dataset.AnatomicRegionSequence = Sequence([coded(code, "SCT", meaning)])
    dataset.PatientPosition = "HFS"
    dataset.KVP = 120
    dataset.ConvolutionKernel = protocol.kernel
    dataset.GantryDetectorTilt = 0
    dataset.TableHeight = _TABLE_HEIGHT_MM
    dataset.RotationDirection = "CW"
    centres, widths, names = zip(*protocol.windows, strict=True)
    single = len(names) == 1
    dataset.WindowCenter, dataset.WindowWidth = (centres[0], widths[0]) if single else (list(centres), list(widths))
    if not single:
        dataset.WindowCenterWidthExplanation = list(names)
