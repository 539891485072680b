# SPDX-License-Identifier: Apache-2.0
"""The breast at a finer spacing than the detector's, for graphs that look at calcifications or closer at a mark."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service.domain.image import Affine, Point, Radiograph
from service.imaging.masks import bounding_box
from service.imaging.orientation import mirror
from service.imaging.resample import nearest_on, resample_mm
from service.pipelines.mammography.anatomy import BreastPicture
from service.pipelines.mammography.canvas import place

Grey = TypeVar("Grey", bound=np.floating)
MULTIPLE = 16
"""Rows and columns of the fine picture are whole multiples of this, which the graphs divide them by."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class FineView:
    """`tensor` is float32 (2, rows, columns), grey and breast mask, just large enough for the breast.

    Grey is normalised as the detector's canvas is; `to_radiograph` maps its pixels to the radiograph's.
    """

    tensor: NDArray[np.float32]
    to_radiograph: Affine

    def patch(self, centre: Point, *, size: int) -> NDArray[np.float32]:
        """Return the grey (size, size) around a point; what lies outside the breast's box is 0."""
        return patch_around(self.tensor[0], centre, size=size)


def patch_around(grey: NDArray[Grey], centre: Point, *, size: int) -> NDArray[Grey]:
    """Return the square of `size` pixels around a point of a picture, 0 beyond its edges."""
    left, top = (round(part - size / 2) for part in centre)
    found = np.zeros((size, size), dtype=grey.dtype)
    y0, y1, x0, x1 = max(top, 0), min(top + size, grey.shape[0]), max(left, 0), min(left + size, grey.shape[1])
    if y0 < y1 and x0 < x1:
        found[y0 - top : y1 - top, x0 - left : x1 - left] = grey[y0:y1, x0:x1]
    return found


def fine_view(
    radiograph: Radiograph,
    breast: BreastPicture,
    *,
    spacing_mm: float,
    percentiles: tuple[float, float] = (1.0, 99.0),
) -> FineView:
    """Return the breast of a radiograph at `spacing_mm`; its mask is the one that was found at the detector's spacing.

    Raises
    ------
    ValueError
        The radiograph has no pixel spacing, or no pixel of the mask lies on it; `find_breast` refuses both before.
    """
    if radiograph.pixel_spacing_mm is None:
        raise ValueError("the radiograph has no pixel spacing; refuse the view before looking closer")
    grey, back = resample_mm(radiograph.pixels, radiograph.pixel_spacing_mm, target_mm=spacing_mm)
    if breast.mirrored:
        grey, unmirror = mirror(grey)
        back = unmirror.then(back)
    shape = (grey.shape[0], grey.shape[1])
    mask = nearest_on(breast.mask, breast.to_radiograph.then(back.inverse()), shape=shape)
    box = bounding_box(mask)
    if box is None:
        raise ValueError("the breast mask is empty; refuse the view before looking closer")
    rows, columns = (_whole(round(size)) for size in (box[3] - box[1], box[2] - box[0]))
    canvas = place(np.ascontiguousarray(grey), mask, shape=(rows, columns), percentiles=percentiles)
    return FineView(tensor=canvas.tensor, to_radiograph=canvas.to_picture.then(back))


def _whole(size: int) -> int:
    """Return the next whole multiple."""
    return -(-size // MULTIPLE) * MULTIPLE
