# SPDX-License-Identifier: Apache-2.0
"""Large matrices of tests: what holds every pair of values runs always, the whole matrix with make test-full."""

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any

import pytest


def covers_pairs(chosen: Sequence[Sequence[Any]], *values: Sequence[Any]) -> bool:
    """Whether every value of every list meets every value of every other list in one of the chosen rows."""
    return all(
        {(row[one], row[other]) for row in chosen} >= set(product(values[one], values[other]))
        for one, other in combinations(range(len(values)), 2)
    )


def in_pairs(first: Sequence[Any], second: Sequence[Any], third: Sequence[Any]) -> list[Any]:
    """Return every combination of three lists as a parameter; those that no pair needs are of the full matrix.

    The rows that stay give each combination of the first two lists one value of the third in turn (a Latin square).

    Raises
    ------
    ValueError
        The third list is longer than one of the others: its values could not all meet the others' in turn.
    """
    if len(third) > min(len(first), len(second)):
        raise ValueError("the third list must be the shortest")
    rows = product(enumerate(first), enumerate(second), enumerate(third))
    return [
        pytest.param(a, b, c, marks=() if three == (one + two) % len(third) else pytest.mark.full_matrix)
        for (one, a), (two, b), (three, c) in rows
    ]
