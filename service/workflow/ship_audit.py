# SPDX-License-Identifier: Apache-2.0
"""Carries audit messages from the ledger to the collector: in order, none lost, none waiting without bound."""

import threading
import time
from collections.abc import Callable, Sequence

from service.domain.audit import AuditEntry
from service.domain.errors import DeliveryError, DokueiError, StorageError
from service.domain.event import AuditCollectorLost, AuditCollectorReached, AuditDropped, AuditSent
from service.ports import AuditCollector, Ledger, Observer
from service.workflow.audit import AuditTrail

BATCH = 500
POLL_SECONDS = 0.5
CONFIRM_SECONDS = 2.0
"""A message is forgotten when the other side's TCP has it and the connection still stands this much later."""
STUCK_SECONDS = 60.0
"""A collector that has not read a batch by then is as good as away."""
BACK_OFF_SECONDS = (1.0, 60.0)
"""First and longest pause before the collector is called again."""
KEPT_SHARE = 0.99
"""To this share of the ceiling is the buffer cut when it is full, so that the alert about it comes rarely."""


class AuditShipper:
    """A thread that ships while `leads` says so; `now` is the wall clock as the ledger keeps it."""

    def __init__(
        self,
        trail: AuditTrail,
        ledger: Ledger,
        collector: AuditCollector,
        *,
        observer: Observer,
        max_pending: int,
        now: Callable[[], float],
        confirm_seconds: float = CONFIRM_SECONDS,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._trail = trail
        self._ledger = ledger
        self._collector = collector
        self._observer = observer
        self._max_pending = max_pending
        self._now = now
        self._confirm_seconds = confirm_seconds
        self._leads = leads
        self._up: bool | None = None
        self._written: frozenset[int] = frozenset()
        self._pause_seconds = BACK_OFF_SECONDS[0]
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit-shipper", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, patience_seconds: float) -> None:
        """Ship what is left within this time; the rest goes out at the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(patience_seconds)

    def ship(self) -> bool:
        """Ship one batch and forget it once the collector has it; False when nothing waited."""
        self._trim()
        with self._ledger.reading() as view:
            batch = view.audit.oldest(BATCH)
        if not batch:
            self._collector.has_all()  # notices that the other side has gone, before the next message does
            return False
        self._collector.send(batch)
        self._written = frozenset(entry.id for entry in batch)
        self._reached()
        self._confirm()
        self._forget(batch)
        return True

    def _run(self) -> None:
        led = False
        while not self._stopping.is_set():
            if self._leads():
                led = True
                self._stopping.wait(POLL_SECONDS if self._try() else self._pause_seconds)
                continue
            if led:
                self._hand_over()
                led = False
            self._stopping.wait(POLL_SECONDS)
        if self._leads():
            self._finish()

    def _hand_over(self) -> None:
        """Leave the collector to the member that leads now; what it did not confirm is sent again, under its number."""
        self._written = frozenset()
        self._up = None
        self._collector.close()

    def _try(self) -> bool:
        """Ship all there is; False when the collector or the ledger did not let us."""
        try:
            while self.ship() and not self._stopping.is_set():
                pass
        except (DeliveryError, StorageError) as error:
            self._lost(error)
            return False
        return True

    def _finish(self) -> None:
        """Ship what the last seconds wrote; the collector's own end of the connection confirms it."""
        try:
            with self._ledger.reading() as view:
                batch = view.audit.oldest(BATCH)
            unwritten = [entry for entry in batch if entry.id not in self._written]
            if unwritten:
                self._collector.send(unwritten)
            if self._collector.close():
                self._forget(batch)
        except DokueiError:
            return  # it is all in the ledger, and goes out at the next start

    def _confirm(self) -> None:
        ends = time.monotonic() + self._confirm_seconds
        while time.monotonic() < ends or not self._collector.has_all():
            if self._stopping.wait(min(0.1, self._confirm_seconds)):
                raise _StoppingError
            if time.monotonic() > ends + STUCK_SECONDS:
                raise DeliveryError("the audit collector stopped reading")
        self._collector.has_all()

    def _forget(self, batch: Sequence[AuditEntry]) -> None:
        if not batch:
            return
        with self._ledger.transaction() as transaction:
            transaction.audit.remove([entry.id for entry in batch])
        self._observer(AuditSent(count=len(batch)))

    def _trim(self) -> None:
        with self._ledger.reading() as view:
            waiting = view.audit.count()
        if waiting <= self._max_pending:
            return
        surplus = waiting - int(self._max_pending * KEPT_SHARE)
        with self._ledger.transaction() as transaction:
            transaction.audit.drop_oldest(surplus)
            self._trail.dropped(transaction, surplus, at=self._now())
        self._observer(AuditDropped(count=surplus))

    def _reached(self) -> None:
        self._pause_seconds = BACK_OFF_SECONDS[0]
        if self._up is not True:
            self._up = True
            with self._ledger.reading() as view:
                self._observer(AuditCollectorReached(pending=view.audit.count()))

    def _lost(self, error: DokueiError) -> None:
        if isinstance(error, _StoppingError):
            return
        self._written = frozenset()
        self._collector.close()
        self._pause_seconds = min(2 * self._pause_seconds, BACK_OFF_SECONDS[1])
        if self._up is not False:
            self._up = False
            self._observer(AuditCollectorLost(reason=getattr(error, "reason", type(error).__name__)))


class _StoppingError(DeliveryError):
    """The node stops while a batch waits to be confirmed; `_finish` confirms it by closing."""
