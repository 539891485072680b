# SPDX-License-Identifier: Apache-2.0
"""How long to wait before trying again: exponential, with full jitter, and never for good."""

from collections.abc import Callable

MAX_DOUBLINGS = 30


def longest_wait(attempts: int, *, first_seconds: float, max_seconds: float) -> float:
    """Return the upper bound of the wait after so many failed attempts."""
    return float(min(max_seconds, first_seconds * 2 ** min(max(attempts - 1, 0), MAX_DOUBLINGS)))


def wait_seconds(
    attempts: int, *, first_seconds: float, max_seconds: float, draw: Callable[[float, float], float]
) -> float:
    """Draw the wait: anything up to the bound, so that many results do not come back at once."""
    return draw(0, longest_wait(attempts, first_seconds=first_seconds, max_seconds=max_seconds))
