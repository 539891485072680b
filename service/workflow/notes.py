# SPDX-License-Identifier: Apache-2.0
"""Rejection notes on their way: written when the new result is stored, with what the destination then really has."""

from collections.abc import Sequence

from service.domain.entry import CircuitState, DeliveryRecord, DeliveryState, JobRecord
from service.domain.event import ResultsSuperseded
from service.ports import RejectRequest, ResultKind
from service.ports.ledger import LedgerTransaction, Wanted
from service.workflow.analyse import analysis_request
from service.workflow.context import FlowParts
from service.workflow.outbox import Outbox
from service.workflow.slots import Verdict
from service.workflow.supersession import is_coming, present


class Notes:
    """The rejection notes for one destination."""

    def __init__(self, parts: FlowParts, outbox: Outbox) -> None:
        self._parts = parts
        self._outbox = outbox

    def written(self, job: JobRecord, rows: Sequence[DeliveryRecord]) -> list[DeliveryRecord]:
        """Return what can be sent, after writing the notes among it that are not written yet."""
        return [row for row in rows if not _is_note(row) or row.path.is_file() or self._write(job, row)]

    def settled(
        self, transaction: LedgerTransaction, job: JobRecord, rows: Sequence[DeliveryRecord], verdict: Verdict
    ) -> int:
        """Note what the destination was told to reject; return the number of objects."""
        taken = (DeliveryState.STORED, DeliveryState.DELIVERED)
        if any(_is_note(row) and verdict.offered.get(row.id) in taken for row in rows):
            return transaction.deliveries.retire(job.id, self._outbox.name, at=self._parts.now())
        return 0

    def tell(self, job: JobRecord, retired: int) -> None:
        """Say that older results are replaced."""
        if retired:
            key = self._parts.study_key(job.study_instance_uid)
            self._parts.observer(ResultsSuperseded(study_key=key, destination=self._outbox.name, count=retired))

    def _write(self, job: JobRecord, row: DeliveryRecord) -> bool:
        """Write a note; False when it has to wait, has nothing to reject, or fails the checks."""
        with self._parts.ledger.reading() as view:
            earlier, instances = view.jobs.earlier(job.id), view.jobs.instances(job.id)
        if is_coming(earlier, self._outbox.name):  # what comes after the note would not be rejected by it
            self._put_off(job, row)
            return False
        rejected = present(earlier, self._outbox.name)
        if not rejected:
            self._end(job, row, DeliveryState.UNNEEDED)
            return False
        analysis = analysis_request(self._parts, job, instances)
        request = RejectRequest(analysis=analysis, sop_instance_uid=row.sop_instance_uid, rejected=rejected)
        note = self._parts.analyst.reject(request)
        if not note.problems:
            return True
        with self._parts.ledger.transaction() as transaction:
            wanted = Wanted(profile=note.profile, kinds=frozenset({note.kind}))
            transaction.jobs.hold(job.id, (note,), destinations={self._outbox.name: wanted}, at=self._parts.now())
        self._end(job, row, DeliveryState.HELD)
        return False

    def _put_off(self, job: JobRecord, row: DeliveryRecord) -> None:
        seconds = self._outbox.circuit.wait_seconds(row.attempt)
        with self._parts.ledger.transaction() as transaction:
            if transaction.circuits.lock(self._outbox.name).state is CircuitState.CLOSED:
                self._outbox.assign(transaction, job, delay_seconds=seconds)

    def _end(self, job: JobRecord, row: DeliveryRecord, state: DeliveryState) -> None:
        with self._parts.ledger.transaction() as transaction:
            circuit = transaction.circuits.lock(self._outbox.name)
            transaction.deliveries.change([row.id], state, at=self._parts.now())
            self._outbox.go_on(transaction, transaction.jobs.get(job.id), circuit)


def _is_note(row: DeliveryRecord) -> bool:
    return row.kind == ResultKind.REJECTION_NOTE
