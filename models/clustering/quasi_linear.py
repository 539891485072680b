# SPDX-License-Identifier: Apache-2.0
"""Quasi-linear clustering as a scikit-learn estimator.

Komori & Eguchi, Entropy 2021;23:518 join k-means, fuzzy c-means and Gaussian mixtures by a Kolmogorov-Nagumo mean. The
formulas here were derived anew from the generator and the energy (decision 20); updates of variances and proportions
may differ from the paper's.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from models.clustering.generator import Generator
from models.clustering.mixture import COVARIANCE_TYPES, Clusters, Membership, membership
from models.clustering.start import begin, draw_centres
from models.clustering.updates import EmptyClusterError, Rule, step

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class _Run:
    clusters: Clusters
    member: Membership
    energies: tuple[float, ...]
    converged: bool


class QuasiLinearClustering(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Clusters joined by the Kolmogorov-Nagumo mean of phi(r) = (1 + tau beta r)^(-1 / beta).

    ===============  ===============  =================  =================  ======================
    covariance_type  beta             tau                mixing             is
    ===============  ===============  =================  =================  ======================
    fixed            0                inf                uniform            k-means
    fixed            m - 1            inf                uniform            fuzzy c-means
    fixed            0                1 / (2 sigma^2)    either             maximum entropy
    full, diag, ...  0                1                  estimated          Gaussian mixture
    any              > 0              finite             either             Pareto clustering
    ===============  ===============  =================  =================  ======================

    The larger beta, the less a sample counts that belongs to no cluster, and the more memberships overlap. The overlap
    grows with the number of dimensions p: beta near 2 / (p + 1) has the tails of a Cauchy distribution.

    Parameters
    ----------
    n_clusters
        K, at least 1 and at most the number of samples.
    beta
        In [0, inf).
    tau
        In (0, inf], for "fixed" alone: 1 / (scale of squared distances); "scale" is p / (sum of variances). Estimated
        covariances take its place: it must then be "scale" or 1, and is 1.
    covariance_type
        "fixed" (squared Euclidean distance), "spherical", "diag" or "full".
    mixing
        "estimated" or "uniform" proportions.
    init
        "k-means++", or centres (K, p).
    n_init
        Number of starts, of which the one with the lowest energy is kept; given centres are one start.
    max_iter, tol
        A run ends when a step lowers the energy by at most `tol` times all that was gained since the start.
    covariance_floor
        Smallest variance, as a share of the data's mean variance. It is part of the minimisation, so that the energy
        still never rises; 0 is not allowed.
    random_state
        Seed; the same seed gives the same result.

    Attributes
    ----------
    cluster_centers_ : (K, p), covariances_ : (K,), (K, p) or (K, p, p); None if fixed, weights_ : (K,)
    labels_ : (N,), energy_ : float, energies_ : tuple with the energy at the start and after each step
    n_iter_ : int, converged_ : bool, tau_ : float, discarded_starts_ : int
    """

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        beta: float = 0.5,
        tau: float | str = "scale",
        covariance_type: str = "fixed",
        mixing: str = "uniform",
        init: str | ArrayLike = "k-means++",
        n_init: int = 10,
        max_iter: int = 300,
        tol: float = 1e-6,
        covariance_floor: float = 1e-6,
        random_state: Any = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.beta = beta
        self.tau = tau
        self.covariance_type = covariance_type
        self.mixing = mixing
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.covariance_floor = covariance_floor
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None) -> Self:  # noqa: ARG002
        """Find the clusters of samples (N, p), finite numbers.

        Raises
        ------
        ValueError
            A parameter is out of its range, there are fewer samples than clusters, or clusters ran empty in each start.
        """
        samples = self._validated(X, reset=True)
        rule = self._rule(samples)
        run = self._best(samples, rule)
        if not run.converged:
            warnings.warn(
                f"the energy still falls after max_iter={self.max_iter} steps; allow more, or a larger tol",
                ConvergenceWarning,
                stacklevel=2,
            )
        self._keep(run, rule)
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return the cluster (N,) that each sample belongs to most."""
        return np.asarray(self._membership(X).log_shares.argmax(axis=1))

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return how much each sample belongs to each cluster, (N, K), rows summing to 1.

        Memberships of fuzzy c-means and responsibilities of a Gaussian mixture in these limits; no calibrated
        probabilities.
        """
        return np.asarray(np.exp(self._membership(X).log_shares))

    def score_samples(self, X: ArrayLike) -> Array:
        """Return minus the energy of each sample (N,): the lower, the less it belongs to any cluster.

        For beta = 0 and estimated covariances this is GaussianMixture's log-likelihood plus p / 2 ln(2 pi).
        """
        return np.asarray(-self._membership(X).energies)

    def score(self, X: ArrayLike, y: object = None) -> float:  # noqa: ARG002
        """Return the mean of `score_samples`."""
        return float(self.score_samples(X).mean())

    def _membership(self, X: ArrayLike) -> Membership:
        check_is_fitted(self)
        return membership(self._validated(X, reset=False), self._clusters, self._generator)

    def _validated(self, X: ArrayLike, *, reset: bool) -> Array:
        return np.asarray(validate_data(self, X, dtype=np.float64, ensure_min_samples=1, reset=reset))

    def _rule(self, samples: Array) -> Rule:
        self._check_parameters(samples)
        variance = float(samples.var(axis=0).mean())
        if self.covariance_type != "fixed":
            tau = 1.0
        elif self.tau == "scale":
            tau = 1 / variance if variance > 0 else 1.0
        else:
            tau = float(self.tau)
        self.tau_ = tau
        floor = self.covariance_floor * (variance if variance > 0 else 1.0)
        generator = Generator(beta=float(self.beta), tau=tau)
        return Rule(generator=generator, covariance=self.covariance_type, mixing=self.mixing, floor=floor)  # type: ignore[arg-type]

    def _check_parameters(self, samples: Array) -> None:
        checks = (
            (self.n_clusters >= 1, "n_clusters", "at least 1"),
            (0 <= self.beta < math.inf, "beta", "in [0, inf)"),
            (self.tau == "scale" or _positive(self.tau), "tau", "'scale' or in (0, inf]"),
            (self.covariance_type in COVARIANCE_TYPES, "covariance_type", f"one of {', '.join(COVARIANCE_TYPES)}"),
            (self.mixing in {"uniform", "estimated"}, "mixing", "'uniform' or 'estimated'"),
            (self.n_init >= 1, "n_init", "at least 1"),
            (self.max_iter >= 1, "max_iter", "at least 1"),
            (self.tol >= 0, "tol", "at least 0"),
            (0 < self.covariance_floor < 1, "covariance_floor", "in (0, 1)"),
        )
        for kept, name, rule in checks:
            if not kept:
                raise ValueError(f"{name}={getattr(self, name)!r}: it must be {rule}")
        if len(samples) < self.n_clusters:
            raise ValueError(
                f"n_samples={len(samples)} should be >= n_clusters={self.n_clusters}; ask for fewer clusters"
            )
        self._check_combinations()

    def _check_combinations(self) -> None:
        if self.covariance_type != "fixed" and self.tau not in {"scale", 1}:
            raise ValueError(
                f"tau={self.tau!r}: estimated covariances take its place; leave it at 'scale', or choose "
                "covariance_type='fixed'"
            )
        if self.beta == 0 and self.tau == math.inf and self.mixing != "uniform":
            raise ValueError(
                "mixing='estimated': proportions have no effect where beta = 0 and tau = inf; say 'uniform'"
            )

    def _best(self, samples: Array, rule: Rule) -> _Run:
        runs, problems = [], []
        for centres in self._starts(samples):
            try:
                runs.append(self._run(samples, centres, rule))
            except EmptyClusterError as error:
                problems.append(str(error))
        self.discarded_starts_ = len(problems)
        if not runs:
            raise ValueError(
                f"no start of {len(problems)} kept its {self.n_clusters} clusters ({problems[0]}); ask for fewer "
                "clusters, more starts (n_init) or a larger covariance_floor"
            )
        return min(runs, key=lambda run: run.member.total)

    def _starts(self, samples: Array) -> list[Array]:
        if not isinstance(self.init, str):
            centres = np.asarray(self.init, dtype=np.float64)
            wanted = (self.n_clusters, samples.shape[1])
            if centres.shape != wanted or not np.isfinite(centres).all():
                raise ValueError(f"init: centres {centres.shape}; they must be finite and {wanted}")
            return [centres]
        if self.init != "k-means++":
            raise ValueError(f"init={self.init!r}: it must be 'k-means++' or centres")
        random = check_random_state(self.random_state)
        seeds = random.randint(np.iinfo(np.int32).max, size=self.n_init)
        return [draw_centres(samples, self.n_clusters, seed=int(seed)) for seed in seeds]

    def _run(self, samples: Array, centres: Array, rule: Rule) -> _Run:
        clusters = begin(samples, centres, covariance=rule.covariance, floor=rule.floor)
        member = membership(samples, clusters, rule.generator)
        energies = [member.total]
        for _ in range(self.max_iter):
            clusters = step(samples, clusters, member, rule)
            member = membership(samples, clusters, rule.generator)
            energies.append(member.total)
            if energies[-2] - energies[-1] <= self.tol * (energies[0] - energies[-1]):
                return _Run(clusters=clusters, member=member, energies=tuple(energies), converged=True)
        return _Run(clusters=clusters, member=member, energies=tuple(energies), converged=False)

    def _keep(self, run: _Run, rule: Rule) -> None:
        self._clusters, self._generator = run.clusters, rule.generator
        self.cluster_centers_ = run.clusters.centres
        self.covariances_ = _covariances(run.clusters, rule)
        self.weights_ = np.exp(run.clusters.log_proportions)
        self.labels_ = run.member.log_shares.argmax(axis=1)
        self.energies_, self.energy_ = run.energies, run.energies[-1]
        self.n_iter_, self.converged_ = len(run.energies) - 1, run.converged


def _positive(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and float(value) > 0


def _covariances(clusters: Clusters, rule: Rule) -> Array | None:
    if rule.covariance == "fixed":
        return None
    if clusters.basis is not None:
        return np.asarray(np.einsum("kij,kj,klj->kil", clusters.basis, clusters.spectrum, clusters.basis))
    return clusters.spectrum[:, 0] if rule.covariance == "spherical" else clusters.spectrum
