# SPDX-License-Identifier: Apache-2.0
"""Resamples pictures in mm: area averaging on the way down, bilinear on the way up, and the map back."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.domain.image import Affine, Box


def resample_box(
    pixels: NDArray[Any], box: Box, *, shape: tuple[int, int], fill: float = 0.0
) -> tuple[NDArray[np.float32], Affine]:
    """Map the box (x0, y0, x1, y1) of a picture onto an array of the given (rows, columns).

    The box may reach beyond the picture; what lies outside is `fill`.

    Returns
    -------
    tuple
        float32 array of `shape`, and the map from its (x, y) to the given picture's.
    """
    rows, columns = shape
    x0, y0, x1, y1 = box
    back = Affine(a=(x1 - x0) / columns, c=x0, e=(y1 - y0) / rows, f=y0)
    part, (left, top) = _cut(pixels, box, fill=fill)
    picture = Image.fromarray(np.ascontiguousarray(part, dtype=np.float32))
    finer = back.a < 1 or back.e < 1
    method = Image.Resampling.BILINEAR if finer else Image.Resampling.BOX
    inside = (x0 - left, y0 - top, x1 - left, y1 - top)
    return np.asarray(picture.resize((columns, rows), method, box=inside), dtype=np.float32).copy(), back


def resample_mm(
    pixels: NDArray[Any], spacing_mm: tuple[float, float], *, target_mm: float
) -> tuple[NDArray[np.float32], Affine]:
    """Bring a picture of (row, column) spacing to square pixels of exactly `target_mm`.

    What is left over when the size is no multiple of the target is cut off equally on both sides (less than one target
    pixel in all).
    """
    height, width = pixels.shape[0] * spacing_mm[0], pixels.shape[1] * spacing_mm[1]
    rows, columns = _whole(height / target_mm), _whole(width / target_mm)
    half_x, half_y = columns * target_mm / spacing_mm[1] / 2, rows * target_mm / spacing_mm[0] / 2
    middle_x, middle_y = pixels.shape[1] / 2, pixels.shape[0] / 2
    box = (middle_x - half_x, middle_y - half_y, middle_x + half_x, middle_y + half_y)
    return resample_box(pixels, box, shape=(rows, columns))


def letter_box(
    pixels: NDArray[Any],
    shape: tuple[int, int],
    *,
    spacing_mm: tuple[float, float] = (1.0, 1.0),
    fill: float = 0.0,
) -> tuple[NDArray[np.float32], Affine]:
    """Fit the whole picture, centred and undistorted, into (rows, columns)."""
    rows, columns = shape
    pixel_mm = max(pixels.shape[0] * spacing_mm[0] / rows, pixels.shape[1] * spacing_mm[1] / columns)
    half_x, half_y = columns * pixel_mm / spacing_mm[1] / 2, rows * pixel_mm / spacing_mm[0] / 2
    middle_x, middle_y = pixels.shape[1] / 2, pixels.shape[0] / 2
    box = (middle_x - half_x, middle_y - half_y, middle_x + half_x, middle_y + half_y)
    return resample_box(pixels, box, shape=shape, fill=fill)


def back_to(
    pixels: NDArray[Any], to_target: Affine, *, shape: tuple[int, int], fill: float = 0.0
) -> NDArray[np.float32]:
    """Draw a resampled picture (a mask, a map) on the grid of (rows, columns) that `to_target` maps it to.

    `to_target` is a map of resample_box, resample_mm or letter_box: scale and shift, no turn.
    """
    box = to_target.inverse().box((0, 0, shape[1], shape[0]))
    return resample_box(pixels, box, shape=shape, fill=fill)[0]


def _whole(size: float) -> int:
    return max(1, math.floor(size + 1e-6))


def _cut(pixels: NDArray[Any], box: Box, *, fill: float) -> tuple[NDArray[Any], tuple[int, int]]:
    """Return the whole pixels that cover the box, padded where it leaves the picture, and their top-left corner."""
    left, top = math.floor(box[0] + 1e-9), math.floor(box[1] + 1e-9)
    right, bottom = max(math.ceil(box[2] - 1e-9), left + 1), max(math.ceil(box[3] - 1e-9), top + 1)
    rows, columns = pixels.shape
    part = pixels[_clamp(top, rows) : _clamp(bottom, rows), _clamp(left, columns) : _clamp(right, columns)]
    above, before = _clamp(-top, bottom - top), _clamp(-left, right - left)
    below, after = bottom - top - above - part.shape[0], right - left - before - part.shape[1]
    if above or below or before or after:
        part = np.pad(part.astype(np.float32), ((above, below), (before, after)), constant_values=fill)
    return part, (left, top)


def _clamp(value: int, limit: int) -> int:
    return min(max(value, 0), limit)
