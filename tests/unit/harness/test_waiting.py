# SPDX-License-Identifier: Apache-2.0
"""Tests that wait do not take the machine from those that work."""

import pytest

from harness import processes
from harness.processes import wait_until


class Clock:
    """Time that passes only while somebody looks or sleeps."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(processes, "time", made)
    return made


@pytest.mark.parametrize(("look_seconds", "share"), [(0.001, 0.02), (0.05, 0.2), (0.2, 0.2), (1.0, 0.5)])
def test_looks_that_take_long_are_taken_less_often(clock: Clock, look_seconds: float, share: float) -> None:
    def look() -> bool:
        clock.now += look_seconds
        return False

    with pytest.raises(TimeoutError, match="after 30 s: never"):
        wait_until(look, seconds=30, what="never")
    spent = clock.now - 100.0
    assert (spent - clock.slept) / spent == pytest.approx(share, abs=0.01)


def test_what_holds_is_seen_at_once(clock: Clock) -> None:
    wait_until(lambda: True, seconds=1, what="no truth")
    assert clock.slept == 0
