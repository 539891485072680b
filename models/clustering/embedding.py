# SPDX-License-Identifier: Apache-2.0
"""Makes features fit for clustering: standardised, far images drawn in, then turned and cut to few dimensions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

MOST_DIMENSIONS = 16
_FARTHEST = 2.0
"""Times the median distance from the mean, beyond which images are drawn in: a single one far away would otherwise
be a group of its own, whatever beta is (docs/clustering.md)."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Embedding:
    """What was learnt from features (N, D): their scale, the radius of the cap, and principal components."""

    scaler: Any
    radius: float
    components: Any

    def __call__(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return points (N, p)."""
        scaled = self.scaler.transform(values.astype(np.float64))
        return np.asarray(self.components.transform(_drawn_in(scaled, self.radius)))


def make_embedding(values: NDArray[np.floating], *, most: int = MOST_DIMENSIONS) -> Embedding:
    """Learn an embedding into at most `most` dimensions.

    Distances say less the more dimensions there are, and clusters overlap more for the same beta.
    """
    scaler = StandardScaler().fit(values.astype(np.float64))
    scaled = scaler.transform(values.astype(np.float64))
    radius = _FARTHEST * float(np.median(np.linalg.norm(scaled, axis=1)))
    dimensions = min(most, values.shape[1], max(1, len(values) - 1))
    components = PCA(dimensions, svd_solver="full").fit(_drawn_in(scaled, radius))
    return Embedding(scaler=scaler, radius=radius, components=components)


def _drawn_in(points: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    norms = np.linalg.norm(points, axis=1, keepdims=True)
    return np.where(norms > radius, points * (radius / np.maximum(norms, np.finfo(np.float64).tiny)), points)


def cauchy_beta(dimensions: int) -> float:
    """Return the beta at which the kernel has the tails of a Cauchy distribution in that many dimensions, 2 / (p + 1).

    (1 + beta d)^(-1 / beta) with d half a squared distance is a t distribution of nu = 2 / beta - p degrees of freedom.
    """
    return 2 / (dimensions + 1)
