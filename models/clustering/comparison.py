# SPDX-License-Identifier: Apache-2.0
"""Compares clusterings on sets with known groups: adjusted Rand index and normalised mutual information over seeds."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.cluster import AgglomerativeClustering, Birch, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture

from models.clustering.datasets import DATASETS, OUTLIER, Sample
from models.clustering.embedding import cauchy_beta
from models.clustering.quasi_linear import QuasiLinearClustering

Cluster = Callable[[NDArray[np.float64], int, int], NDArray[np.int64]]
"""Points (N, p), number of groups and seed to a label (N,) each."""
_STARTS = 3


def _peer(make: Callable[[int, int], Any]) -> Cluster:
    def cluster(points: NDArray[np.float64], groups: int, seed: int) -> NDArray[np.int64]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return np.asarray(make(groups, seed).fit_predict(points))

    return cluster


def _pareto(covariance: str, mixing: str) -> Cluster:
    def cluster(points: NDArray[np.float64], groups: int, seed: int) -> NDArray[np.int64]:
        model = QuasiLinearClustering(
            groups,
            beta=cauchy_beta(points.shape[1]),
            covariance_type=covariance,
            mixing=mixing,
            n_init=_STARTS,
            covariance_floor=1e-3,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return np.asarray(model.fit_predict(points))

    return cluster


METHODS: Mapping[str, Cluster] = MappingProxyType(
    {
        "k-means": _peer(lambda groups, seed: KMeans(groups, n_init=_STARTS, random_state=seed)),
        "Gaussian mixture": _peer(
            lambda groups, seed: GaussianMixture(groups, n_init=_STARTS, reg_covar=1e-3, random_state=seed)
        ),
        "Birch": _peer(lambda groups, _: Birch(n_clusters=groups)),
        "Ward": _peer(lambda groups, _: AgglomerativeClustering(groups)),
        "Pareto, fixed": _pareto("fixed", "uniform"),
        "Pareto, diag": _pareto("diag", "estimated"),
        "Pareto, full": _pareto("full", "estimated"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Mean over seeds and half the width of its 95 % interval (Student's t)."""

    dataset: str
    method: str
    rand: tuple[float, float]
    information: tuple[float, float]


def measure(dataset: str, method: str, *, seeds: Sequence[int]) -> Measured:
    """Cluster a set once for each seed, which draws the sample and starts the clustering; two seeds at least."""
    if len(seeds) < 2:
        raise ValueError(f"{len(seeds)} seeds: an interval needs at least 2")
    scores = np.array([_scores(DATASETS[dataset](np.random.default_rng(seed)), method, seed) for seed in seeds])
    half = stats.t.ppf(0.975, len(seeds) - 1) * scores.std(axis=0, ddof=1) / np.sqrt(len(seeds))
    rand, information = zip(scores.mean(axis=0).tolist(), half.tolist(), strict=True)
    return Measured(dataset=dataset, method=method, rand=rand, information=information)


def _scores(sample: Sample, method: str, seed: int) -> tuple[float, float]:
    labels = METHODS[method](sample.points, sample.groups, seed)
    judged = sample.truth != OUTLIER
    truth, found = sample.truth[judged], labels[judged]
    return float(adjusted_rand_score(truth, found)), float(normalized_mutual_info_score(truth, found))


def as_table(measured: Sequence[Measured], *, index: str) -> str:
    """Return a Markdown table of one index ("rand" or "information"), a row for each set; the best mean is bold."""
    methods = list(dict.fromkeys(each.method for each in measured))
    lines = ["| set | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
    for dataset in dict.fromkeys(each.dataset for each in measured):
        row = {each.method: getattr(each, index) for each in measured if each.dataset == dataset}
        best = max(round(mean, 2) for mean, _ in row.values())
        lines.append(f"| {dataset} | " + " | ".join(_cell(*row[method], best=best) for method in methods) + " |")
    return "\n".join(lines) + "\n"


def _cell(mean: float, half: float, *, best: float) -> str:
    text = f"{mean:.2f} ± {half:.2f}"
    return f"**{text}**" if round(mean, 2) == best else text
