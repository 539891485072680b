# SPDX-License-Identifier: Apache-2.0
"""Sends a job's objects to one destination: one association per task, and the next task when anything is left."""

from collections.abc import Mapping, Sequence

from service.domain.entry import CircuitState, DeliveryRecord, DeliveryState, JobRecord
from service.domain.errors import DeliveryError, DestinationUnreachableError
from service.domain.event import ObjectDelivered, StageFinished
from service.ports import Destination, EncodedObject, ResultKind
from service.ports.ledger import LedgerTransaction
from service.workflow.circuit import Reach
from service.workflow.context import FlowParts
from service.workflow.outbox import Outbox

PERMANENT_TRIES = 3
"""So often is an object offered that the destination refuses for a reason that time does not mend."""
DUPLICATE_SOP_INSTANCE = 0x0111
"""It has an object with this UID; ours are derived, so that it is this one."""
ATTRIBUTE_WARNINGS = (0x0107, 0x0116)
"""Attribute list error, and attribute value out of range: done, with a remark (PS3.7 C.5)."""
PERMANENT_STATUSES = frozenset(
    {
        0x0106,  # invalid attribute value
        0x0112,  # no such object instance
        0x0115,  # invalid argument value
        0x0117,  # invalid object instance: the UID breaks its rules
        0x0118,  # no such object class
        0x0119,  # class-instance conflict
        0x0120,  # missing attribute
        0x0121,  # missing attribute value
        0x0122,  # SOP class not supported
        0x0124,  # not authorised
        0x0211,  # unrecognised operation
        0x0212,  # mistyped argument
    }
)
"""Refusals of PS3.7 annex C that speak of the object or of the destination's configuration.

The others are of the moment: 0x0110 processing failure, 0x0210 duplicate invocation, 0x0213 resource limitation.
"""


class DeliverJob:
    """The task that makes one attempt at one destination."""

    def __init__(self, parts: FlowParts, destination: Destination, outbox: Outbox) -> None:
        self._parts = parts
        self._destination = destination
        self._outbox = outbox
        self._name = outbox.name
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
        """Make one attempt at everything pending of a job, whoever has it; False when nothing is."""
        with self._parts.ledger.reading() as view:
            job, pending = view.jobs.get(job_id), self._pending(view, job_id)
        if pending:
            self._attempt(job, pending)
        return bool(pending)

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

    def _attempt(self, job: JobRecord, pending: Sequence[DeliveryRecord]) -> None:
        started = self._parts.clock.monotonic()
        self._audit_begin(job, pending)
        statuses, error, reach = self._send(pending)
        with self._parts.ledger.transaction() as transaction:
            before = transaction.circuits.lock(self._name)
            for row in pending:
                self._settle(transaction, row, status=statuses.get(row.sop_instance_uid), error=error)
            self._audit_end(transaction, job, pending, statuses=statuses)
            if reach is Reach.BROKEN and before.state is CircuitState.HALF_OPEN:
                transaction.deliveries.tried(job.id, self._name)
            after = self._outbox.circuit.note(transaction, before, job_id=job.id, reach=reach)
            again = self._outbox.go_on(transaction, transaction.jobs.get(job.id), after)
        self._outbox.circuit.tell(before, after)
        if again:
            self._parts.observer(again)
        self._observe(job, pending, statuses=statuses, seconds=self._parts.clock.monotonic() - started)

    def _send(self, rows: Sequence[DeliveryRecord]) -> tuple[Mapping[str, int | None], str, Reach]:
        try:
            statuses = self._destination.send([_encoded(row) for row in rows])
        except DestinationUnreachableError as error:
            return {}, str(error), Reach.UNREACHABLE
        except DeliveryError as error:
            return {}, str(error), Reach.BROKEN
        answered = any(statuses.get(row.sop_instance_uid) is not None for row in rows)
        return statuses, "", Reach.ANSWERED if answered else Reach.BROKEN

    def _audit_begin(self, job: JobRecord, rows: Sequence[DeliveryRecord]) -> None:
        if self._parts.audit.writes and any(row.attempts == 0 for row in rows):
            with self._parts.ledger.transaction() as transaction:
                self._parts.audit.begin_sending(transaction, job, rows, to=self._outbox.settings, at=self._parts.now())

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
        self._parts.audit.sent(transaction, job, taken, to=self._outbox.settings, at=now)
        self._parts.audit.refused(transaction, job, refused, to=self._outbox.settings, at=now)

    def _settle(self, transaction: LedgerTransaction, row: DeliveryRecord, *, status: int | None, error: str) -> None:
        permanent = is_permanent(status)
        state = next_state(status, refusals=row.permanent_refusals, taken=self._taken)
        now = self._parts.now()
        transaction.deliveries.settle(row.id, state, status=status, error=error, permanent=permanent, at=now)

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
                    destination=self._name,
                    kind=row.kind,
                    status=_word(statuses.get(row.sop_instance_uid)),
                    seconds=seconds,
                    lag_seconds=self._parts.now() - row.created_at,
                )
            )


def is_taken(status: int | None) -> bool:
    """Say whether the destination has the object: success, a warning (PS3.4 B.2.3), or it had it before."""
    if status is None:
        return False
    return status in {0x0000, DUPLICATE_SOP_INSTANCE, *ATTRIBUTE_WARNINGS} or status & 0xF000 == 0xB000


def is_permanent(status: int | None) -> bool:
    """Say whether the answer is a refusal that time does not mend; out of resources (0xA7xx) and silence do."""
    if status is None:
        return False
    return status in PERMANENT_STATUSES or status & 0xFF00 == 0xA900 or status & 0xF000 == 0xC000


def next_state(status: int | None, *, refusals: int, taken: DeliveryState = DeliveryState.DELIVERED) -> DeliveryState:
    """Return where an object stands after an answer, when it was refused for good `refusals` times before."""
    if is_taken(status):
        return taken
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
