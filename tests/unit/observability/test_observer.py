# SPDX-License-Identifier: Apache-2.0
"""The combined observer reaches everybody and fails nobody."""

import logging

import pytest

from service.domain.event import Event, WorkerRestarted
from service.observability.observer import combine

EVENT = WorkerRestarted(reason="crashed")


class Broken:
    def __call__(self, event: Event, /) -> None:
        raise OSError(f"no space left for {event}")


def test_every_observer_sees_the_event_in_turn() -> None:
    seen: list[tuple[str, Event]] = []
    combine(lambda event: seen.append(("a", event)), lambda event: seen.append(("b", event)))(EVENT)
    assert seen == [("a", EVENT), ("b", EVENT)]


def test_a_broken_observer_is_reported_once_by_type_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Event] = []
    observe = combine(Broken(), seen.append)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            observe(EVENT)
    assert len(seen) == 3
    assert [record.getMessage() for record in caplog.records] == [
        "observer Broken fails with OSError; events are lost to it"
    ]
