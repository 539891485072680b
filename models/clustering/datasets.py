# SPDX-License-Identifier: Apache-2.0
"""Sets with known groups for comparing clusterings: four that come with scikit-learn, and shapes drawn from a seed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

Array = NDArray[np.float64]
OUTLIER = -1
"""The class of samples that belong to no group; they are clustered, but not judged."""
_OUTLIER_PERCENT = 10
_SUBSAMPLE = 0.9
_EXPLAINED = 0.95


@dataclass(frozen=True, eq=False, slots=True)
class Sample:
    """Points (N, p) and the true group of each (N,), OUTLIER for none."""

    points: Array
    truth: NDArray[np.int64]

    @property
    def groups(self) -> int:
        """Number of true groups."""
        return len(set(self.truth.tolist()) - {OUTLIER})


Draw = Callable[[np.random.Generator], Sample]


def _shipped(load: Callable[..., tuple[Array, NDArray[np.int64]]]) -> Draw:
    """Return nine tenths of a shipped set, another nine for each seed, standardised; digits in 95 % of the variance."""

    def draw(rng: np.random.Generator) -> Sample:
        points, truth = load(return_X_y=True)
        chosen = np.sort(rng.permutation(len(points))[: int(_SUBSAMPLE * len(points))])
        scaled = StandardScaler().fit_transform(points[chosen])
        if scaled.shape[1] > 30:
            scaled = PCA(_EXPLAINED, svd_solver="full").fit_transform(scaled)
        return Sample(scaled, truth[chosen].astype(np.int64))

    return draw


def _shape(sizes: tuple[int, ...], factors: tuple[Array, ...], centres: Array) -> Draw:
    def draw(rng: np.random.Generator) -> Sample:
        parts = [
            rng.normal(size=(size, centres.shape[1])) @ factor + centre
            for size, factor, centre in zip(sizes, factors, centres, strict=True)
        ]
        return Sample(np.concatenate(parts), np.repeat(np.arange(len(sizes)), sizes))

    return draw


def with_outliers(draw: Draw) -> Draw:
    """Return the same set with 10 % of its samples replaced by ones from a box three times as wide."""

    def drawn(rng: np.random.Generator) -> Sample:
        clean = draw(rng)
        count = len(clean.points) * _OUTLIER_PERCENT // 100
        places = rng.choice(len(clean.points), size=count, replace=False)
        low, high = clean.points.min(axis=0), clean.points.max(axis=0)
        middle, half = (low + high) / 2, (high - low) / 2
        points, truth = clean.points.copy(), clean.truth.copy()
        points[places] = middle + 3 * half * rng.uniform(-1, 1, size=(count, points.shape[1]))
        truth[places] = OUTLIER
        return Sample(points, truth)

    return drawn


_TRIANGLE = np.array([[-4.0, 0.0], [4.0, 0.0], [0.0, 6.0]])
_ROUND = np.eye(2)
_LONG = np.array([[3.0, 0.6], [0.0, 0.4]])
_SHAPES: Mapping[str, Draw] = {
    "blobs": _shape((100, 100, 100), (_ROUND, _ROUND, _ROUND), _TRIANGLE),
    "spreads": _shape((100, 100, 100), (0.4 * _ROUND, _ROUND, 2 * _ROUND), _TRIANGLE),
    "stretched": _shape((100, 100, 100), (_LONG, _LONG, _LONG), np.array([[0.0, -3.5], [0.0, 0.0], [0.0, 3.5]])),
    "sizes": _shape((220, 60, 20), (_ROUND, _ROUND, _ROUND), _TRIANGLE),
}

DATASETS: Mapping[str, Draw] = MappingProxyType(
    {
        "iris": _shipped(load_iris),
        "wine": _shipped(load_wine),
        "breast cancer": _shipped(load_breast_cancer),
        "digits": _shipped(load_digits),
        **_SHAPES,
        **{f"{name} + outliers": with_outliers(draw) for name, draw in _SHAPES.items()},
    }
)
"""Every set by name; drawing it again with another generator gives another sample of it."""
