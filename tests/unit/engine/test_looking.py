# SPDX-License-Identifier: Apache-2.0
"""A queue is asked while something of it falls due, and now and then anyway."""

import pytest

from service.engine.looking import LOOK_ANYWAY_SECONDS, LOOK_FOR_OTHERS_SECONDS, LOOKS_AFTER_SECONDS, Looking


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def looks(looking: Looking, clock: Clock, *, seconds: float, step: float = 0.2) -> int:
    """Count how often a poll every `step` seconds finds that asking is worthwhile."""
    count = 0
    for _ in range(round(seconds / step)):
        clock.now += step
        count += looking.worthwhile("study")
    return count


def test_a_queue_that_expects_nothing_is_asked_now_and_then() -> None:
    clock = Clock()
    looking = Looking(clock)
    assert looking.worthwhile("study"), "what an earlier process left is found at once"
    assert looks(looking, clock, seconds=20) == round(20 / LOOK_ANYWAY_SECONDS)


def test_a_task_has_its_queue_asked_at_every_poll_for_a_while() -> None:
    clock = Clock()
    looking = Looking(clock)
    looking.worthwhile("study")
    looking.expect("study")
    assert looks(looking, clock, seconds=LOOKS_AFTER_SECONDS - 0.4) == round((LOOKS_AFTER_SECONDS - 0.4) / 0.2)
    assert looks(looking, clock, seconds=20) < 20 / LOOK_ANYWAY_SECONDS + 3


def test_a_delayed_task_has_its_queue_asked_when_it_falls_due_and_not_before() -> None:
    clock = Clock()
    looking = Looking(clock)
    looking.worthwhile("study")
    looking.expect("study", delay_seconds=60)
    assert looks(looking, clock, seconds=59) <= 59 / LOOK_ANYWAY_SECONDS + 1
    assert looks(looking, clock, seconds=4) >= 3 / 0.2 - 1


def test_queues_do_not_wake_each_other() -> None:
    clock = Clock()
    looking = Looking(clock)
    for queue in ("study", "encode"):
        looking.worthwhile(queue)
    looking.expect("encode")
    clock.now += 0.2
    assert looking.worthwhile("encode")
    assert not looking.worthwhile("study")


@pytest.mark.parametrize("begin", [9877.52, 0.1, 123456.7])
@pytest.mark.parametrize("anyway_seconds", [LOOK_FOR_OTHERS_SECONDS, 0.1, 2.0])
def test_a_queue_is_looked_at_first_whatever_the_clock_says(begin: float, anyway_seconds: float) -> None:
    """A difference of two times is seldom the number that it is in decimals."""
    for step in range(1000):
        assert Looking(lambda step=step: begin + step / 7, anyway_seconds=anyway_seconds).worthwhile("one")
