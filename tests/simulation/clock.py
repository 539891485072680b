# SPDX-License-Identifier: Apache-2.0
"""A clock that only the simulation moves."""

from datetime import UTC, datetime

START = datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp()


class VirtualClock:
    """`ports.Clock`; `step` sets the wall clock and leaves the steady one alone."""

    def __init__(self) -> None:
        self._seconds = 0.0
        self._stepped = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.wall(), UTC)

    def monotonic(self) -> float:
        return self._seconds

    def wall(self) -> float:
        return START + self._seconds + self._stepped

    def advance(self, seconds: float) -> None:
        assert seconds >= 0, "time goes forward"
        self._seconds += seconds

    def step(self, seconds: float) -> None:
        self._stepped += seconds
