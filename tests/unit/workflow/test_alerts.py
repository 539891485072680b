# SPDX-License-Identifier: Apache-2.0
"""Refusals become alerts at once, and a flood of them stays a handful of messages with the right counts."""

from dataclasses import dataclass, field

import pytest

from service.audit import AlertType
from service.domain.event import (
    AssociationRejected,
    CertificateRejected,
    ConnectionDropped,
    Event,
    InstanceReceived,
    TlsHandshake,
    ViewerRefused,
)
from service.workflow.alerts import CALLERS, OTHERS, WINDOW_SECONDS, Gathered, Kind, SecurityAlerts


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Bench:
    """Alerts on a clock of ours, and what was written of them."""

    clock: Clock = field(default_factory=Clock)
    told: list[tuple[Kind, Gathered]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alerts = SecurityAlerts(monotonic=self.clock)

    def write(self, *, at_end: bool = False) -> list[tuple[Kind, Gathered]]:
        due = self.alerts.due(at_end=at_end)
        self.alerts.written(due)
        self.told += due
        return due

    def count(self) -> int:
        return sum(entry.count for _, entry in self.told)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def stranger(number: int, *, address: str = "10.9.9.9") -> AssociationRejected:
    return AssociationRejected(peer="other", reason="calling_ae", address=address, calling_ae=f"EVIL{number}")


def received(outcome: str) -> InstanceReceived:
    return InstanceReceived(peer="ct", modality="CT", outcome=outcome, size_bytes=1, seconds=0.1, study_key="")


@pytest.mark.parametrize(
    ("event", "kind", "subject"),
    [
        (stranger(1), AlertType.NODE_AUTHENTICATION, "10.9.9.9"),
        (TlsHandshake(result="expired", address="10.1.1.1"), AlertType.NODE_AUTHENTICATION, "10.1.1.1"),
        (ConnectionDropped(reason="pdu_too_long", address="10.1.1.1"), AlertType.RESTRICTED_FUNCTION, "10.1.1.1"),
        (ViewerRefused(reason="too_many", address="10.1.1.1"), AlertType.NODE_AUTHENTICATION, "10.1.1.1"),
        (received("mismatch"), AlertType.RESTRICTED_FUNCTION, "ct"),
        (received("conflict"), AlertType.RESTRICTED_FUNCTION, "ct"),
        (CertificateRejected(certificate="node", problem="x"), AlertType.SECURITY_CONFIGURATION, ""),
    ],
)
def test_a_refusal_is_an_alert_at_once(bench: Bench, event: Event, kind: AlertType, subject: str) -> None:
    bench.alerts(event)
    ((found, entry),) = bench.write()
    assert (found.type, found.subject, entry.count) == (kind, subject, 1)


@pytest.mark.parametrize(
    "event",
    [
        received("stored"),
        received("out_of_resources"),
        TlsHandshake(result="ok", address="10.1.1.1"),
        AssociationRejected(peer="ct", reason="draining"),
        AssociationRejected(peer="ct", reason="too_many"),
    ],
)
def test_what_is_no_refusal_is_no_alert(bench: Bench, event: Event) -> None:
    bench.alerts(event)
    assert bench.write() == []


def test_ten_thousand_titles_from_one_address_are_one_message_a_minute(bench: Bench) -> None:
    for number in range(10_000):
        bench.alerts(stranger(number))
        if number % 10 == 0:
            bench.write()
    assert len(bench.told) == 1
    bench.clock.now += WINDOW_SECONDS
    bench.write()
    assert len(bench.told) == 2
    assert bench.count() == 10_000
    assert bench.told[-1][1].performer == "EVIL9999"


def test_ten_thousand_addresses_are_a_bounded_number_of_messages(bench: Bench) -> None:
    for number in range(10_000):
        bench.alerts(stranger(number, address=f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"))
    bench.write()
    assert len(bench.told) == CALLERS + 1
    assert bench.count() == 10_000
    assert [entry.count for kind, entry in bench.told if kind.subject == OTHERS] == [10_000 - CALLERS]


def test_the_end_tells_what_the_window_still_holds_back(bench: Bench) -> None:
    for _ in range(3):
        bench.alerts(stranger(1))
        bench.write()
    assert bench.count() == 1
    bench.write(at_end=True)
    assert bench.count() == 3


def test_what_could_not_be_written_is_told_later(bench: Bench) -> None:
    bench.alerts(stranger(1))
    assert len(bench.alerts.due()) == 1
    bench.alerts(stranger(2))
    bench.write()
    assert bench.count() == 2


def test_a_quiet_caller_is_forgotten(bench: Bench) -> None:
    for number in range(CALLERS):
        bench.alerts(stranger(number, address=f"10.0.0.{number}"))
    bench.write()
    bench.clock.now += WINDOW_SECONDS
    bench.write()
    bench.alerts(stranger(1, address="10.5.5.5"))
    ((kind, _),) = bench.write()
    assert kind.subject == "10.5.5.5"
