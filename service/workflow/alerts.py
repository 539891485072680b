# SPDX-License-Identifier: Apache-2.0
"""Turns refusals into security alerts of the audit trail: the first at once, a flood as a count.

An attacker decides how often a refusal happens, so that neither memory nor disk nor the collector may follow that
number: what is alike within a minute is one message with a count, and so are all callers beyond the first few dozen.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from service.audit import Alert, AlertType
from service.domain.errors import StorageError
from service.domain.event import (
    AssociationRejected,
    CertificateRejected,
    ConnectionDropped,
    Event,
    InstanceReceived,
    TlsHandshake,
    ViewerRefused,
)
from service.ports.ledger import Ledger
from service.workflow.audit import AuditTrail

WINDOW_SECONDS = 60.0
"""What is alike is told once in this time, with the number of times that it happened."""
WRITE_SECONDS = 1.0
"""So often at most is the ledger written to."""
CALLERS = 64
"""So many callers of one kind of alert are told apart within a window; the rest are "others"."""
OTHERS = "others"
HARMLESS = frozenset({"stored", "duplicate", "out_of_resources", "storage_error", "draining"})
"""Outcomes of C-STORE that are no refusal of the object."""
OVERLOAD = frozenset({"draining", "too_many"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What alike alerts have in common: type, a word for the reason, and whom they are about."""

    type: AlertType
    reason: str
    subject: str


@dataclass(slots=True, kw_only=True)
class Gathered:
    """Alike alerts since the last message about them."""

    count: int = 0
    performer: str = ""
    written_at: float = float("-inf")


class SecurityAlerts:
    """An `Observer` that gathers refusals; a thread of its own writes them into the audit trail."""

    def __init__(self, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._gathered: dict[Kind, Gathered] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self, event: Event, /) -> None:
        """Gather the event if it is a refusal; returns at once and writes nothing."""
        read = READERS.get(type(event))
        found = read(event) if read else None
        if found is not None:
            self._gather(*found)

    def start(self, trail: AuditTrail, ledger: Ledger, *, now: Callable[[], float]) -> None:
        """Write what was and will be gathered."""
        self._thread = threading.Thread(
            target=self._run, args=(trail, ledger, now), name="security-alerts", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Write what is left, and end."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def due(self, *, at_end: bool = False) -> list[tuple[Kind, Gathered]]:
        """Return what is to be written now; everything `at_end`."""
        now = self._monotonic()
        with self._lock:
            self._forget_quiet(now)
            return [
                (kind, Gathered(count=entry.count, performer=entry.performer))
                for kind, entry in self._gathered.items()
                if entry.count and (at_end or now - entry.written_at >= WINDOW_SECONDS)
            ]

    def written(self, due: list[tuple[Kind, Gathered]]) -> None:
        """Note that these are in the ledger."""
        now = self._monotonic()
        with self._lock:
            for kind, told in due:
                entry = self._gathered[kind]
                entry.count -= told.count
                entry.written_at = now

    def _gather(self, kind: Kind, performer: str) -> None:
        with self._lock:
            entry = self._gathered.get(kind) or self._gathered.setdefault(self._admit(kind), Gathered())
            entry.count += 1
            entry.performer = performer
        self._wake.set()

    def _admit(self, kind: Kind) -> Kind:
        known = sum((other.type, other.reason) == (kind.type, kind.reason) for other in self._gathered)
        return kind if known < CALLERS else Kind(type=kind.type, reason=kind.reason, subject=OTHERS)

    def _forget_quiet(self, now: float) -> None:
        quiet = [
            kind
            for kind, entry in self._gathered.items()
            if not entry.count and now - entry.written_at >= WINDOW_SECONDS
        ]
        for kind in quiet:
            del self._gathered[kind]

    def _run(self, trail: AuditTrail, ledger: Ledger, now: Callable[[], float]) -> None:
        while not self._stopping.is_set():
            self._wake.wait(WINDOW_SECONDS)
            self._wake.clear()
            self._write(trail, ledger, at=now())
            self._stopping.wait(WRITE_SECONDS)
            if self._waiting():
                self._wake.set()
        self._write(trail, ledger, at=now(), at_end=True)

    def _waiting(self) -> bool:
        with self._lock:
            return any(entry.count for entry in self._gathered.values())

    def _write(self, trail: AuditTrail, ledger: Ledger, *, at: float, at_end: bool = False) -> None:
        due = self.due(at_end=at_end)
        if not due:
            return
        try:
            with ledger.transaction() as transaction:
                trail.alerts(transaction, [_alert(kind, entry) for kind, entry in due], at=at)
        except StorageError:
            return  # it stays gathered; the ledger's fault is told by /readyz and by every other stage
        self.written(due)


def _alert(kind: Kind, entry: Gathered) -> Alert:
    times = "" if entry.count == 1 else f", {entry.count} times since the last message about it"
    subject = "" if kind.subject == OTHERS else kind.subject
    who = f" (callers beyond the first {CALLERS})" if kind.subject == OTHERS else ""
    return Alert(type=kind.type, subject=subject, description=f"{kind.reason}{who}{times}", performer=entry.performer)


Found = tuple[Kind, str]


def _rejected(event: AssociationRejected) -> Found | None:
    if event.reason in OVERLOAD:
        return None
    reason = f"association rejected: {event.reason}"
    return Kind(type=AlertType.NODE_AUTHENTICATION, reason=reason, subject=event.address), event.calling_ae


def _handshake(event: TlsHandshake) -> Found | None:
    if event.result == "ok":
        return None
    reason = f"TLS handshake failed: {event.result}"
    return Kind(type=AlertType.NODE_AUTHENTICATION, reason=reason, subject=event.address), ""


def _dropped(event: ConnectionDropped) -> Found:
    reason = f"connection dropped: {event.reason}"
    return Kind(type=AlertType.RESTRICTED_FUNCTION, reason=reason, subject=event.address), ""


def _refused(event: InstanceReceived) -> Found | None:
    if event.outcome in HARMLESS:
        return None
    reason = f"object refused or set aside: {event.outcome}"
    return Kind(type=AlertType.RESTRICTED_FUNCTION, reason=reason, subject=event.peer), ""


def _configuration(event: CertificateRejected) -> Found:
    reason = f"new certificate files of '{event.certificate}' cannot be used"
    return Kind(type=AlertType.SECURITY_CONFIGURATION, reason=reason, subject=""), ""


def _viewer(event: ViewerRefused) -> Found:
    reason = f"sign-in to the status page refused: {event.reason}"
    return Kind(type=AlertType.NODE_AUTHENTICATION, reason=reason, subject=event.address), ""


READERS: dict[type[Event], Callable[..., Found | None]] = {
    AssociationRejected: _rejected,
    TlsHandshake: _handshake,
    ConnectionDropped: _dropped,
    InstanceReceived: _refused,
    CertificateRejected: _configuration,
    ViewerRefused: _viewer,
}
