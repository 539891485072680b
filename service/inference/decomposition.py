# SPDX-License-Identifier: Apache-2.0
"""Completeness of explanation maps: a map that is declared to be the score, spread out, adds up to the score."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.errors import PackageError
from service.inference.evidence import Decomposition
from service.inference.session import Arrays


def check_decomposition(entry: Decomposition, outputs: Arrays, *, where: str, tolerance: float | None = None) -> float:
    """Return the largest absolute difference of the score from the mean of its map plus the constant.

    `tolerance` takes the place of the entry's, for arithmetic that is coarser than float32.

    Raises
    ------
    PackageError
        The shapes do not fit, or the difference is above the tolerance.
    """
    maps, scores = outputs[entry.map].astype(np.float64), outputs[entry.score].astype(np.float64)
    name = f"{where}: map {entry.map} of score {entry.score}"
    if maps.ndim != 4:
        raise PackageError(f"{name} has shape {maps.shape}; (batch, channels, rows, columns) is expected")
    means, picked = maps.mean(axis=(2, 3)), _pick(scores, entry.index, name=name)
    if means.shape != picked.shape or len(entry.constant) not in {1, means.shape[1]}:
        raise PackageError(
            f"{name}: {means.shape[1]} maps and {len(entry.constant)} constants for {picked.shape[1]} scores; "
            "correct 'index' or 'constant'"
        )
    total = means + np.asarray(entry.constant)
    difference = float(np.max(np.abs(total - picked), initial=0.0))
    allowed = entry.tolerance if tolerance is None else tolerance
    if not difference <= allowed:
        raise PackageError(
            f"{name} is not complete: mean plus constant differs from the score by {difference:.3g}, at most "
            f"{allowed:.3g} is allowed; the map does not explain this score"
        )
    return difference


def _pick(scores: NDArray[Any], index: int | None, *, name: str) -> NDArray[Any]:
    """Return the scores as (batch, channels)."""
    table = scores.reshape(len(scores), -1)
    if index is None:
        return table
    if index >= table.shape[1]:
        raise PackageError(f"{name}: 'index' {index} is above the last of {table.shape[1]} scores")
    return table[:, index : index + 1]
