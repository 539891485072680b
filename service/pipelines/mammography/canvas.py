# SPDX-License-Identifier: Apache-2.0
"""The network's view of a breast: a fixed canvas, chest wall on the left, normalised inside the breast."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOWEST, HIGHEST = -0.25, 1.25


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Canvas:
    """The network's input (2, rows, columns): normalised grey and breast mask.

    `row_offset` is the image row that lies on the canvas's first row; the columns begin together at the chest wall.
    `cropped` says that part of the breast lies outside.
    """

    tensor: NDArray[np.float32]
    row_offset: int
    cropped: bool


def place(grey: NDArray[np.floating], mask: NDArray[np.bool_], *, shape: tuple[int, int]) -> Canvas:
    """Put a breast on the canvas, its middle row on the canvas's middle row.

    Parameters
    ----------
    grey, mask
        (rows, columns), high is dense, chest wall on the left, at the network's pixel spacing.
    """
    filled = np.flatnonzero(mask.any(axis=1))
    row_offset = int(filled[0] + filled[-1] + 1 - shape[0]) // 2
    tensor = np.zeros((2, *shape), dtype=np.float32)
    source, target = _overlap(mask.shape[0], shape[0], offset=row_offset)
    width = min(mask.shape[1], shape[1])
    tensor[0, target, :width] = normalised(grey, mask)[source, :width]
    tensor[1, target, :width] = mask[source, :width]
    return Canvas(tensor=tensor, row_offset=row_offset, cropped=int(tensor[1].sum()) < int(mask.sum()))


def _overlap(rows: int, canvas_rows: int, *, offset: int) -> tuple[slice, slice]:
    first, last = max(offset, 0), min(offset + canvas_rows, rows)
    return slice(first, last), slice(first - offset, last - offset)


def normalised(grey: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Scale the 1st to 99th percentile inside the breast to 0..1; 0 outside the breast, never judged by the air."""
    low, high = np.percentile(grey[mask], (1, 99))
    scaled = (grey - low) / max(float(high - low), 1e-6)
    return np.where(mask, np.clip(scaled, LOWEST, HIGHEST), 0).astype(np.float32)
