# SPDX-License-Identifier: Apache-2.0
"""What `make test` leaves to the full matrix: combinations, and no pair."""

from typing import Any

import pytest

from harness.pairs import covers_pairs, in_pairs


def kept(*values: Any) -> list[Any]:
    return [row.values for row in in_pairs(*values) if not row.marks]


@pytest.mark.parametrize(
    ("first", "second", "third"), [("abc", "vwxy", "123"), ("abcdef", "vwxy", "123"), ("ab", "x", "1")]
)
def test_the_rows_that_stay_hold_every_pair(first: str, second: str, third: str) -> None:
    rows = kept(first, second, third)
    assert covers_pairs(rows, first, second, third)
    assert len(rows) == len(first) * len(second)
    assert len(in_pairs(first, second, third)) == len(first) * len(second) * len(third)


def test_a_pair_that_is_missing_is_noticed() -> None:
    rows = kept("abc", "vwxy", "123")
    assert not any(covers_pairs([row for row in rows if row != without], "abc", "vwxy", "123") for without in rows)


def test_a_list_that_is_too_long_to_meet_the_others_is_refused() -> None:
    with pytest.raises(ValueError, match="must be the shortest"):
        in_pairs("ab", "abc", "abc")
