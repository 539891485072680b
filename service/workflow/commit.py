# SPDX-License-Identifier: Apache-2.0
"""Storage commitment as SCU (PS3.4 annex J): asks destinations to keep what they stored, and takes in their reports.

A transaction is in the ledger before the destination hears of it, so that its report is known however early it comes,
and on whichever association. Without a report in time it is asked again, under the next Transaction UID; after
`ASKS` of these the destination is queried instead, and what it does not have is sent again.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from service.domain.entry import (
    CircuitRecord,
    CircuitState,
    CommitmentRecord,
    CommitmentState,
    DeliveryRecord,
    DeliveryState,
    JobRecord,
    Proof,
)
from service.domain.errors import CommitmentUnsupportedError, DeliveryError, QueryUnsupportedError
from service.domain.event import CommitmentSettled, Event, RetryPlanned
from service.ports import CommitmentPeer, CommitmentReport, ObjectReference
from service.ports.ledger import LedgerTransaction
from service.workflow.circuit import Reach, is_there
from service.workflow.context import FlowParts
from service.workflow.outbox import Outbox
from service.workflow.slots import PERMANENT_TRIES

ASKS = 7
"""A transaction and its six repetitions go without a report before the destination is queried."""
LONGEST_SECONDS = 86_400.0
NO_SUCH_OBJECT = 0x0112
NOT_MENTIONED = 0x0110
"""An instance that a report leaves out is taken as one that failed without saying why (processing failure)."""
ASK_AGAIN = frozenset({0x0110, 0x0131, 0x0213})
"""Failure reasons of the moment (processing failure, transaction UID in use, resource limitation): no need to send."""
PERMANENT_REASONS = frozenset({0x0119, 0x0122})
"""Class-instance conflict and SOP class not supported: sending again does not mend them, and three times is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """One look at a transaction: its rows as they were when the task began."""

    row: CommitmentRecord
    job: JobRecord
    stored: tuple[DeliveryRecord, ...]

    @property
    def references(self) -> list[ObjectReference]:
        return [
            ObjectReference(sop_class_uid=row.sop_class_uid, sop_instance_uid=row.sop_instance_uid)
            for row in self.stored
        ]


class CommitJob:
    """The task of one storage commitment transaction: asks, waits for the report by the clock, and asks again."""

    def __init__(self, parts: FlowParts, archive: CommitmentPeer, outbox: Outbox) -> None:
        self._parts = parts
        self._archive = archive
        self._destination = parts.destinations[outbox.name]
        self._outbox = outbox

    def __call__(self, commitment_id: int, own_task_id: str) -> None:
        """Go on with the transaction, unless it is over or another task has it."""
        with self._parts.ledger.reading() as view:
            row = view.commitments.get(commitment_id)
            job = view.jobs.get(row.job_id)
            circuit = view.circuits.get(row.destination)
            stored = [item for item in view.deliveries.stored(job.id, row.destination) if item.id in row.delivery_ids]
        if row.state is not CommitmentState.OPEN or row.task_id != own_task_id:
            return
        step = _Step(row=row, job=job, stored=tuple(stored))
        if not stored:
            self._end(step, CommitmentState.ANSWERED)
        elif not self._put_off(step, closed=circuit.state is CircuitState.CLOSED):
            self._go_on(step)

    def _put_off(self, step: _Step, *, closed: bool) -> bool:
        longest_seconds = max(self._report_seconds(step.row), self._outbox.settings.retry_max_seconds)
        early_seconds = self._outbox.circuit.early_seconds(step.row.due_at, longest_seconds=longest_seconds)
        if closed and not early_seconds:
            return False
        with self._parts.ledger.transaction() as transaction:
            circuit = transaction.circuits.lock(self._outbox.name)
            if early_seconds:
                self._outbox.assign_commitment(transaction, step.job, step.row, delay_seconds=early_seconds)
            elif circuit.state is not CircuitState.CLOSED:
                self._park(transaction, step)
            return bool(early_seconds) or circuit.state is not CircuitState.CLOSED

    def _park(self, transaction: LedgerTransaction, step: _Step) -> None:
        """Wait for the destination; a transaction without a report in time gives way to the next one first."""
        if step.row.asked_at is None or self._is_last(step.row):
            transaction.commitments.park(self._outbox.name, commitment_id=step.row.id)
        else:
            self._close(transaction, step, CommitmentState.EXPIRED)

    def _go_on(self, step: _Step) -> None:
        if step.row.asked_at is None:
            self._ask(step)
            return
        self._tell("unanswered", len(step.stored))
        if self._is_last(step.row):
            self._query(step, resend=True)
        else:
            self._end(step, CommitmentState.EXPIRED)

    def _is_last(self, row: CommitmentRecord) -> bool:
        """Say whether enough transactions went without a report, when this one does too."""
        return (row.unanswered + 1) % ASKS == 0

    def _ask(self, step: _Step) -> None:
        try:
            report = self._archive.request_commitment(step.row.transaction_uid, step.references)
        except CommitmentUnsupportedError:
            self._tell("unsupported", len(step.stored))
            self._query(step, resend=False)
        except DeliveryError:
            self._failed(step)
        else:
            self._asked(step, report)

    def _asked(self, step: _Step, report: CommitmentReport | None) -> None:
        told: list[Event] = []
        with self._parts.ledger.transaction() as transaction:
            before, after = self._noted(transaction, step, Reach.ANSWERED)
            row = transaction.commitments.get(step.row.id)
            if report is not None and report.transaction_uid == row.transaction_uid:
                told = take_report(transaction, report, row, outbox=self._outbox, parts=self._parts)
            elif row.state is CommitmentState.OPEN:  # the report may have come on another association meanwhile
                transaction.commitments.asked(row.id, at=self._parts.now())
                self._outbox.assign_commitment(transaction, step.job, row, delay_seconds=self._report_seconds(row))
        self._outbox.circuit.tell(before, after)
        self._tell_all(told)

    def _query(self, step: _Step, *, resend: bool) -> None:
        """Ask what the destination has; `resend` what it does not have, also when it does not say."""
        try:
            found = self._archive.find_stored(step.job.study_instance_uid, step.references)
        except QueryUnsupportedError:
            found = frozenset()
        except DeliveryError:
            self._failed(step)
            return
        else:
            resend = True
        self._found(step, found, resend=resend)

    def _found(self, step: _Step, found: Collection[str], *, resend: bool) -> None:
        there = [row.id for row in step.stored if row.sop_instance_uid in found]
        missing = [row for row in step.stored if row.sop_instance_uid not in found]
        with self._parts.ledger.transaction() as transaction:
            before, after = self._noted(transaction, step, Reach.ANSWERED)
            at = self._parts.now()
            news = transaction.deliveries.commit(there, Proof.QUERY, at=at)
            for row in missing if resend else ():
                error = "the destination sent no storage commitment report, and a query did not find the object"
                transaction.deliveries.deny(row.id, DeliveryState.PENDING, error=error, permanent=False, at=at)
            again = self._close(transaction, step, CommitmentState.EXPIRED, waiting=not resend)
        self._outbox.circuit.tell(before, after)
        self._tell("found", news)
        self._tell("missing", len(missing) if resend else 0)
        self._tell_all([again] if again else [])

    def _failed(self, step: _Step) -> None:
        """Try this step again later: the same request under the same UID.

        A destination that takes associations is not left alone for a commitment service that does not work.
        """
        seconds = self._outbox.circuit.wait_seconds(step.row.attempt)
        reach = Reach.ANSWERED if is_there(self._destination) else Reach.UNREACHABLE
        with self._parts.ledger.transaction() as transaction:
            before, after = self._noted(transaction, step, reach)
            row = transaction.commitments.get(step.row.id)
            if row.state is CommitmentState.OPEN:
                self._outbox.assign_commitment(transaction, step.job, row, delay_seconds=seconds)
                if after.state is not CircuitState.CLOSED:
                    transaction.commitments.park(self._outbox.name, commitment_id=row.id)
        self._outbox.circuit.tell(before, after)
        self._outbox.circuit.tell_retry("commit", seconds)
        self._tell("unreachable", len(step.stored))

    def _end(self, step: _Step, state: CommitmentState) -> None:
        with self._parts.ledger.transaction() as transaction:
            transaction.circuits.lock(self._outbox.name)
            again = self._close(transaction, step, state)
        self._tell_all([again] if again else [])

    def _close(
        self, transaction: LedgerTransaction, step: _Step, state: CommitmentState, *, waiting: bool = False
    ) -> RetryPlanned | None:
        """End the transaction and go on; `waiting` as long as for a report before the next one."""
        if transaction.commitments.get(step.row.id).state is not CommitmentState.OPEN:
            return None
        transaction.commitments.end(step.row.id, state, at=self._parts.now())
        job, circuit = transaction.jobs.get(step.job.id), transaction.circuits.get(self._outbox.name)
        again = self._outbox.go_on(transaction, job, circuit)
        latest = transaction.commitments.latest(job.id, self._outbox.name)
        if waiting and latest and latest.state is CommitmentState.OPEN:
            self._outbox.assign_commitment(transaction, job, latest, delay_seconds=self._report_seconds(latest))
        return again

    def _noted(self, transaction: LedgerTransaction, step: _Step, reach: Reach) -> tuple[CircuitRecord, CircuitRecord]:
        before = transaction.circuits.lock(self._outbox.name)
        return before, self._outbox.circuit.note(transaction, before, job_id=step.job.id, reach=reach)

    def _report_seconds(self, row: CommitmentRecord) -> float:
        """Return how long a report may take: longer with every round that went without any, up to a day."""
        doubled = self._outbox.settings.commitment_report_seconds * 2.0 ** min(row.unanswered // ASKS, 30)
        return min(doubled, LONGEST_SECONDS)

    def _tell(self, result: str, count: int) -> None:
        if count:
            self._parts.observer(CommitmentSettled(destination=self._outbox.name, result=result, count=count))

    def _tell_all(self, events: Collection[Event]) -> None:
        for event in events:
            self._parts.observer(event)


class TakeReport:
    """`ports.CommitmentListener`: takes in reports on whichever association they come."""

    def __init__(self, parts: FlowParts) -> None:
        self._parts = parts
        self._outboxes: Mapping[str, Outbox] = {
            settings.name: Outbox(parts, settings) for settings in parts.settings.destinations
        }
        self._titles = {peer.name: peer.ae_title for peer in parts.settings.peers}

    def __call__(self, peer: str, report: CommitmentReport) -> bool:
        """Note the report durably; False when nobody asked this peer for this transaction."""
        with self._parts.ledger.reading() as view:
            row = view.commitments.find(report.transaction_uid)
        outbox = self._outboxes.get(row.destination) if row else None
        if row is None or outbox is None:
            self._parts.observer(CommitmentSettled(destination=peer, result="unknown", count=1))
            return False
        if not self._speaks_for(peer, outbox):
            self._parts.observer(CommitmentSettled(destination=outbox.name, result="stranger", count=1))
            return False
        with self._parts.ledger.transaction() as transaction:
            transaction.circuits.lock(outbox.name)
            row = transaction.commitments.get(row.id)
            events = take_report(transaction, report, row, outbox=outbox, parts=self._parts)
        for event in events:
            self._parts.observer(event)
        return True

    def _speaks_for(self, peer: str, outbox: Outbox) -> bool:
        """Say whether the peer is the destination: both have the same name in config.yaml, or the same AE title."""
        return peer == outbox.name or self._titles.get(peer) == outbox.settings.ae_title


def take_report(
    transaction: LedgerTransaction, report: CommitmentReport, row: CommitmentRecord, *, outbox: Outbox, parts: FlowParts
) -> list[Event]:
    """Apply a report to the transaction that it answers; return what to tell once that is in the ledger.

    What is committed counts whenever it comes. A failure counts only while the transaction is open: afterwards a newer
    one has been asked, or the objects have been sent again.
    """
    at = parts.now()
    rows = {item.sop_instance_uid: item for item in map(transaction.deliveries.get, row.delivery_ids)}
    committed = [rows[item.sop_instance_uid].id for item in report.committed if item.sop_instance_uid in rows]
    news = transaction.deliveries.commit(committed, Proof.REPORT, at=at)
    denied = 0
    if row.state is CommitmentState.OPEN:
        reasons = {failure.reference.sop_instance_uid: failure.reason for failure in report.failed}
        left = transaction.deliveries.stored(row.job_id, row.destination)
        refused = [item for item in left if item.id in row.delivery_ids]
        for item in refused:
            _deny(transaction, item, reasons.get(item.sop_instance_uid, NOT_MENTIONED), at=at)
        denied = len(refused)
        transaction.commitments.end(row.id, CommitmentState.ANSWERED, at=at)
    again: RetryPlanned | None = None
    if news or row.state is CommitmentState.OPEN:
        job, circuit = transaction.jobs.get(row.job_id), transaction.circuits.get(outbox.name)
        again = outbox.go_on(transaction, job, circuit, denied=True)
    told: list[Event] = [
        CommitmentSettled(destination=outbox.name, result=result, count=count)
        for result, count in (("committed", news), ("denied", denied))
        if count
    ]
    return [*told, *([again] if again else [])]


def _deny(transaction: LedgerTransaction, row: DeliveryRecord, reason: int, *, at: float) -> None:
    permanent = reason in PERMANENT_REASONS
    held = permanent and row.permanent_refusals + 1 >= PERMANENT_TRIES
    again = DeliveryState.STORED if reason in ASK_AGAIN else DeliveryState.PENDING
    state = DeliveryState.REFUSED if held else again
    error = f"storage commitment denied with failure reason 0x{reason:04X}"
    transaction.deliveries.deny(row.id, state, error=error, permanent=permanent, at=at)
