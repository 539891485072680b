# SPDX-License-Identifier: Apache-2.0
"""Measures calibration: expected calibration error, Brier score, and the reliability table that both come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import brier_score_loss

Scores = NDArray[np.floating]
BINS = 15
_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """The cases whose score lies in (low, high]: their number, mean score, and share of positives; NaN where none."""

    low: float
    high: float
    cases: int
    mean_score: float
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """How far scores are from probabilities.

    `ece` is the mean distance of mean score and share over bins, weighed by cases; `ece_debiased` is that less an
    estimate of what chance adds (Kumar 2019): some two fifths of it where there is no other error. A low one under
    shift proves nothing: errors may meet.
    """

    cases: int
    ece: float
    ece_debiased: float
    brier: float


def reliability_table(scores: Scores, truth: NDArray[np.bool_], *, bins: int = BINS) -> tuple[Bin, ...]:
    """Return equally wide bins of scores (N,) in [0, 1] against whether each case is positive (N,)."""
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, scores, side="left") - 1, 0, bins - 1)
    return tuple(_bin(edges[i], edges[i + 1], np.asarray(scores)[place == i], truth[place == i]) for i in range(bins))


def _bin(low: float, high: float, scores: Scores, truth: NDArray[np.bool_]) -> Bin:
    mean, share = (float(scores.mean()), float(truth.mean())) if len(scores) else (float("nan"), float("nan"))
    return Bin(low=float(low), high=float(high), cases=len(scores), mean_score=mean, share=share)


def measure_scores(scores: Scores, truth: NDArray[np.bool_], *, bins: int = BINS, seed: int = 0) -> Measured:
    """Measure scores (N,) of one class."""
    rows = [row for row in reliability_table(scores, truth, bins=bins) if row.cases]
    plain, debiased = _errors(rows, seed=seed)
    brier = float(brier_score_loss(truth, scores))
    return Measured(cases=len(truth), ece=plain, ece_debiased=debiased, brier=brier)


def top_class(probabilities: Scores, truth: NDArray[np.integer]) -> tuple[Scores, NDArray[np.bool_]]:
    """Return the highest probability (N,) of each case, and whether that class is the true one (N,)."""
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == truth


def measure_classes(probabilities: Scores, truth: NDArray[np.integer], *, bins: int = BINS, seed: int = 0) -> Measured:
    """Measure probabilities (N, K): the error of the most probable class, and the Brier score over all (0 to 2)."""
    measured = measure_scores(*top_class(probabilities, truth), bins=bins, seed=seed)
    brier = float(np.mean(np.sum((probabilities - np.eye(probabilities.shape[1])[truth]) ** 2, axis=1)))
    return Measured(cases=measured.cases, ece=measured.ece, ece_debiased=measured.ece_debiased, brier=brier)


def _errors(rows: Sequence[Bin], *, seed: int) -> tuple[float, float]:
    """Return the error, and twice that less its mean over tables whose shares vary as samples of this size do."""
    weight = np.array([row.cases for row in rows], dtype=np.float64)
    mean, share = np.array([row.mean_score for row in rows]), np.array([row.share for row in rows])
    spread = np.sqrt(share * (1 - share) / weight)
    weight /= weight.sum()
    plain = float(weight @ np.abs(mean - share))
    drawn = np.random.default_rng(seed).normal(share, spread, size=(_RESAMPLES, len(rows)))
    return plain, 2 * plain - float((np.abs(mean - drawn) @ weight).mean())


def draw_reliability(tables: dict[str, tuple[Bin, ...]], path: Path) -> None:
    """Draw share against mean score, one line for each table, as a PNG whose bytes repeat."""
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.7", linestyle="--", label="calibrated")
    for name, table in tables.items():
        rows = [row for row in table if row.cases]
        axes.plot([row.mean_score for row in rows], [row.share for row in rows], marker="o", label=name)
    axes.set(xlabel="mean score", ylabel="share of positives", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend()
    figure.savefig(path, dpi=100, metadata={"Software": None})
