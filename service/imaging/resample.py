# SPDX-License-Identifier: Apache-2.0
"""Resamples pictures in mm: area averaging on the way down, bilinear on the way up, and the map back.

Averages weigh a source pixel by the exact share that lies inside the target pixel; the box filters of common libraries
take whole pixels or none, which at ratios near 1 amounts to picking the nearest.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

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
    by_row, row_cover = _weights(y0, y1, size=pixels.shape[0], count=rows)
    by_column, column_cover = _weights(x0, x1, size=pixels.shape[1], count=columns)
    picture = np.ascontiguousarray(pixels, dtype=np.float32)
    resampled = (by_column @ (by_row @ picture).T).T
    if fill:
        resampled += np.float32(fill) * (1 - row_cover[:, None] * column_cover)
    return np.ascontiguousarray(resampled, dtype=np.float32), back


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


def nearest_on(labels: NDArray[Any], to_target: Affine, *, shape: tuple[int, int]) -> NDArray[Any]:
    """Draw labels on the grid of (rows, columns) that `to_target` maps theirs to: each pixel the one under its centre.

    `to_target` may scale, shift and mirror, but not turn; beyond the labels is 0.
    """
    back = to_target.inverse()
    rows = np.floor(back.e * (np.arange(shape[0]) + 0.5) + back.f).astype(np.intp)
    columns = np.floor(back.a * (np.arange(shape[1]) + 0.5) + back.c).astype(np.intp)
    within_rows, within_columns = (
        ((rows >= 0) & (rows < labels.shape[0])),
        ((columns >= 0) & (columns < labels.shape[1])),
    )
    drawn = np.zeros(shape, dtype=labels.dtype)
    drawn[np.ix_(within_rows, within_columns)] = labels[rows[within_rows]][:, columns[within_columns]]
    return drawn


def _whole(size: float) -> int:
    return max(1, math.floor(size + 1e-6))


def _weights(start: float, stop: float, *, size: int, count: int) -> tuple[sparse.csr_array, NDArray[np.float32]]:
    """Return the (count, size) weights of one axis, and each row's sum: the share that lies on the picture."""
    step = (stop - start) / count
    ends: NDArray[np.float64] = np.arange(count, dtype=np.float64) * step + start
    at, weight = _areas(ends, step) if step >= 1 else _neighbours(ends + step / 2, size)
    weight = np.where((at >= 0) & (at < size), weight, 0.0).astype(np.float32)
    # Row by row as they are: to sort and add up what is doubled (zeros, at the edges) takes longer than the rest.
    starts = np.arange(count + 1) * at.shape[1]
    entries = (weight.ravel(), np.clip(at, 0, size - 1).ravel(), starts)
    matrix = sparse.csr_array(entries, shape=(count, size))
    return matrix, weight.sum(axis=1)


def _areas(ends: NDArray[np.float64], step: float) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the source pixels under each target pixel and the share of it that they cover."""
    at = np.floor(ends).astype(np.int64)[:, None] + np.arange(math.ceil(step) + 1)
    left, right = np.maximum(at, ends[:, None]), np.minimum(at + 1, ends[:, None] + step)
    return at, np.maximum(right - left, 0.0) / step


def _neighbours(centers: NDArray[np.float64], size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the two source pixels around each target centre and their linear weights; the edge pixel extends half."""
    inside = (centers >= 0) & (centers <= size)
    place = np.clip(centers - 0.5, 0, size - 1)
    first = np.floor(place).astype(np.int64)
    share = place - first
    at = np.stack([first, np.minimum(first + 1, size - 1)], axis=1)
    return at, np.stack([(1 - share) * inside, share * inside], axis=1)
