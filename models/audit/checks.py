# SPDX-License-Identifier: Apache-2.0
"""What a check of the audit says, and the comparison of maps that several of them use."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from monai.metrics.regression import SSIMMetric
from numpy.typing import NDArray

from models.audit.subject import Maps

_LARGEST_WINDOW = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: `passed` is None where it could not be made, and `sentence` says what was found, or why not."""

    name: str
    passed: bool | None
    sentence: str
    values: Mapping[str, Any] = field(default_factory=dict)


def not_made(name: str, reason: str) -> Check:
    """Return a check that could not be made."""
    return Check(name=name, passed=None, sentence=f"not made: {reason}")


def similarity(first: Maps, second: Maps) -> NDArray[np.float64]:
    """Return the structural similarity (N,) of maps (N, h, w), each stretched to [0, 1] before; 1 is identical.

    At the maps' own resolution: enlarged maps would be alike because they are smooth. A map without any contrast has
    nothing in common with another: 0, unless both are flat.
    """
    window = min(_LARGEST_WINDOW, *(size - 1 + size % 2 for size in first.shape[1:]))
    metric = SSIMMetric(spatial_dims=2, data_range=1.0, win_size=window, kernel_type="uniform", reduction="none")
    stretched = [torch.from_numpy(_stretched(maps))[:, None] for maps in (first, second)]
    found = cast("torch.Tensor", metric(*stretched)).numpy().reshape(len(first)).astype(np.float64)
    flat = [np.ptp(maps, axis=(1, 2)) == 0 for maps in (first, second)]
    return np.where(flat[0] & flat[1], 1.0, np.where(flat[0] | flat[1], 0.0, found))


def _stretched(maps: Maps) -> Maps:
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    return np.asarray((maps - low) / np.where(high > low, high - low, 1))


def by_cell(planes: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the mean of planes (N, H, W) over each cell of a map of `shape` (h, w).

    Raises
    ------
    ValueError
        H or W is not a multiple of h or w.
    """
    count, height, width = planes.shape
    rows, columns = shape
    if height % rows or width % columns:
        raise ValueError(f"a map of {rows} x {columns} does not divide an image of {height} x {width} evenly")
    cells = planes.astype(np.float64).reshape(count, rows, height // rows, columns, width // columns)
    return np.asarray(cells.mean(axis=(2, 4)))


def to_pixels(cells: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return cells (N, h, w) repeated to planes (N, H, W)."""
    rows, columns = shape[0] // cells.shape[1], shape[1] // cells.shape[2]
    return cells.repeat(rows, axis=1).repeat(columns, axis=2)
