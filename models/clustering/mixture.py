# SPDX-License-Identifier: Apache-2.0
"""Clusters as values: centres, covariances by their spectrum, proportions; distances, memberships and energy."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from models.clustering.generator import Generator

Array = NDArray[np.float64]
CovarianceType = Literal["fixed", "spherical", "diag", "full"]
COVARIANCE_TYPES: tuple[str, ...] = get_args(CovarianceType)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Clusters:
    """K clusters in p dimensions.

    Parameters
    ----------
    centres
        (K, p).
    spectrum, basis
        Eigenvalues (K, p) and eigenvectors (K, p, p, in columns) of the covariances; without a basis the axes are
        those of the data. Clusters without covariances of their own ("fixed") have 1/2 everywhere, so that the
        distance is the squared Euclidean one.
    log_proportions
        (K,); their exponentials sum to 1.
    estimated
        Whether covariances are estimated: if not, they have no volume in the kernel.
    """

    centres: Array
    spectrum: Array
    log_proportions: Array
    estimated: bool
    basis: Array | None = None

    @property
    def log_volumes(self) -> Array:
        """Logarithm of each covariance's determinant (K,)."""
        return np.asarray(np.log(self.spectrum).sum(axis=1))


def volume_power(beta: float, dimensions: int) -> float:
    """Return the power gamma of |Sigma|^(-gamma / 2) in the kernel, 2 / (2 + p beta).

    With this power, and no other, the energy of a single cluster has its minimum at the data's own mean and covariance
    for every beta (decision 20); at beta = 0 it is the Gaussian's.
    """
    return 2 / (2 + dimensions * beta)


def distances(samples: Array, clusters: Clusters) -> Array:
    """Return half the squared Mahalanobis distance of each sample from each cluster, (N, K)."""
    columns = []
    for index, centre in enumerate(clusters.centres):
        offset = samples - centre
        if clusters.basis is not None:
            offset = offset @ clusters.basis[index]
        columns.append(0.5 * (offset**2 / clusters.spectrum[index]).sum(axis=1))
    return np.stack(columns, axis=1)


def log_kernels(samples: Array, clusters: Clusters, generator: Generator) -> Array:
    """Return ln(pi_k |Sigma_k|^(-gamma / 2) phi(d_ik)), (N, K); not for the hard limit."""
    logs = clusters.log_proportions + generator.log_phi(distances(samples, clusters))
    if not clusters.estimated:
        return np.asarray(logs)
    return np.asarray(logs - volume_power(generator.beta, samples.shape[1]) / 2 * clusters.log_volumes)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Membership:
    """ln q_ik (N, K), q summing to 1 over clusters, and each sample's energy (N,)."""

    log_shares: Array
    energies: Array

    @property
    def total(self) -> float:
        """The energy of all samples."""
        return math.fsum(self.energies)


def membership(samples: Array, clusters: Clusters, generator: Generator) -> Membership:
    """Say how much each sample belongs to each cluster, and what it costs."""
    if generator.hard:
        return _nearest(distances(samples, clusters))
    logs = log_kernels(samples, clusters, generator)
    log_mean = logsumexp(logs, axis=1)
    return Membership(log_shares=logs - log_mean[:, None], energies=generator.energy(log_mean))


def _nearest(distance: Array) -> Membership:
    """Give each sample to its nearest cluster, the first of several."""
    chosen = distance.argmin(axis=1)
    shares = np.full(distance.shape, -np.inf)
    shares[np.arange(len(distance)), chosen] = 0
    return Membership(log_shares=shares, energies=distance[np.arange(len(distance)), chosen])
