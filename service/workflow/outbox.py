# SPDX-License-Identifier: Apache-2.0
"""What follows for a job at one destination: send what is pending, ask to commit what is stored, or end."""

import uuid
from collections.abc import Sequence

from service.domain.entry import (
    AT_THE_DESTINATION,
    CircuitRecord,
    CircuitState,
    CommitmentRecord,
    CommitmentState,
    DeliveryRecord,
    DeliveryState,
    JobRecord,
    JobState,
)
from service.domain.event import RetryPlanned
from service.ports.ledger import LedgerTransaction
from service.settings import DestinationSettings
from service.settings.results import Supersession
from service.workflow.circuit import Circuit
from service.workflow.context import FlowParts
from service.workflow.slots import is_told
from service.workflow.stages import commit_stage, deliver_stage, task

TRANSACTIONS = uuid.uuid5(uuid.NAMESPACE_OID, "dokuei.storage-commitment")


class Outbox:
    """The jobs of one destination; every change of theirs ends in `go_on`, in the same transaction."""

    def __init__(self, parts: FlowParts, settings: DestinationSettings) -> None:
        self._parts = parts
        self.settings = settings
        self.name = settings.name
        self.circuit = Circuit(parts, settings)

    def go_on(
        self, transaction: LedgerTransaction, job: JobRecord, circuit: CircuitRecord, *, denied: bool = False
    ) -> RetryPlanned | None:
        """Enqueue what follows; return what is tried again, to be told once it is in the ledger.

        `denied` says that the destination has just denied its commitment, so that it is asked again after a while.
        """
        pending = transaction.deliveries.pending(job.id, self.name)
        if pending:
            return self._send(transaction, job, pending, circuit=circuit)
        if self._release_note(transaction, job):
            self._begin(transaction, job, circuit=circuit)
        asked = self._ask(transaction, job, circuit=circuit, denied=denied)
        if transaction.deliveries.open_count(job.id) == 0 and job.state is JobState.ENCODED:
            transaction.jobs.end(job.id, JobState.FINISHED, at=self._parts.now())
        return asked

    def assign(self, transaction: LedgerTransaction, job: JobRecord, *, delay_seconds: float) -> None:
        """Enqueue the next attempt at everything pending."""
        attempt = transaction.deliveries.next_attempt(job.id, self.name)
        following = task(
            deliver_stage(self.name), job.id, attempt=attempt, priority=job.priority, delay_seconds=delay_seconds
        )
        due_at = self._parts.steady() + delay_seconds
        transaction.deliveries.assign(job.id, self.name, task_id=following.task_id, next_attempt_at=due_at)
        transaction.enqueue(following)

    def assign_commitment(
        self, transaction: LedgerTransaction, job: JobRecord, row: CommitmentRecord, *, delay_seconds: float
    ) -> None:
        """Enqueue the next look at a storage commitment transaction."""
        following = task(
            commit_stage(self.name), row.id, attempt=row.attempt + 1, priority=job.priority, delay_seconds=delay_seconds
        )
        due_at = self._parts.steady() + delay_seconds
        transaction.commitments.assign(row.id, task_id=following.task_id, due_at=due_at)
        transaction.enqueue(following)

    def _release_note(self, transaction: LedgerTransaction, job: JobRecord) -> bool:
        """Let the rejection note go when the result that it speaks of is stored; True when there is one to send."""
        rows = transaction.deliveries.of(job.id, self.name)
        waiting = [row.id for row in rows if row.state is DeliveryState.WAITING]
        results = [row for row in rows if row.id not in waiting]
        if not waiting or not is_told(results, [row for row in results if row.state in AT_THE_DESTINATION]):
            return False
        wanted = self.settings.supersede is Supersession.REJECT
        state = DeliveryState.PENDING if wanted else DeliveryState.UNNEEDED
        transaction.deliveries.change(waiting, state, at=self._parts.now())
        return wanted

    def _begin(self, transaction: LedgerTransaction, job: JobRecord, *, circuit: CircuitRecord) -> None:
        if circuit.state is CircuitState.CLOSED:
            self.assign(transaction, job, delay_seconds=0.0)
        else:
            transaction.deliveries.park(self.name, job_id=job.id)

    def _send(
        self,
        transaction: LedgerTransaction,
        job: JobRecord,
        pending: Sequence[DeliveryRecord],
        *,
        circuit: CircuitRecord,
    ) -> RetryPlanned | None:
        if circuit.state is not CircuitState.CLOSED:
            transaction.deliveries.park(self.name, job_id=job.id)
            return None
        seconds = self.circuit.wait_seconds(max(row.attempts for row in pending))
        self.assign(transaction, job, delay_seconds=seconds)
        return RetryPlanned(stage="deliver", destination=self.name, seconds=seconds)

    def _ask(
        self, transaction: LedgerTransaction, job: JobRecord, *, circuit: CircuitRecord, denied: bool
    ) -> RetryPlanned | None:
        """Ask for the commitment of what is stored, unless that is being asked already."""
        stored = transaction.deliveries.stored(job.id, self.name)
        latest = transaction.commitments.latest(job.id, self.name)
        if not stored or (latest and latest.state is CommitmentState.OPEN):
            return None
        expired = latest is not None and latest.state is CommitmentState.EXPIRED
        delay_seconds = self.circuit.wait_seconds(latest.number) if latest and denied else 0.0
        row = transaction.commitments.add(
            job.id,
            self.name,
            delivery_ids=[delivery.id for delivery in stored],
            transaction_uid=lambda number: transaction_uid(job.key, self.name, number),
            unanswered=latest.unanswered + 1 if latest and expired else 0,
            due_at=self._parts.steady() + delay_seconds,
            at=self._parts.now(),
        )
        if circuit.state is CircuitState.CLOSED:
            self.assign_commitment(transaction, job, row, delay_seconds=delay_seconds)
        else:
            transaction.commitments.park(self.name, commitment_id=row.id)
        return RetryPlanned(stage="commit", destination=self.name, seconds=delay_seconds) if latest else None


def transaction_uid(job_key: str, destination: str, number: int) -> str:
    """Return the Transaction UID (0008,1195): the same whenever this request is made again."""
    return f"2.25.{uuid.uuid5(TRANSACTIONS, f'{job_key}/{destination}/{number}').int}"
