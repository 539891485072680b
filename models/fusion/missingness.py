# SPDX-License-Identifier: Apache-2.0
"""Asks whether values are missing at random: whether their absence alone tells the target."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import fisher_exact

from models.fusion.table import Table

SIGNIFICANCE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Missingness:
    """How much of a column is missing, by target, and Fisher's exact p over patients, times the columns tested."""

    column: str
    share: float
    share_negative: float
    share_positive: float
    p: float

    @property
    def suspicious(self) -> bool:
        """Whether absence goes with the target."""
        return self.p < SIGNIFICANCE

    def warning(self) -> str:
        """Say what it means."""
        return (
            f"column {self.column!r} is missing in {self.share_positive:.0%} of positives and "
            f"{self.share_negative:.0%} of negatives (p = {self.p:.2g}): not missing at random. A mean cannot stand "
            "for such values, and a score that rests on their absence measures who was examined, not who is ill; leave "
            "the column out, or collect it for all"
        )


def missingness(table: Table) -> tuple[Missingness, ...]:
    """Test every column with missing values; a patient counts once, with the first row."""
    _, first = np.unique(table.patients, return_index=True)
    once = table.rows(first)
    absent = {name: np.isnan(column) for name, column in once.numbers.items()}
    absent |= {name: column == "" for name, column in once.words.items()}
    tested = {name: gone for name, gone in absent.items() if gone.any() and not gone.all()}
    return tuple(_tested(name, gone, once.target, columns=len(tested)) for name, gone in tested.items())


def _tested(name: str, gone: NDArray[np.bool_], target: NDArray[np.int64], *, columns: int) -> Missingness:
    positive = target == 1
    counts = [[int((gone & side).sum()), int((~gone & side).sum())] for side in (positive, ~positive)]
    return Missingness(
        column=name,
        share=float(gone.mean()),
        share_negative=float(gone[~positive].mean()) if (~positive).any() else 0.0,
        share_positive=float(gone[positive].mean()) if positive.any() else 0.0,
        p=min(1.0, float(fisher_exact(counts).pvalue) * columns),
    )
