# SPDX-License-Identifier: Apache-2.0
"""Deliveries and notifications in the ledger."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.domain.entry import (
    AT_THE_DESTINATION,
    CommitmentState,
    DeliveryRecord,
    DeliveryState,
    JobState,
    NotificationRecord,
    NotificationState,
    Proof,
    Waiting,
)
from service.domain.result import Priority
from service.ports.analyst import ResultObject
from service.storage import schema
from service.storage.jobs import add_object, deliver_anew, new_delivery
from service.storage.studies import inserted_id

REJECTION_NOTE = "rejection_note"
OPEN = (DeliveryState.PENDING, DeliveryState.STORED)
"""States in which something is yet to come of a delivery."""
URGENT_FIRST = sa.case((schema.job.c.priority == Priority.URGENT.value, 0), else_=1)


class SqlDeliveries:
    """The outgoing side of one transaction."""

    def __init__(self, connection: sa.Connection, *, root: Path) -> None:
        self._connection = connection
        self._root = root

    def pending(self, job_id: int, destination: str) -> tuple[DeliveryRecord, ...]:
        """Return what a destination has yet to take of a job."""
        return self._select(*_of(job_id, destination), _is(DeliveryState.PENDING))

    def stored(self, job_id: int, destination: str) -> tuple[DeliveryRecord, ...]:
        """Return what a destination has yet to commit itself to."""
        return self._select(*_of(job_id, destination), _is(DeliveryState.STORED))

    def get(self, delivery_id: int) -> DeliveryRecord:
        """Return a delivery."""
        return self._select(schema.delivery.c.id == delivery_id)[0]

    def of(self, job_id: int, destination: str) -> tuple[DeliveryRecord, ...]:
        """Return all deliveries of a job to a destination."""
        return self._select(*_of(job_id, destination))

    def add_note(self, job_id: int, destination: str, note: ResultObject, *, at: float) -> None:
        """Keep a rejection note that is yet to be written, and its waiting delivery."""
        object_id = add_object(self._connection, job_id, note, root=self._root, at=at)
        waiting = {**new_delivery(job_id, object_id, destination, at=at), "state": DeliveryState.WAITING}
        deliver_anew(self._connection, waiting)

    def change(self, delivery_ids: Collection[int], state: DeliveryState, *, at: float) -> int:
        """Move deliveries to a state without an attempt."""
        ended_at = None if state in {*OPEN, DeliveryState.WAITING} else at
        return self._update([schema.delivery.c.id.in_(list(delivery_ids))], state=state, ended_at=ended_at, parked=0)

    def retire(self, job_id: int, destination: str, *, at: float) -> int:
        """Note that the destination was told that this job replaces what it has of earlier ones."""
        job, item = schema.job.c, schema.result_object.c
        own = sa.select(job.study_id, job.pipeline).where(job.id == job_id).subquery()
        same = (job.study_id == own.c.study_id, job.pipeline == own.c.pipeline)
        jobs = sa.select(job.id).where(*same, job.id < job_id)
        notes = sa.select(item.id).where(item.kind == REJECTION_NOTE)
        delivery = schema.delivery.c
        conditions = [delivery.job_id.in_(jobs), delivery.destination == destination, delivery.object_id.not_in(notes)]
        there = delivery.state.in_(list(AT_THE_DESTINATION))
        return self._update([*conditions, there], state=DeliveryState.RETIRED, ended_at=at)

    def settle(
        self, delivery_id: int, state: DeliveryState, *, status: int | None, error: str, permanent: bool, at: float
    ) -> None:
        """Note the outcome of one attempt, unless the delivery is no longer pending."""
        taken = state in {DeliveryState.STORED, DeliveryState.DELIVERED}
        self._update(
            [schema.delivery.c.id == delivery_id, _is(DeliveryState.PENDING)],
            state=state,
            attempts=schema.delivery.c.attempts + 1,
            permanent_refusals=schema.delivery.c.permanent_refusals + int(permanent),
            last_status=status,
            last_error=error,
            ended_at=None if state in OPEN else at,
            **({"stored_at": at, "parked": 0, "tries": 0} if taken else {}),
        )

    def commit(self, delivery_ids: Collection[int], proof: Proof, *, at: float) -> int:
        """Note that the destination keeps these for good."""
        states = [*OPEN, DeliveryState.REFUSED]
        conditions = [schema.delivery.c.id.in_(list(delivery_ids)), schema.delivery.c.state.in_(states)]
        return self._update(conditions, state=DeliveryState.COMMITTED, proof=proof, parked=0, ended_at=at)

    def deny(self, delivery_id: int, state: DeliveryState, *, error: str, permanent: bool, at: float) -> None:
        """Note that the destination does not commit itself to what it had stored."""
        self._update(
            [schema.delivery.c.id == delivery_id, _is(DeliveryState.STORED)],
            state=state,
            permanent_refusals=schema.delivery.c.permanent_refusals + int(permanent),
            last_error=error,
            ended_at=None if state in OPEN else at,
        )

    def park(self, destination: str, *, job_id: int | None = None) -> None:
        """Take the tasks away from what is pending for a destination, or of one job only."""
        one = [] if job_id is None else [schema.delivery.c.job_id == job_id]
        self._update([*one, schema.delivery.c.destination == destination, _is(DeliveryState.PENDING)], parked=1)

    def release(self, destination: str, *, limit: int) -> tuple[Waiting, ...]:
        """Return so many of the jobs that are parked, urgent first, then oldest first."""
        query = sa.select(schema.job.c.id, schema.job.c.priority).join(schema.delivery).where(*_parked(destination))
        query = query.group_by(schema.job.c.id, schema.job.c.priority).order_by(URGENT_FIRST, schema.job.c.id)
        return tuple(
            Waiting(row_id=row.id, priority=Priority(row.priority), attempt=self.next_attempt(row.id, destination) - 1)
            for row in self._connection.execute(query.limit(limit)).all()
        )

    def candidate(self, destination: str) -> int | None:
        """Return the parked job to try first; one that broke such a try before comes after the others."""
        query = sa.select(schema.job.c.id).join(schema.delivery).where(*_parked(destination))
        order = (schema.delivery.c.tries, URGENT_FIRST, schema.job.c.id)
        return self._connection.execute(query.order_by(*order).limit(1)).scalar_one_or_none()

    def tried(self, job_id: int, destination: str) -> None:
        """Note that a job broke the first try after an outage."""
        conditions = [*_of(job_id, destination), _is(DeliveryState.PENDING)]
        self._update(conditions, tries=schema.delivery.c.tries + 1)

    def assign(self, job_id: int, destination: str, *, task_id: str, next_attempt_at: float) -> None:
        """Name the task that makes the next attempt."""
        conditions = [*_of(job_id, destination), _is(DeliveryState.PENDING)]
        attempt = self.next_attempt(job_id, destination)
        self._update(conditions, task_id=task_id, next_attempt_at=next_attempt_at, attempt=attempt, parked=0)

    def next_attempt(self, job_id: int, destination: str) -> int:
        """Return the number of the next attempt at a job's objects: none of its tasks had it."""
        query = sa.select(sa.func.max(schema.delivery.c.attempt)).where(*_of(job_id, destination))
        return int(self._connection.execute(query).scalar_one() or 0) + 1

    def open_count(self, job_id: int) -> int:
        """Return how many deliveries of a job have not reached their end."""
        conditions = (schema.delivery.c.job_id == job_id, schema.delivery.c.state.in_(OPEN))
        query = sa.select(sa.func.count()).select_from(schema.delivery).where(*conditions)
        return int(self._connection.execute(query).scalar_one())

    def reopen(self, destination: str | None = None) -> int:
        """Make refused and declined deliveries pending again, but of results that were rejected meanwhile."""
        refused = schema.delivery.c.state.in_([DeliveryState.REFUSED, DeliveryState.DECLINED])
        conditions: list[sa.ColumnElement[bool]] = [refused, ~_is_replaced(), ~_is_deleted()]
        if destination is not None:
            conditions.append(schema.delivery.c.destination == destination)
        values = {"state": DeliveryState.PENDING, "permanent_refusals": 0, "next_attempt_at": 0.0, "ended_at": None}
        count = self._update(conditions, **values)
        self._reopen_jobs()
        return count

    def follow(self, destinations: Collection[str], *, committing: Collection[str], at: float) -> None:
        """Abandon, take up and close what the configuration says."""
        delivery = schema.delivery.c
        known, asked = delivery.destination.in_(list(destinations)), delivery.destination.in_(list(committing))
        missed = _is(DeliveryState.ABANDONED)
        self._update([delivery.state.in_(OPEN), ~known], state=DeliveryState.ABANDONED, ended_at=at, parked=0)
        self._update([missed, known], state=DeliveryState.PENDING, next_attempt_at=at, ended_at=None)
        self._update([_is(DeliveryState.STORED), ~asked], state=DeliveryState.DELIVERED, ended_at=at)
        self._end_commitments(committing, at=at)
        self._reopen_jobs()
        self._end_jobs(at=at)

    def add_notification(
        self, job_id: int, notifier: str, *, task_id: Callable[[int], str], at: float
    ) -> NotificationRecord | None:
        """Insert a notification; None when this job's was made before: nobody is told twice of the same work."""
        table = schema.notification.c
        known = sa.select(table.id).where(table.job_id == job_id, table.notifier == notifier)
        if self._connection.execute(known).first():
            return None
        values = {"job_id": job_id, "notifier": notifier, "state": NotificationState.PENDING}
        statement = sa.insert(schema.notification).values(**values, next_attempt_at=at, created_at=at)
        row_id = inserted_id(self._connection, statement)
        self._update_notification(row_id, task_id=task_id(row_id))
        return self.notification(row_id)

    def notification(self, notification_id: int) -> NotificationRecord:
        """Return a notification."""
        names = ("id", "job_id", "notifier", "state", "attempts", "created_at", "attempt", "task_id")
        columns = [schema.notification.c[name] for name in names]
        query = sa.select(*columns).where(schema.notification.c.id == notification_id)
        row = dict(self._connection.execute(query).mappings().one())
        return NotificationRecord(**{**row, "state": NotificationState(row["state"])})

    def settle_notification(self, notification_id: int, state: NotificationState, *, task_id: str, at: float) -> None:
        """Note the outcome of one attempt; `at` is when it ended, or when the next is due."""
        attempts, attempt = schema.notification.c.attempts + 1, schema.notification.c.attempt + 1
        ended_at = None if state is NotificationState.PENDING else at
        values = {
            "state": state,
            "attempts": attempts,
            "attempt": attempt,
            "task_id": task_id,
            "next_attempt_at": at,
            "ended_at": ended_at,
        }
        self._update_notification(notification_id, **values)

    def _select(self, *conditions: sa.ColumnElement[bool]) -> tuple[DeliveryRecord, ...]:
        columns = [schema.delivery.c[name] for name in DELIVERY_COLUMNS]
        columns += [schema.result_object.c[name] for name in OBJECT_COLUMNS]
        query = sa.select(*columns).join(schema.result_object, schema.delivery.c.object_id == schema.result_object.c.id)
        rows = self._connection.execute(query.where(*conditions).order_by(schema.delivery.c.id)).mappings()
        return tuple(_record(row, root=self._root) for row in rows)

    def _end_commitments(self, committing: Collection[str], *, at: float) -> None:
        commitment = schema.commitment.c
        conditions = (commitment.state == CommitmentState.OPEN, commitment.destination.not_in(list(committing)))
        values = {"state": CommitmentState.EXPIRED, "ended_at": at, "parked": 0}
        self._connection.execute(sa.update(schema.commitment).where(*conditions).values(values))

    def _reopen_jobs(self) -> None:
        pending = sa.select(schema.delivery.c.job_id).where(schema.delivery.c.state.in_(OPEN))
        finished = (schema.job.c.id.in_(pending), schema.job.c.state == JobState.FINISHED)
        statement = sa.update(schema.job).where(*finished).values(state=JobState.ENCODED, ended_at=None)
        self._connection.execute(statement)

    def _end_jobs(self, *, at: float) -> None:
        pending = sa.select(schema.delivery.c.job_id).where(schema.delivery.c.state.in_(OPEN))
        done = (schema.job.c.id.not_in(pending), schema.job.c.state == JobState.ENCODED)
        self._connection.execute(sa.update(schema.job).where(*done).values(state=JobState.FINISHED, ended_at=at))

    def _update(self, conditions: Sequence[sa.ColumnElement[bool]], **values: Any) -> int:
        return self._connection.execute(sa.update(schema.delivery).where(*conditions).values(values)).rowcount

    def _update_notification(self, notification_id: int, **values: Any) -> None:
        condition = schema.notification.c.id == notification_id
        self._connection.execute(sa.update(schema.notification).where(condition).values(values))


DELIVERY_COLUMNS = (
    "id",
    "job_id",
    "destination",
    "state",
    "attempts",
    "permanent_refusals",
    "created_at",
    "next_attempt_at",
    "parked",
    "attempt",
    "task_id",
)
OBJECT_COLUMNS = ("kind", "sop_class_uid", "sop_instance_uid", "path", "slot", "rank")


def _is(state: DeliveryState) -> sa.ColumnElement[bool]:
    return schema.delivery.c.state == state


def _of(job_id: int, destination: str) -> list[sa.ColumnElement[bool]]:
    return [schema.delivery.c.job_id == job_id, schema.delivery.c.destination == destination]


def _is_replaced() -> sa.ColumnElement[bool]:
    """Say whether the destination was told that another result replaces a delivery's own."""
    other, delivery = schema.delivery.alias(), schema.delivery.c
    same = (other.c.job_id == delivery.job_id, other.c.destination == delivery.destination)
    retired = sa.select(other.c.id).where(*same, other.c.state == DeliveryState.RETIRED)
    return retired.correlate(schema.delivery).exists()


def _is_deleted() -> sa.ColumnElement[bool]:
    """Say whether the objects of a delivery's job were deleted, or are about to be."""
    return schema.delivery.c.job_id.in_(sa.select(schema.job.c.id).where(schema.job.c.purge_id.is_not(None)))


def _parked(destination: str) -> list[sa.ColumnElement[bool]]:
    return [schema.delivery.c.parked == 1, schema.delivery.c.destination == destination, _is(DeliveryState.PENDING)]


def _record(row: Mapping[Any, Any], *, root: Path) -> DeliveryRecord:
    changed = {"path": root / row["path"], "state": DeliveryState(row["state"]), "parked": bool(row["parked"])}
    return DeliveryRecord(**{**row, **changed})
