# SPDX-License-Identifier: Apache-2.0
"""The errors of extent as Markdown: a table by pattern, with and without the filter, and one by pattern and zone."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from models.experiments.lung_extents.agreement import Agreement
from models.experiments.lung_extents.measuring import PLACES, Compared
from models.phantoms.computed_tomography import PATTERNS

Stacked = NDArray[np.float64]
"""(chests, 6 places, K) percent."""


def condition_page(condition: str, found: Sequence[Compared]) -> Iterator[str]:
    """Yield the lines of one condition."""
    drawn, smoothed, bare = (
        np.stack([getattr(each, name) for each in found]) for name in ("drawn", "smoothed", "bare")
    )
    yield f"### {condition}"
    yield ""
    yield (
        "| pattern | places | bias (95 % limits) | mean error | without the filter | mean error | called elsewhere | "
        "without the filter |"
    )
    yield "|---" * 8 + "|"
    for index, pattern in enumerate(PATTERNS):
        yield _row(pattern.replace("_", " "), *(each[..., index] for each in (drawn, smoothed, bare)))
    yield _row("**abnormal**", *(100 - each[..., 0] for each in (drawn, smoothed, bare)))
    yield ""
    yield "Mean error by place, with the filter: every chest counts, whether or not it has the pattern there."
    yield ""
    yield "| pattern | " + " | ".join(PLACES) + " |"
    yield "|---" * (1 + len(PLACES)) + "|"
    for index, pattern in enumerate(PATTERNS):
        errors = np.abs(smoothed[..., index] - drawn[..., index]).mean(axis=0)
        yield f"| {pattern.replace('_', ' ')} | " + " | ".join(f"{error:.1f}" for error in errors) + " |"
    yield ""


def _row(name: str, drawn: Stacked, smoothed: Stacked, bare: Stacked) -> str:
    there = drawn > 0
    with_filter, without = (Agreement.of(read[there], drawn[there]) for read in (smoothed, bare))
    elsewhere, before = (Agreement.of(read[~there], drawn[~there]) for read in (smoothed, bare))
    cells = (
        str(with_filter.pairs),
        _limits(with_filter),
        _points(with_filter.mean_error),
        _limits(without),
        _points(without.mean_error),
        _points(elsewhere.bias),
        _points(before.bias),
    )
    return f"| {name} | " + " | ".join(cells) + " |"


def _limits(found: Agreement) -> str:
    return "-" if not found.pairs else f"{found.bias:+.1f} ({_signed(found.low)} to {_signed(found.high)})"


def _signed(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:+.1f}"


def _points(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1f}"
