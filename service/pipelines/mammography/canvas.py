# SPDX-License-Identifier: Apache-2.0
"""The network's view of a breast: a fixed canvas, chest wall on the left, normalised inside the breast."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.image import Affine
from service.imaging.masks import bounding_box
from service.imaging.normalise import normalise_in_mask


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Canvas:
    """The network's input.

    `tensor` is float32 (2, rows, columns): grey scaled to 0..1 by the percentiles inside the breast and 0 outside it,
    and the breast mask. `to_picture` maps canvas pixels to the picture's. `cropped` says that part of the breast lies
    outside.
    """

    tensor: NDArray[np.float32]
    to_picture: Affine
    cropped: bool


def place(
    grey: NDArray[np.float32],
    mask: NDArray[np.bool_],
    *,
    shape: tuple[int, int],
    percentiles: tuple[float, float] = (1.0, 99.0),
) -> Canvas:
    """Put a breast on the canvas: its chest-wall side on the first column, its middle row on the middle row.

    Parameters
    ----------
    grey, mask
        (rows, columns), high is dense, chest wall on the left, at the network's pixel spacing; the mask is not empty.
    """
    box = bounding_box(mask)
    if box is None:
        raise ValueError("the breast mask is empty; refuse the view before placing it")
    left, top = box[0], (box[1] + box[3] - shape[0]) // 2
    scaled = np.where(mask, normalise_in_mask(grey, mask, percentiles=percentiles), np.float32(0))
    tensor = np.stack([_moved(plane, shape, left=left, top=top) for plane in (scaled, mask.astype(np.float32))])
    cropped = bool(np.count_nonzero(tensor[1]) < np.count_nonzero(mask))
    return Canvas(tensor=tensor, to_picture=Affine(c=left, f=top), cropped=cropped)


def unplace(canvas_map: NDArray[np.float32], canvas: Canvas, *, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Bring a map on the canvas back onto the picture of the given shape; 0 where the canvas does not reach."""
    left, top = round(canvas.to_picture.c), round(canvas.to_picture.f)
    return _moved(canvas_map, shape, left=-left, top=-top)


def _moved(plane: NDArray[np.float32], shape: tuple[int, int], *, left: int, top: int) -> NDArray[np.float32]:
    """Cut the window of `shape` whose corner is (left, top) out of a plane that is 0 beyond its edges."""
    window = np.zeros(shape, dtype=np.float32)
    rows, columns = (
        _overlap(size, length, start) for size, length, start in zip(plane.shape, shape, (top, left), strict=True)
    )
    window[rows[1], columns[1]] = plane[rows[0], columns[0]]
    return window


def _overlap(size: int, length: int, start: int) -> tuple[slice, slice]:
    first, last = max(start, 0), max(min(start + length, size), start, 0)
    return slice(first, last), slice(first - start, last - start)
