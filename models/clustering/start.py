# SPDX-License-Identifier: Apache-2.0
"""Where a run begins: k-means++ centres or given ones, one common covariance, equal proportions."""

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import kmeans_plusplus

from models.clustering.mixture import Clusters, CovarianceType

Array = NDArray[np.float64]


def draw_centres(samples: Array, count: int, *, seed: int) -> Array:
    """Return `count` samples that are far apart, by k-means++ (Arthur & Vassilvitskii 2007)."""
    if np.ptp(samples, axis=0).max() == 0:
        return np.repeat(samples[:1], count, axis=0)  # k-means++ divides by the spread
    centres, _ = kmeans_plusplus(samples, count, random_state=seed)
    return np.asarray(centres, dtype=np.float64)


def begin(samples: Array, centres: Array, *, covariance: CovarianceType, floor: float) -> Clusters:
    """Return clusters at these centres, all with the scatter of the samples around their nearest centre."""
    count, dimensions = centres.shape
    spectrum, basis = np.full(dimensions, 0.5), None
    if covariance != "fixed":
        spectrum, basis = _common(samples, centres, covariance=covariance, floor=floor)
    return Clusters(
        centres=centres.copy(),
        spectrum=np.tile(spectrum, (count, 1)),
        basis=None if basis is None else np.tile(basis, (count, 1, 1)),
        log_proportions=np.full(count, -np.log(count)),
        estimated=covariance != "fixed",
    )


def _common(
    samples: Array, centres: Array, *, covariance: CovarianceType, floor: float
) -> tuple[Array, NDArray[np.float64] | None]:
    squares = np.stack([((samples - centre) ** 2).sum(axis=1) for centre in centres], axis=1)
    offsets = samples - centres[squares.argmin(axis=1)]
    if covariance == "full":
        values, basis = np.linalg.eigh(offsets.T @ offsets / len(samples))
        return np.maximum(values, floor), basis
    variances = (offsets**2).mean(axis=0)
    if covariance == "spherical":
        variances = np.full_like(variances, variances.mean())
    return np.maximum(variances, floor), None
