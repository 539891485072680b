# SPDX-License-Identifier: Apache-2.0
"""Sends a job's objects to one destination: one association per task, and the next task when anything is left."""

from collections.abc import Mapping, Sequence

from service.domain.entry import DeliveryRecord, DeliveryState, JobRecord, JobState
from service.domain.errors import DeliveryError
from service.domain.event import ObjectDelivered, StageFinished
from service.ports import Destination, EncodedObject, ResultKind
from service.ports.ledger import LedgerTransaction
from service.settings import DestinationSettings
from service.workflow.backoff import wait_seconds
from service.workflow.context import FlowParts
from service.workflow.stages import deliver_stage, task

PERMANENT_TRIES = 3
"""So often is an object offered that the destination refuses for a reason that time does not mend."""
SOP_CLASS_NOT_SUPPORTED = 0x0122


class DeliverJob:
    """The task that makes one attempt at one destination."""

    def __init__(self, parts: FlowParts, destination: Destination, settings: DestinationSettings) -> None:
        self._parts = parts
        self._destination = destination
        self._settings = settings

    def __call__(self, job_id: int, own_task_id: str) -> None:
        """Send what is pending and this task's own, and note the answer for each object."""
        started = self._parts.clock.monotonic()
        with self._parts.ledger.reading() as view:
            job = view.jobs.get(job_id)
            pending = [row for row in self._pending(view, job_id) if row.task_id == own_task_id]
        if not pending:
            return
        self._audit_begin(job, pending)
        statuses, error = self._send(pending)
        with self._parts.ledger.transaction() as transaction:
            for row in pending:
                self._settle(transaction, row, status=statuses.get(row.sop_instance_uid), error=error)
            self._audit_end(transaction, job, pending, statuses=statuses)
            self._go_on(transaction, job)
        self._observe(job, pending, statuses=statuses, seconds=self._parts.clock.monotonic() - started)

    def _pending(self, view: LedgerTransaction, job_id: int) -> tuple[DeliveryRecord, ...]:
        return view.deliveries.pending(job_id, self._settings.name)

    def _send(self, rows: Sequence[DeliveryRecord]) -> tuple[Mapping[str, int | None], str]:
        try:
            return self._destination.send([_encoded(row) for row in rows]), ""
        except DeliveryError as error:
            return {}, str(error)

    def _audit_begin(self, job: JobRecord, rows: Sequence[DeliveryRecord]) -> None:
        if self._parts.audit.writes and any(row.attempts == 0 for row in rows):
            with self._parts.ledger.transaction() as transaction:
                self._parts.audit.begin_sending(transaction, job, rows, to=self._settings, at=self._parts.now())

    def _audit_end(
        self,
        transaction: LedgerTransaction,
        job: JobRecord,
        rows: Sequence[DeliveryRecord],
        *,
        statuses: Mapping[str, int | None],
    ) -> None:
        states = {
            row.id: next_state(statuses.get(row.sop_instance_uid), refusals=row.permanent_refusals) for row in rows
        }
        taken = [row for row in rows if states[row.id] is DeliveryState.DELIVERED]
        refused = [row for row in rows if states[row.id] is DeliveryState.REFUSED]
        now = self._parts.now()
        self._parts.audit.sent(transaction, job, taken, to=self._settings, at=now)
        self._parts.audit.refused(transaction, job, refused, to=self._settings, at=now)

    def _settle(self, transaction: LedgerTransaction, row: DeliveryRecord, *, status: int | None, error: str) -> None:
        permanent = is_permanent(status)
        state = next_state(status, refusals=row.permanent_refusals)
        now = self._parts.now()
        transaction.deliveries.settle(row.id, state, status=status, error=error, permanent=permanent, at=now)

    def _go_on(self, transaction: LedgerTransaction, job: JobRecord) -> None:
        left = self._pending(transaction, job.id)
        if left:
            self._try_again(transaction, job, left)
        elif transaction.deliveries.open_count(job.id) == 0:
            transaction.jobs.end(job.id, JobState.FINISHED, at=self._parts.now())

    def _try_again(self, transaction: LedgerTransaction, job: JobRecord, left: Sequence[DeliveryRecord]) -> None:
        delay_seconds = wait_seconds(
            max(row.attempts for row in left),
            first_seconds=self._settings.retry_first_seconds,
            max_seconds=self._settings.retry_max_seconds,
        )
        following = task(
            deliver_stage(self._settings.name),
            job.id,
            attempt=max(row.attempt for row in left) + 1,
            priority=job.priority,
            delay_seconds=delay_seconds,
        )
        due_at = self._parts.now() + delay_seconds
        transaction.deliveries.assign(job.id, self._settings.name, task_id=following.task_id, next_attempt_at=due_at)
        transaction.enqueue(following)

    def _observe(
        self,
        job: JobRecord,
        rows: Sequence[DeliveryRecord],
        *,
        statuses: Mapping[str, int | None],
        seconds: float,
    ) -> None:
        key = self._parts.study_key(job.study_instance_uid)
        self._parts.observer(StageFinished(stage="deliver", seconds=seconds, study_key=key, pipeline=job.pipeline))
        for row in rows:
            self._parts.observer(
                ObjectDelivered(
                    study_key=key,
                    destination=self._settings.name,
                    kind=row.kind,
                    status=_word(statuses.get(row.sop_instance_uid)),
                    seconds=seconds,
                    lag_seconds=self._parts.now() - row.created_at,
                )
            )


def is_taken(status: int | None) -> bool:
    """Say whether the destination has the object: success, or one of the warnings (PS3.4 B.2.3)."""
    return status is not None and (status == 0x0000 or status & 0xF000 == 0xB000)


def is_permanent(status: int | None) -> bool:
    """Say whether the answer is a refusal that time does not mend; out of resources (0xA7xx) and silence do."""
    if status is None:
        return False
    return status == SOP_CLASS_NOT_SUPPORTED or status & 0xFF00 == 0xA900 or status & 0xF000 == 0xC000


def next_state(status: int | None, *, refusals: int) -> DeliveryState:
    """Return where an object stands after an answer, when it was refused for good `refusals` times before."""
    if is_taken(status):
        return DeliveryState.DELIVERED
    if is_permanent(status) and refusals + 1 >= PERMANENT_TRIES:
        return DeliveryState.REFUSED
    return DeliveryState.PENDING


def _encoded(row: DeliveryRecord) -> EncodedObject:
    return EncodedObject(
        kind=ResultKind(row.kind),
        sop_class_uid=row.sop_class_uid,
        sop_instance_uid=row.sop_instance_uid,
        path=row.path,
    )


def _word(status: int | None) -> str:
    if status is None:
        return "unreachable"
    return "stored" if is_taken(status) else "refused"
