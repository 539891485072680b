# SPDX-License-Identifier: Apache-2.0
"""How far features lie from those of training: Mahalanobis' distance to the nearest class, one covariance for all.

After Lee 2018; with the covariance estimate of Ledoit and Wolf, which can be inverted however few the cases. One depth
of a network sees what another misses (Anthony 2023): use two at least.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf

from service.domain.reliability import Limit

Array = NDArray[np.float64]
QUANTILE = 0.99
_DIGITS = 6


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class TiedGaussian:
    """Means (K, D) of the classes, and a factor (D, D) of their common precision P: `factor.T @ factor == P`."""

    means: Array
    factor: Array

    def distances(self, features: NDArray[np.floating]) -> Array:
        """Return the distance (N,) of features (N, D) from the nearest class."""
        apart = np.asarray(features, dtype=np.float64)[:, None] - self.means
        return np.asarray(np.linalg.norm(apart @ self.factor.T, axis=2).min(axis=1))


def fit_gaussian(features: NDArray[np.floating], classes: NDArray[np.integer]) -> TiedGaussian:
    """Fit training features (N, D) of classes (N,); use one class for all where there are no classes.

    Raises
    ------
    ValueError
        Features do not vary within classes: nothing can be told from usual.
    """
    wide = np.asarray(features, dtype=np.float64)
    names, index = np.unique(classes, return_inverse=True)
    means = np.stack([wide[index == number].mean(axis=0) for number in range(len(names))])
    residuals = wide - means[index]
    if not np.any(residuals):
        raise ValueError(f"{wide.shape[1]} features are the same within each class; are they of a trained network?")
    precision = LedoitWolf(assume_centered=True).fit(residuals).get_precision()
    return TiedGaussian(means=means, factor=np.linalg.cholesky((precision + precision.T) / 2).T)


def limits(graph: str, held_out: Mapping[str, Array], *, quantile: float = QUANTILE) -> tuple[Limit, ...]:
    """Return limits from the distances of held-out, usual cases by graph output, each (N,).

    One value for each case as the node judges it: the mean over the crops of a film, the view of a mammogram, the patch
    of a CT. With two outputs up to twice `1 - quantile` of usual cases lie above one of them.

    Raises
    ------
    ValueError
        There are too few cases for the quantile.
    """
    return tuple(
        Limit(
            graph=graph,
            output=output,
            threshold=round(float(np.quantile(values, quantile, method="higher")), _DIGITS),
            quantile=quantile,
            n=len(values),
        )
        for output, values in held_out.items()
    )
