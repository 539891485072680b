# SPDX-License-Identifier: Apache-2.0
"""What two classifiers said of the same patches: confusion, recall with its interval, and whether they differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, false_discovery_control
from sklearn.metrics import confusion_matrix

Classes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of `cases` with Wilson's 95 % interval."""

    value: float
    low: float
    high: float
    cases: int

    @classmethod
    def of(cls, right: NDArray[np.bool_]) -> "Share":
        """Count what is right; of no cases the share is unknown (NaN) and the interval is everything."""
        cases = int(right.size)
        if not cases:
            return cls(value=float("nan"), low=0.0, high=1.0, cases=0)
        counted = binomtest(int(right.sum()), cases)
        interval = counted.proportion_ci(0.95, method="wilson")
        return cls(value=float(counted.statistic), low=float(interval.low), high=float(interval.high), cases=cases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """The share of one pattern that each classifier recognised; `p` is McNemar's, corrected for twelve patterns."""

    pattern: str
    old: Share
    new: Share
    p: float


def matrix(truth: Classes, said: Classes, *, patterns: int) -> NDArray[np.int64]:
    """Return counts (patterns, patterns): rows are what was drawn, columns what was said."""
    counts = confusion_matrix(truth, said, labels=range(patterns))
    return np.asarray(counts, dtype=np.int64)


def recalls(truth: Classes, old: Classes, new: Classes, *, patterns: Sequence[str]) -> tuple[Recall, ...]:
    """Compare two classifiers on the same patches, pattern by pattern."""
    of_pattern = [truth == index for index in range(len(patterns))]
    rights = [((old == truth)[chosen], (new == truth)[chosen]) for chosen in of_pattern]
    corrected = false_discovery_control([mcnemar(*pair) for pair in rights], method="by")
    return tuple(
        Recall(pattern=name, old=Share.of(pair[0]), new=Share.of(pair[1]), p=float(p))
        for name, pair, p in zip(patterns, rights, corrected, strict=True)
    )


def mcnemar(old: NDArray[np.bool_], new: NDArray[np.bool_]) -> float:
    """Return the exact two-sided p of McNemar's test (1947): that those who differ differ by chance."""
    gained, lost = int((new & ~old).sum()), int((old & ~new).sum())
    return 1.0 if gained + lost == 0 else float(binomtest(gained, gained + lost).pvalue)
