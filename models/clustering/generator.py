# SPDX-License-Identifier: Apache-2.0
"""The generator phi(r) = (1 + tau beta r)^(-1 / beta) of the Kolmogorov-Nagumo mean, its limits, and its energy.

Everything is in logarithms, so that neither far points nor small beta underflow. beta = 0 means exp(-tau r), tau = inf
the scale-free limit r^(-1 / beta), and both together a minimum.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TINY = float(np.finfo(np.float64).tiny)
"""Stands for a distance of 0 where its logarithm is asked for."""


@dataclass(frozen=True, slots=True)
class Generator:
    """The survival function of a Pareto distribution, phi; beta in [0, inf), tau in (0, inf]."""

    beta: float
    tau: float = 1.0

    @property
    def hard(self) -> bool:
        """Whether it is the limit in which the nearest cluster takes all, as in k-means."""
        return self.beta == 0 and math.isinf(self.tau)

    def log_phi(self, distance: Array) -> Array:
        """Return ln phi of distances >= 0, up to a constant where tau is infinite.

        Raises
        ------
        ValueError
            In the hard limit phi is no function of one distance.
        """
        if self.hard:
            raise ValueError("beta = 0 and tau = inf: there is no generator, only a minimum")
        if self.beta == 0:
            return np.asarray(-self.tau * distance)
        if math.isinf(self.tau):
            return np.asarray(-np.log(np.maximum(distance, _TINY)) / self.beta)
        return np.asarray(-np.log1p(self.tau * self.beta * distance) / self.beta)

    def energy(self, log_mean: Array) -> Array:
        """Return phi^-1 of a mean whose logarithm is given: the quasi-linear mean of the distances."""
        if self.beta == 0:
            return np.asarray(-log_mean / self.tau)
        if math.isinf(self.tau):
            return np.asarray(np.exp(-self.beta * log_mean))
        return np.asarray(np.expm1(-self.beta * log_mean) / (self.tau * self.beta))

    def stretch(self, mean_distance: float) -> float:
        """Return 1 + tau beta d, or what is left of it in the limit: d where tau is infinite."""
        return mean_distance if math.isinf(self.tau) else 1 + self.tau * self.beta * mean_distance
