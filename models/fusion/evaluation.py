# SPDX-License-Identifier: Apache-2.0
"""Patient-wise split, and the area under the ROC curve with an interval from a bootstrap of patients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.model_selection import StratifiedGroupKFold

from models.fusion.table import Table

Array = NDArray[np.float64]


def split_patients(table: Table, *, parts: int, seed: int) -> tuple[Table, Table]:
    """Return training rows and one part of `parts` that is held out; no patient is in both.

    Raises
    ------
    ValueError
        There are too few patients of either kind.
    """
    for value in (0, 1):
        count = len(set(table.patients[table.target == value].tolist()))
        if count < 2 * parts:
            raise ValueError(
                f"{count} patients with target {value}; at least {2 * parts} are needed to train and to hold out"
            )
    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    trained, held_out = next(splitter.split(table.target, table.target, table.patients))
    return table.rows(trained), table.rows(held_out)


def auc(target: NDArray[np.int64], scores: Array) -> float:
    """Return the probability that a positive scores above a negative, ties counting half."""
    positive = target == 1
    ranks = rankdata(scores)
    count = int(positive.sum())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(target) - count)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Auc:
    """The area, its 95 % interval, and on how many rows and patients."""

    value: float
    low: float
    high: float
    rows: int
    patients: int

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.value:.3f} (95 % {self.low:.3f} to {self.high:.3f}; {self.rows} rows, {self.patients} patients)"


def clustered_auc(
    target: NDArray[np.int64], scores: Array, patients: NDArray[np.str_], *, seed: int, resamples: int = 2000
) -> Auc:
    """Return the area with a percentile interval over resamples of patients, each with all of their rows.

    Resamples without both targets are drawn again.
    """
    rng = np.random.default_rng([seed, 2])
    _, places = np.unique(patients, return_inverse=True)
    rows = [np.flatnonzero(places == place) for place in range(places.max() + 1)]
    found: list[float] = []
    while len(found) < resamples:
        chosen = np.concatenate([rows[place] for place in rng.integers(len(rows), size=len(rows))])
        if 0 < target[chosen].sum() < len(chosen):
            found.append(auc(target[chosen], scores[chosen]))
    low, high = np.percentile(found, [2.5, 97.5])
    return Auc(value=auc(target, scores), low=float(low), high=float(high), rows=len(target), patients=len(rows))
