# SPDX-License-Identifier: Apache-2.0
"""Sends a job's objects to one destination: one association per task, and the next task when anything is left."""

from collections.abc import Sequence

from service.domain.entry import CircuitState, DeliveryRecord, DeliveryState, JobRecord
from service.domain.errors import DeliveryError, DestinationUnreachableError
from service.domain.event import ObjectDelivered, StageFinished
from service.ports import Destination, EncodedObject, ResultKind
from service.ports.ledger import LedgerTransaction
from service.workflow.circuit import Reach
from service.workflow.context import FlowParts
from service.workflow.notes import Notes
from service.workflow.outbox import Outbox
from service.workflow.slots import Statuses, Verdict, first_forms, in_order, is_permanent, is_taken, judge


class DeliverJob:
    """The task that makes one attempt at one destination."""

    def __init__(self, parts: FlowParts, destination: Destination, outbox: Outbox) -> None:
        self._parts = parts
        self._destination = destination
        self._outbox = outbox
        self._name = outbox.name
        self._notes = Notes(parts, outbox)
        self._taken = DeliveryState.STORED if outbox.settings.commitment == "request" else DeliveryState.DELIVERED

    def __call__(self, job_id: int, own_task_id: str) -> None:
        """Send what is pending and this task's own, and note the answer for each object."""
        with self._parts.ledger.reading() as view:
            job, circuit = view.jobs.get(job_id), view.circuits.get(self._name)
            pending = [row for row in self._pending(view, job_id) if row.task_id == own_task_id and not row.parked]
        if not pending or self._put_off(job, pending, closed=circuit.state is CircuitState.CLOSED):
            return
        self._attempt(job, pending)

    def attempt(self, job_id: int) -> bool:
        """Make one attempt at everything pending of a job, whoever has it; False when there was nothing to send."""
        with self._parts.ledger.reading() as view:
            job, pending = view.jobs.get(job_id), self._pending(view, job_id)
        return bool(pending) and self._attempt(job, pending)

    def _put_off(self, job: JobRecord, pending: Sequence[DeliveryRecord], *, closed: bool) -> bool:
        """Park the job while its destination is not there, and wait on when the clock stepped; False: go on."""
        due_at = min(row.next_attempt_at for row in pending)
        longest_seconds = self._outbox.settings.retry_max_seconds
        early_seconds = self._outbox.circuit.early_seconds(due_at, longest_seconds=longest_seconds)
        if closed and not early_seconds:
            return False
        with self._parts.ledger.transaction() as transaction:
            circuit = transaction.circuits.lock(self._name)
            if circuit.state is not CircuitState.CLOSED:
                transaction.deliveries.park(self._name, job_id=job.id)
                return True
            if early_seconds:
                self._outbox.assign(transaction, job, delay_seconds=early_seconds)
        return bool(early_seconds)

    def _pending(self, view: LedgerTransaction, job_id: int) -> tuple[DeliveryRecord, ...]:
        return view.deliveries.pending(job_id, self._name)

    def _attempt(self, job: JobRecord, pending: Sequence[DeliveryRecord]) -> bool:
        ready = in_order(self._notes.written(job, pending))
        if ready:
            self._send_all(job, ready)
        return bool(ready)

    def _send_all(self, job: JobRecord, pending: Sequence[DeliveryRecord]) -> None:
        started = self._parts.clock.monotonic()
        self._audit_begin(job, pending)
        statuses, error, reach = self._send(pending)
        with self._parts.ledger.transaction() as transaction:
            before = transaction.circuits.lock(self._name)
            verdict = self._judge(transaction, job, pending, statuses)
            self._settle(transaction, pending, verdict, statuses=statuses, error=error)
            self._audit_end(transaction, job, pending, verdict)
            if reach is Reach.BROKEN and before.state is CircuitState.HALF_OPEN:
                transaction.deliveries.tried(job.id, self._name)
            retired = self._notes.settled(transaction, job, pending, verdict)
            after = self._outbox.circuit.note(transaction, before, job_id=job.id, reach=reach)
            again = self._outbox.go_on(transaction, transaction.jobs.get(job.id), after)
        self._outbox.circuit.tell(before, after)
        if again:
            self._parts.observer(again)
        self._notes.tell(job, retired)
        self._observe(job, pending, verdict, statuses=statuses, seconds=self._parts.clock.monotonic() - started)

    def _judge(
        self, transaction: LedgerTransaction, job: JobRecord, pending: Sequence[DeliveryRecord], statuses: Statuses
    ) -> Verdict:
        rows = transaction.deliveries.of(job.id, self._name)
        return judge(rows, {row.id for row in pending}, statuses, taken=self._taken)

    def _send(self, rows: Sequence[DeliveryRecord]) -> tuple[Statuses, str, Reach]:
        silence: Statuses = dict.fromkeys((row.sop_instance_uid for row in rows), None)
        try:
            statuses = self._destination.send([_encoded(row) for row in rows])
        except DestinationUnreachableError as error:
            return silence, str(error), Reach.UNREACHABLE
        except DeliveryError as error:
            return silence, str(error), Reach.BROKEN
        answered = any(statuses.get(row.sop_instance_uid) is not None for row in rows)
        return statuses, "", Reach.ANSWERED if answered else Reach.BROKEN

    def _audit_begin(self, job: JobRecord, rows: Sequence[DeliveryRecord]) -> None:
        rows = first_forms(rows)
        if self._parts.audit.writes and any(row.attempts == 0 for row in rows):
            with self._parts.ledger.transaction() as transaction:
                self._parts.audit.begin_sending(transaction, job, rows, to=self._outbox.settings, at=self._parts.now())

    def _audit_end(
        self, transaction: LedgerTransaction, job: JobRecord, rows: Sequence[DeliveryRecord], verdict: Verdict
    ) -> None:
        taken = [row for row in rows if verdict.offered.get(row.id) is self._taken]
        refused = [row for row in rows if verdict.offered.get(row.id) is DeliveryState.REFUSED]
        now = self._parts.now()
        self._parts.audit.sent(transaction, job, taken, to=self._outbox.settings, at=now)
        self._parts.audit.refused(transaction, job, refused, to=self._outbox.settings, at=now)

    def _settle(
        self,
        transaction: LedgerTransaction,
        rows: Sequence[DeliveryRecord],
        verdict: Verdict,
        *,
        statuses: Statuses,
        error: str,
    ) -> None:
        now = self._parts.now()
        for row in rows:
            if row.id in verdict.offered:
                status = statuses.get(row.sop_instance_uid)
                transaction.deliveries.settle(
                    row.id,
                    verdict.offered[row.id],
                    status=status,
                    error=error,
                    permanent=is_permanent(status),
                    at=now,
                )
        transaction.deliveries.change(verdict.unneeded, DeliveryState.UNNEEDED, at=now)

    def _observe(
        self,
        job: JobRecord,
        rows: Sequence[DeliveryRecord],
        verdict: Verdict,
        *,
        statuses: Statuses,
        seconds: float,
    ) -> None:
        key = self._parts.study_key(job.study_instance_uid)
        self._parts.observer(StageFinished(stage="deliver", seconds=seconds, study_key=key, pipeline=job.pipeline))
        for row in rows:
            if row.id not in verdict.offered:
                continue
            self._parts.observer(
                ObjectDelivered(
                    study_key=key,
                    destination=self._name,
                    kind=row.kind,
                    status=_word(statuses.get(row.sop_instance_uid), verdict.offered[row.id]),
                    seconds=seconds,
                    lag_seconds=self._parts.now() - row.created_at,
                )
            )


def _encoded(row: DeliveryRecord) -> EncodedObject:
    return EncodedObject(
        kind=ResultKind(row.kind),
        sop_class_uid=row.sop_class_uid,
        sop_instance_uid=row.sop_instance_uid,
        path=row.path,
        slot=row.slot,
        rank=row.rank,
    )


def _word(status: int | None, state: DeliveryState) -> str:
    if status is None:
        return "unreachable"
    if state is DeliveryState.DECLINED:
        return "declined"
    return "stored" if is_taken(status) else "refused"
