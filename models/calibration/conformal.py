# SPDX-License-Identifier: Apache-2.0
"""Calibrates conformal sets on held-out cases and measures what they hold on others; the sets are the node's own."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from service.domain.reliability import ConformalSet, SetMethod, conformal_rank
from service.pipelines.conformal import conformity_scores, prediction_sets

Probabilities = NDArray[np.floating]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The share of sets that hold the true answer, its exact 95 % interval (Clopper-Pearson), and the mean size."""

    cases: int
    share: float
    low: float
    high: float
    mean_size: float


def calibrate_sets(
    probabilities: Probabilities,
    truth: NDArray[np.integer],
    *,
    target: str,
    method: SetMethod,
    level: float,
    seed: int = 0,
) -> ConformalSet:
    """Return sets of a level from held-out probabilities (N, K) and true answers (N,).

    What they promise holds for new cases that are exchangeable with these: drawn in the same way, one case from each
    patient. Six zones of one film are not six cases; their coverage holds on average, with a wider error.

    Raises
    ------
    ValueError
        There are too few cases for the level.
    """
    n, rank = len(truth), conformal_rank(len(truth), level)
    if rank > n:
        least = math.ceil(round(level / (1 - level), 9))
        raise ValueError(f"n {n} is too few for sets of level {level:g}; hold out {least} cases")
    shares = np.random.default_rng(seed).uniform(size=n)
    scores = conformity_scores(_wide(probabilities), truth.astype(np.int64), shares, method=method)
    quantile = float(np.partition(scores, rank - 1)[rank - 1])
    # Rounded up: a set may hold an answer more, never one less.
    return ConformalSet(target=target, method=method, level=level, quantile=_up(quantile), n=n)


def _up(value: float) -> float:
    return min(1.0, float(np.ceil(value * 1e6) / 1e6))


def coverage(sets: ConformalSet, probabilities: Probabilities, truth: NDArray[np.integer]) -> Coverage:
    """Measure the sets on cases that they were not calibrated on."""
    members = prediction_sets(_wide(probabilities), method=sets.method, quantile=sets.quantile)
    held = int(members[np.arange(len(truth)), truth].sum())
    interval = binomtest(held, len(truth)).proportion_ci()
    return Coverage(
        cases=len(truth),
        share=held / len(truth),
        low=float(interval.low),
        high=float(interval.high),
        mean_size=float(members.sum(axis=1).mean()),
    )


def _wide(probabilities: Probabilities) -> NDArray[np.float64]:
    return np.asarray(probabilities, dtype=np.float64)
