# SPDX-License-Identifier: Apache-2.0
"""Long tests begin first, on every worker, and no test is lost."""

import pytest

from harness.order import in_turns

LONG = frozenset({3, 8, 17, 18, 19})


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 7, 20, 30])
def test_nothing_is_lost_or_doubled_and_neighbours_stay_neighbours(workers: int) -> None:
    ordered = in_turns(range(20), LONG.__contains__, workers=workers)
    assert sorted(ordered) == list(range(20))
    short = [item for item in ordered if item not in LONG]
    assert short == sorted(short)


def test_each_worker_begins_with_its_share_of_the_long_ones() -> None:
    ordered = in_turns(range(20), LONG.__contains__, workers=4)
    blocks = [ordered[begin : begin + 5] for begin in range(0, 20, 5)]
    assert [[item for item in block if item in LONG] for block in blocks] == [[3, 19], [8], [17], [18]]
    assert all(block[0] in LONG for block in blocks)


def test_one_worker_runs_the_long_ones_first() -> None:
    assert in_turns(range(20), LONG.__contains__, workers=1)[:5] == sorted(LONG)


def test_more_long_ones_than_a_block_holds_harm_nobody() -> None:
    assert sorted(in_turns(range(6), lambda _: True, workers=4)) == list(range(6))
