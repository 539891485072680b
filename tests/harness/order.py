# SPDX-License-Identifier: Apache-2.0
"""The order of tests: long ones first, dealt out to the workers, so that none is left alone with one at the end.

pytest-xdist's `worksteal` gives each worker one block of neighbours, which share the fixtures of their module, and lets
a worker without work take the end of another's block.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest

Item = TypeVar("Item")
LONG_SECONDS = 600
"""A test that is allowed as much, is long."""


def is_long(item: pytest.Item) -> bool:
    """Whether a test says that it may take its time (marker `timeout`)."""
    marker = item.get_closest_marker("timeout")
    return bool(marker and marker.args and marker.args[0] >= LONG_SECONDS)


def in_turns(items: Sequence[Item], is_long: Callable[[Item], bool], *, workers: int) -> list[Item]:
    """Return the items in as many blocks as there are workers, each with its share of the long ones in front."""
    long, short = [item for item in items if is_long(item)], [item for item in items if not is_long(item)]
    shares = [long[number::workers] for number in range(workers)]
    ends = [len(items) * number // workers for number in range(workers + 1)]
    ordered: list[Item] = []
    for share, begin, end in zip(shares, ends, ends[1:], strict=False):
        room = max(0, end - max(begin, len(ordered)) - len(share))
        ordered += [*share, *short[:room]]
        short = short[room:]
    return ordered + short
