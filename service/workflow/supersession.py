# SPDX-License-Identifier: Apache-2.0
"""What a destination has of earlier results of a study, and the note by which it is told that they are replaced."""

import uuid
from collections.abc import Iterable, Sequence
from itertools import groupby

from service.domain.entry import AT_THE_DESTINATION, DeliveryState, EarlierDelivery, JobRecord
from service.ports import PriorObject, ResultKind
from service.ports.analyst import ResultObject
from service.ports.ledger import LedgerTransaction
from service.settings.results import Supersession
from service.workflow.context import FlowParts

NOTES = uuid.uuid5(uuid.NAMESPACE_OID, "dokuei.rejection-note")
KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
"""Key Object Selection Document Storage."""
COMING = frozenset({DeliveryState.PENDING, DeliveryState.ABANDONED})
"""States in which an object is still to be sent."""


def predecessors(earlier: Iterable[EarlierDelivery], destinations: Iterable[str]) -> tuple[PriorObject, ...]:
    """Return what the latest result that each of these destinations has, or is being sent, consists of there.

    Of objects that say the same (one slot), only the form that the destination has; while it has none yet, the one that
    it is offered first.
    """
    found = [item for name in destinations for item in _latest([row for row in earlier if row.destination == name])]
    return tuple({item.sop_instance_uid: _prior(item) for item in found}.values())


def present(earlier: Iterable[EarlierDelivery], destination: str) -> tuple[PriorObject, ...]:
    """Return what a destination really has of all earlier results."""
    return tuple(_prior(row) for row in _results(earlier, destination) if row.state in AT_THE_DESTINATION)


def is_coming(earlier: Iterable[EarlierDelivery], destination: str) -> bool:
    """Say whether the destination is still to be sent something of an earlier result."""
    return any(row.state is DeliveryState.PENDING for row in _results(earlier, destination))


def plan_note(parts: FlowParts, transaction: LedgerTransaction, job: JobRecord, destination: str) -> None:
    """Let a rejection note wait for the job's results, where the destination wants one and may have older results."""
    earlier = _results(transaction.jobs.earlier(job.id), destination)
    if any(row.state in AT_THE_DESTINATION | COMING for row in earlier):
        uid = note_uid(job.key, destination)
        note = ResultObject(
            kind=ResultKind.REJECTION_NOTE,
            sop_class_uid=KEY_OBJECT_SELECTION,
            sop_instance_uid=uid,
            path=parts.store.result_folder(job.key) / "objects" / f"{uid}.dcm",
        )
        transaction.deliveries.add_note(job.id, destination, note, at=parts.now())


def wants_notes(parts: FlowParts) -> tuple[str, ...]:
    """Return the destinations that are told to reject older results."""
    return tuple(item.name for item in parts.settings.destinations if item.supersede is Supersession.REJECT)


def note_uid(job_key: str, destination: str) -> str:
    """Return the SOP Instance UID of a note: the same however often it is written."""
    return f"2.25.{uuid.uuid5(NOTES, f'{job_key}/{destination}').int}"


def _results(earlier: Iterable[EarlierDelivery], destination: str) -> list[EarlierDelivery]:
    rows = (row for row in earlier if row.destination == destination)
    return [row for row in rows if row.kind != ResultKind.REJECTION_NOTE]


def _latest(rows: Sequence[EarlierDelivery]) -> list[EarlierDelivery]:
    """Return the objects of the latest job of which the destination has, or is to have, anything."""
    results = [row for row in rows if row.kind != ResultKind.REJECTION_NOTE]
    for _, of_job in groupby(results, key=lambda row: row.job_id):
        found = _forms(list(of_job))
        if found:
            return found
    return []


def _forms(rows: Sequence[EarlierDelivery]) -> list[EarlierDelivery]:
    there = [row for row in rows if row.state in AT_THE_DESTINATION]
    settled = {(row.kind, row.slot) for row in there if row.slot}
    coming = sorted((row for row in rows if row.state in COMING), key=lambda row: row.rank)
    first: dict[tuple[str, str], EarlierDelivery] = {}
    for row in coming:
        if (row.kind, row.slot) not in settled:
            first.setdefault((row.kind, row.slot or row.sop_instance_uid), row)
    return there + list(first.values())


def _prior(row: EarlierDelivery) -> PriorObject:
    return PriorObject(
        kind=row.kind,
        sop_class_uid=row.sop_class_uid,
        sop_instance_uid=row.sop_instance_uid,
        path=row.path,
        series_instance_uid=row.series_instance_uid,
    )
