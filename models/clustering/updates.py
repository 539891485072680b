# SPDX-License-Identifier: Apache-2.0
"""One step of the algorithm: the exact minimum of a function that lies above the energy and touches it (decision 20).

So no step raises the energy, whatever beta, tau, covariances and floor are.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.clustering.generator import Generator
from models.clustering.mixture import Clusters, CovarianceType, Membership, distances, volume_power

Array = NDArray[np.float64]
Mixing = Literal["uniform", "estimated"]

_LEAST_LOG_WEIGHT = math.log(1e-200)
"""A cluster whose samples weigh less than this together is empty: its mean would be rounding."""


class EmptyClusterError(ValueError):
    """A cluster has lost all of its samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is estimated, with which generator, and the smallest variance allowed."""

    generator: Generator
    covariance: CovarianceType
    mixing: Mixing
    floor: float


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Component:
    """One cluster's part of the minimum; `log_cost` is ln B_k, what its proportion follows from."""

    centre: Array
    spectrum: Array
    basis: Array | None
    log_cost: float


def step(samples: Array, clusters: Clusters, member: Membership, rule: Rule) -> Clusters:
    """Return the clusters that minimise the majorising function at these memberships.

    Raises
    ------
    EmptyClusterError
        A cluster has lost all of its samples, and there is more than a nearest cluster to move it to.
    """
    log_weights = (1 + rule.generator.beta) * member.log_shares
    log_totals = np.logaddexp.reduce(log_weights, axis=0)
    if log_totals.min() < _LEAST_LOG_WEIGHT:
        if not rule.generator.hard:
            raise EmptyClusterError(f"cluster {int(log_totals.argmin())} has lost all of its samples")
        log_weights = _with_far_samples(log_weights, member)
        log_totals = np.logaddexp.reduce(log_weights, axis=0)
    parts = [
        _component(samples, np.exp(log_weights[:, k] - log_totals[k]), float(log_totals[k]), rule=rule)
        for k in range(len(clusters.centres))
    ]
    bases = [part.basis for part in parts if part.basis is not None]
    return Clusters(
        centres=np.stack([part.centre for part in parts]),
        spectrum=np.stack([part.spectrum for part in parts]),
        basis=np.stack(bases) if bases else None,
        log_proportions=_log_proportions(clusters, parts, rule),
        estimated=clusters.estimated,
    )


def _with_far_samples(log_weights: Array, member: Membership) -> Array:
    """Give each empty cluster the sample that is farthest from its own, one each: the energy can only fall."""
    moved = log_weights.copy()
    empty = np.flatnonzero(~np.isfinite(moved).any(axis=0))
    far = np.argsort(-member.energies, kind="stable")
    owners = moved.argmax(axis=1)
    left = np.bincount(owners, minlength=moved.shape[1])
    for cluster in empty:
        sample = next(int(index) for index in far if left[owners[index]] > 1)
        left[owners[sample]] -= 1
        owners[sample] = cluster
        left[cluster] = 1
        moved[sample] = -np.inf
        moved[sample, cluster] = 0
    return moved


def _component(samples: Array, weights: Array, log_total: float, *, rule: Rule) -> _Component:
    """Minimise over one cluster's centre and covariance; the weights (N,) sum to 1."""
    centre = weights @ samples
    rooted = np.sqrt(weights)[:, None] * (samples - centre)
    if rule.covariance == "full":
        scatter, basis = np.linalg.eigh(rooted.T @ rooted)
        scatter = np.maximum(scatter, 0)
    else:
        scatter, basis = (rooted**2).sum(axis=0), None
    if rule.covariance == "fixed":
        cost = rule.generator.stretch(float(scatter.sum()))
        spectrum = np.full(samples.shape[1], 0.5)
        return _Component(centre=centre, spectrum=spectrum, basis=None, log_cost=log_total + _log(cost))
    spectrum = _spectrum(scatter, rule)
    beta = rule.generator.beta
    volume = volume_power(beta, len(spectrum)) * beta / 2 * float(np.log(spectrum).sum())
    cost = 1 + beta / 2 * float((scatter / spectrum).sum())
    return _Component(centre=centre, spectrum=spectrum, basis=basis, log_cost=log_total + volume + math.log(cost))


def _spectrum(scatter: Array, rule: Rule) -> Array:
    """Return the variances that minimise |Sigma|^(gamma beta / 2) (1 + beta / 2 tr(Sigma^-1 C)), none below the floor.

    Without a floor they are those of the weighted scatter, as for a Gaussian. Where some lie on the floor the others
    are c / (gamma t), where t is the factor in brackets at the minimum.
    """
    if rule.covariance == "spherical":
        return np.full(len(scatter), max(float(scatter.mean()), rule.floor))
    gamma = volume_power(rule.generator.beta, len(scatter))
    stretch = _stretch(scatter, rule, gamma=gamma)
    return np.maximum(scatter / (gamma * stretch), rule.floor)


def _stretch(scatter: Array, rule: Rule, *, gamma: float) -> float:
    """Solve t = 1 + beta / 2 sum_j min(c_j / floor, gamma t): one root, found by how many lie on the floor."""
    beta, ordered = rule.generator.beta, np.sort(scatter) / rule.floor
    below = np.concatenate([[0.0], np.cumsum(ordered)])
    for floored in range(len(ordered) + 1):
        stretch = (1 + beta / 2 * below[floored]) / (1 - (len(ordered) - floored) * gamma * beta / 2)
        if floored == len(ordered) or ordered[floored] >= gamma * stretch:
            return float(stretch)
    raise AssertionError("unreachable: the last number of floored variances always fits")


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _log_proportions(clusters: Clusters, parts: list[_Component], rule: Rule) -> Array:
    """Minimise sum_k pi_k^-beta B_k over proportions: pi_k is proportional to B_k^(1 / (1 + beta))."""
    if rule.mixing == "uniform":
        return clusters.log_proportions
    logs = np.array([part.log_cost for part in parts]) / (1 + rule.generator.beta)
    return np.asarray(logs - np.logaddexp.reduce(logs))


def majorant(samples: Array, clusters: Clusters, member: Membership, generator: Generator) -> float:
    """Return the function of `clusters` that `step` minimises: above the energy, equal to it at the memberships' own.

    For tests and the curious: the algorithm itself never needs its value.
    """
    shares = np.exp(member.log_shares)
    logs = clusters.log_proportions + generator.log_phi(distances(samples, clusters))
    if clusters.estimated:
        logs = logs - volume_power(generator.beta, samples.shape[1]) / 2 * clusters.log_volumes
    return math.fsum((shares * generator.energy(logs - member.log_shares)).ravel())
