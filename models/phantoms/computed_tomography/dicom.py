# SPDX-License-Identifier: Apache-2.0
"""Writes a chest phantom as a series of CT files (PS3.3 A.3), so that the whole node can be driven with it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import FileDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage

from models.phantoms.computed_tomography.chest import ChestPhantom, Slice
from models.phantoms.dicom import PhantomStudy, coded, new_image, save, set_pixels

_TABLE_HEIGHT_MM = 160.0


def write_ct_series(
    folder: Path,
    phantom: ChestPhantom,
    *,
    study: PhantomStudy,
    series: str = "Chest HRCT",
    series_number: int = 2,
    thickness_mm: float = 1.0,
    indices: Iterable[int] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> tuple[Path, ...]:
    """Write one CT file for each slice, apex first, and return their paths in that order.

    Parameters
    ----------
    series
        Names the series within the study; another name, another series.
    indices
        Slices to write; all when None. Leave some out to make an incomplete series.
    changes
        Keyword to value, applied to every file (None deletes), for the odd variants of tests.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = range(phantom.slices) if indices is None else indices
    paths = []
    for index in chosen:
        dataset = new_image(
            study, CTImageStorage, modality="CT", series=series, instance=index + 1, series_number=series_number
        )
        _set_slice(dataset, phantom, phantom.slice(index), thickness_mm=thickness_mm)
        dataset.FrameOfReferenceUID = study.uid("frame of reference")
        name = f"{series.lower().replace(' ', '-')}-{index + 1:04d}.dcm"
        paths.append(save(dataset, folder / name, changes=changes))
    return tuple(paths)


def _set_slice(dataset: FileDataset, phantom: ChestPhantom, section: Slice, *, thickness_mm: float) -> None:
    stored = (section.hounsfield + 1024).astype(np.uint16)
    set_pixels(dataset, stored, bits_stored=12, photometric="MONOCHROME2")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = -1024, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = -600, 1500
    corner = -(phantom.matrix - 1) / 2 * phantom.pixel_mm
    dataset.ImagePositionPatient = [round(corner, 3), round(corner, 3), round(section.z_mm, 3)]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [phantom.pixel_mm, phantom.pixel_mm]
    dataset.SliceThickness = thickness_mm
    dataset.SliceLocation = round(section.z_mm, 3)
    dataset.PositionReferenceIndicator = ""
    _set_acquisition(dataset, phantom)


def _set_acquisition(dataset: FileDataset, phantom: ChestPhantom) -> None:
    dataset.AcquisitionNumber = 1
    dataset.BodyPartExamined = "CHEST"
    dataset.AnatomicRegionSequence = Sequence([coded("51185008", "SCT", "Chest")])
    dataset.PatientPosition = "HFS"
    dataset.KVP = 120
    dataset.ConvolutionKernel = "PHANTOM-LUNG"
    dataset.GantryDetectorTilt = 0
    dataset.TableHeight = _TABLE_HEIGHT_MM
    dataset.RotationDirection = "CW"
    dataset.ReconstructionDiameter = phantom.matrix * phantom.pixel_mm
