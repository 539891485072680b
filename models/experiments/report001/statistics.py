# SPDX-License-Identifier: Apache-2.0
"""Accuracy and AUC with 95 % intervals: Wilson for proportions, a bootstrap over patients for the AUC."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

Scores = NDArray[np.float64]
Labels = NDArray[np.bool_]
Names = NDArray[np.str_]
DRAWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value with its 95 % interval and the number of films behind it; NaN where it is not defined."""

    value: float
    low: float
    high: float
    films: int

    def __str__(self) -> str:
        if np.isnan(self.value):
            return f"not defined ({self.films} films)"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def undefined(films: int) -> Estimate:
    """Return the estimate of what cannot be measured, such as an AUC over one class."""
    return Estimate(value=float("nan"), low=float("nan"), high=float("nan"), films=films)


def proportion(right: NDArray[np.bool_]) -> Estimate:
    """Return the share of True with Wilson's interval, which takes films as independent."""
    if not right.size:
        return undefined(0)
    counted = binomtest(int(right.sum()), int(right.size))
    interval = counted.proportion_ci(0.95, method="wilson")
    return Estimate(
        value=float(right.mean()), low=float(interval.low), high=float(interval.high), films=int(right.size)
    )


def area_under_curve(scores: Scores, labels: Labels, patients: Names, *, seed: int = 0, draws: int = DRAWS) -> Estimate:
    """Return the AUC; its interval resamples whole patients, those with and those without disease apart.

    Not defined where one class is absent.
    """
    if labels.all() or not labels.any():
        return undefined(len(labels))
    drawn = _areas(scores, labels, _resampled(labels, patients, seed=seed, draws=draws))
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(value=float(roc_auc_score(labels, scores)), low=float(low), high=float(high), films=len(labels))


def area_difference(
    first: Scores, second: Scores, labels: Labels, patients: Names, *, seed: int = 0, draws: int = DRAWS
) -> Estimate:
    """Return AUC(first) - AUC(second) of the same films, resampled by patient in pairs."""
    if labels.all() or not labels.any():
        return undefined(len(labels))
    times = _resampled(labels, patients, seed=seed, draws=draws)
    drawn = _areas(first, labels, times) - _areas(second, labels, times)
    low, high = np.quantile(drawn, (0.025, 0.975))
    value = roc_auc_score(labels, first) - roc_auc_score(labels, second)
    return Estimate(value=float(value), low=float(low), high=float(high), films=len(labels))


def _areas(scores: Scores, labels: Labels, times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the AUC of every draw (draws, films): the share of pairs in the right order, ties as one half."""
    difference = scores[labels][:, None] - scores[~labels][None, :]
    ordered = (difference > 0) + 0.5 * (difference == 0)
    positives, normals = times[:, labels], times[:, ~labels]
    pairs = positives.sum(axis=1) * normals.sum(axis=1)
    return np.asarray(((positives @ ordered) * normals).sum(axis=1) / pairs)


def _resampled(labels: Labels, patients: Names, *, seed: int, draws: int) -> NDArray[np.float64]:
    """Return (draws, films): how often each film is taken when patients are drawn with replacement."""
    rng = np.random.default_rng([seed, 11])
    _, patient = np.unique(patients, return_inverse=True)
    diseased = np.bincount(patient, weights=labels) > 0
    times = np.zeros((draws, diseased.size))
    for stratum in (np.flatnonzero(diseased), np.flatnonzero(~diseased)):
        chosen = rng.choice(stratum, size=(draws, stratum.size))
        np.add.at(times, (np.arange(draws)[:, None], chosen), 1)
    return np.asarray(times[:, patient])
