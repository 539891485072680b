# SPDX-License-Identifier: Apache-2.0
"""Writes a lesion phantom: as a CT series that any viewer opens, and as voxels with their mask for training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.uid import CTImageStorage

from models.phantoms.axial import ABDOMEN, CHEST, HEAD, Geometry, set_axial_picture
from models.phantoms.dicom import PhantomStudy, new_image, save
from models.phantoms.lesion.draw import DrawnLesion

_PROTOCOLS = {"nodule": CHEST, "liver": ABDOMEN, "brain": HEAD}


def write_lesion_series(
    folder: Path,
    drawn: DrawnLesion,
    *,
    study: PhantomStudy,
    series: str = "Lesion VOI",
    written: Callable[[], object] = lambda: None,
) -> tuple[Path, ...]:
    """Write one CT file for each plane of the cube, the highest first; `written` is called after each."""
    phantom = drawn.phantom
    paths = []
    for index, plane in enumerate(drawn.hounsfield[::-1]):
        dataset = new_image(study, CTImageStorage, modality="CT", series=series, instance=index + 1, series_number=2)
        height = (phantom.matrix / 2 - index - 0.5) * phantom.voxel_mm
        geometry = Geometry(z_mm=height, pixel_mm=phantom.voxel_mm, thickness_mm=phantom.voxel_mm)
        set_axial_picture(dataset, plane, geometry, _PROTOCOLS[phantom.kind])
        dataset.FrameOfReferenceUID = study.uid("frame of reference")
        paths.append(save(dataset, folder / f"lesion-voi-{index + 1:04d}.dcm"))
        written()
    return tuple(paths)


def write_lesion_pair(path: Path, drawn: DrawnLesion) -> Path:
    """Write what training needs as a compressed npz: the same lesion, the same bytes.

    `hounsfield` int16 and `mask` uint8, both (z, y, x); `voxel_mm`, `diameter_mm`, `contrast_hu` float64;
    `centre` the lesion's centre in voxels (z, y, x), which with the diameter is the weak label of report 004.
    """
    phantom = drawn.phantom
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        hounsfield=drawn.hounsfield.astype(np.int16),
        mask=drawn.mask.astype(np.uint8),
        voxel_mm=np.float64(phantom.voxel_mm),
        diameter_mm=np.float64(phantom.diameter_mm),
        contrast_hu=np.float64(phantom.contrast_hu),
        centre=np.full(3, (phantom.matrix - 1) / 2),
        kind=np.array(phantom.kind),
    )
    return path
