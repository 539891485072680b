# SPDX-License-Identifier: Apache-2.0
"""Writes a head phantom as a series of CT files."""

from collections.abc import Callable
from pathlib import Path

from pydicom.uid import CTImageStorage

from models.phantoms.axial import HEAD, Geometry, set_axial_picture
from models.phantoms.dicom import PhantomStudy, new_image, save
from models.phantoms.head.phantom import HeadPhantom


def write_head_series(
    folder: Path,
    phantom: HeadPhantom,
    *,
    study: PhantomStudy,
    series: str = "Head CT",
    series_number: int = 2,
    written: Callable[[], object] = lambda: None,
) -> tuple[Path, ...]:
    """Write one CT file for each slice, vertex first; `written` is called after each."""
    paths = []
    for index, section in enumerate(phantom):
        dataset = new_image(
            study, CTImageStorage, modality="CT", series=series, instance=index + 1, series_number=series_number
        )
        geometry = Geometry(z_mm=section.z_mm, pixel_mm=phantom.pixel_mm, thickness_mm=phantom.thickness_mm)
        set_axial_picture(dataset, section.hounsfield, geometry, HEAD)
        dataset.FrameOfReferenceUID = study.uid("frame of reference")
        paths.append(save(dataset, folder / f"{series.lower().replace(' ', '-')}-{index + 1:04d}.dcm"))
        written()
    return tuple(paths)
