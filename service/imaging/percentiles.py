# SPDX-License-Identifier: Apache-2.0
"""Percentiles of large pictures: the answer of numpy's percentile, without bringing all values into order for it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST = 65_536
"""Fewer values are put into order as fast as they are looked through."""
_SAMPLE = 4_096


def percentiles(values: NDArray[Any], asked: Sequence[float]) -> NDArray[np.float64]:
    """Return percentiles (linear between neighbours) of finite values in one row, at least one.

    A sample says between which two values a percentile must lie; only what lies there is put into order, and counting
    what lies below says whether the sample was right.
    """
    if values.size < _LEAST:
        return np.asarray(np.percentile(values, asked), dtype=np.float64)
    sample = np.sort(values[:: values.size // _SAMPLE])
    return np.array([_percentile(values, sample, each / 100) for each in asked])


def _percentile(values: NDArray[Any], sample: NDArray[Any], share: float) -> float:
    place = (values.size - 1) * share
    first = int(place)
    second = min(first + 1, values.size - 1)
    lower, upper = _in_order(values, sample, share, first, second)
    between, difference = place - first, float(upper - lower)
    # As numpy's _lerp does it, to the last bit: the difference in the values' own precision, the rest in double.
    return float(upper) - difference * (1 - between) if between >= 0.5 else float(lower) + difference * between


def _in_order(values: NDArray[Any], sample: NDArray[Any], share: float, first: int, second: int) -> tuple[Any, Any]:
    """Return the values with the two numbers, counted from the smallest."""
    spread = 6 * np.sqrt(share * (1 - share) * sample.size) + 6
    left, right = int(share * sample.size - spread), int(share * sample.size + spread) + 1
    near = np.ones(values.shape, dtype=np.bool_)
    below = 0
    if left > 0:
        np.greater_equal(values, sample[left], out=near)
        below = values.size - int(np.count_nonzero(near))
    if right < sample.size:
        near &= values <= sample[right]
    found = values[near]
    if not below <= first or second - below >= found.size:
        found, below = values, 0
    ordered = np.partition(found, (first - below, second - below))
    return ordered[first - below], ordered[second - below]
