# SPDX-License-Identifier: Apache-2.0
"""Pictures turned and mirrored, with header data that say so, or that do not."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from models.phantoms.variants.stored import Edit, put, values_of

Turn = Callable[[NDArray[np.int64]], NDArray[np.int64]]
_OPPOSITE = str.maketrans("LRAPHF", "RLPAFH")


def mirrored(image: Dataset) -> None:
    """Store the picture mirrored left to right, Patient Orientation to match."""
    row, column = image.PatientOrientation
    put(image, values_of(image)[:, ::-1])
    image.PatientOrientation = [str(row).translate(_OPPOSITE), column]


def quarter_turn(image: Dataset) -> None:
    """Store the picture turned by 90 degrees, Patient Orientation to match."""
    row, column = image.PatientOrientation
    put(image, np.rot90(values_of(image)))
    image.PatientOrientation = [column, str(row).translate(_OPPOSITE)]


def half_turn(image: Dataset) -> None:
    """Store the picture upside down, Patient Orientation to match."""
    quarter_turn(image)
    quarter_turn(image)


def untold(edit: Edit) -> Edit:
    """Return the edit of the pixels alone: Patient Orientation stays what it was, and is wrong."""

    def change(image: Dataset) -> None:
        before = list(image.PatientOrientation)
        edit(image)
        image.PatientOrientation = before

    return change


def axial_half_turn(image: Dataset) -> None:
    """Store an axial slice turned by 180 degrees, as for a prone patient; it stays at its place in the patient."""
    spacing = float(image.PixelSpacing[0])
    x, y, z = (float(value) for value in image.ImagePositionPatient)
    put(image, values_of(image)[::-1, ::-1])
    reach = [(int(size) - 1) * spacing for size in (image.Columns, image.Rows)]
    image.ImagePositionPatient = [round(x + reach[0], 3), round(y + reach[1], 3), z]
    image.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]


def axial_mirrored(image: Dataset) -> None:
    """Store an axial slice mirrored, as seen from the head; it stays at its place in the patient."""
    spacing = float(image.PixelSpacing[0])
    x, y, z = (float(value) for value in image.ImagePositionPatient)
    put(image, values_of(image)[:, ::-1])
    image.ImagePositionPatient = [round(x + (int(image.Columns) - 1) * spacing, 3), y, z]
    image.ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
