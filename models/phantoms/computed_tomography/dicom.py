# SPDX-License-Identifier: Apache-2.0
"""Writes a chest phantom as a series of CT files (PS3.3 A.3), so that the whole node can be driven with it."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pydicom.dataset import FileDataset
from pydicom.uid import CTImageStorage

from models.phantoms.axial import CHEST, Geometry, set_axial_picture
from models.phantoms.computed_tomography.chest import ChestPhantom, Slice
from models.phantoms.dicom import PhantomStudy, new_image, save


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
    written: Callable[[], object] = lambda: None,
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
    written
        Called after each file, for whoever shows progress.
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
        written()
    return tuple(paths)


def _set_slice(dataset: FileDataset, phantom: ChestPhantom, section: Slice, *, thickness_mm: float) -> None:
    geometry = Geometry(z_mm=section.z_mm, pixel_mm=phantom.pixel_mm, thickness_mm=thickness_mm)
    set_axial_picture(dataset, section.hounsfield, geometry, CHEST)
