# SPDX-License-Identifier: Apache-2.0
"""Deliveries and notifications in the ledger."""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.domain.entry import DeliveryRecord, DeliveryState, JobState, NotificationRecord, NotificationState
from service.storage import schema
from service.storage.studies import inserted_id


class SqlDeliveries:
    """The outgoing side of one transaction."""

    def __init__(self, connection: sa.Connection, *, root: Path) -> None:
        self._connection = connection
        self._root = root

    def pending(self, job_id: int, destination: str) -> tuple[DeliveryRecord, ...]:
        """Return what a destination has yet to take of a job."""
        return self._select(*_pending(job_id), schema.delivery.c.destination == destination)

    def get(self, delivery_id: int) -> DeliveryRecord:
        """Return a delivery."""
        return self._select(schema.delivery.c.id == delivery_id)[0]

    def settle(
        self, delivery_id: int, state: DeliveryState, *, status: int | None, error: str, permanent: bool, at: float
    ) -> None:
        """Note the outcome of one attempt."""
        self._update(
            [schema.delivery.c.id == delivery_id],
            state=state,
            attempts=schema.delivery.c.attempts + 1,
            permanent_refusals=schema.delivery.c.permanent_refusals + int(permanent),
            last_status=status,
            last_error=error,
            ended_at=None if state is DeliveryState.PENDING else at,
        )

    def assign(self, job_id: int, destination: str, *, task_id: str, next_attempt_at: float) -> None:
        """Name the task that makes the next attempt."""
        conditions = [*_pending(job_id), schema.delivery.c.destination == destination]
        attempt = schema.delivery.c.attempt + 1
        self._update(conditions, task_id=task_id, next_attempt_at=next_attempt_at, attempt=attempt)

    def open_count(self, job_id: int) -> int:
        """Return how many deliveries of a job are still pending."""
        query = sa.select(sa.func.count()).select_from(schema.delivery).where(*_pending(job_id))
        return int(self._connection.execute(query).scalar_one())

    def reopen(self, destination: str | None = None) -> int:
        """Make refused deliveries pending again."""
        conditions = [schema.delivery.c.state == DeliveryState.REFUSED]
        if destination is not None:
            conditions.append(schema.delivery.c.destination == destination)
        values = {"state": DeliveryState.PENDING, "permanent_refusals": 0, "next_attempt_at": 0.0, "ended_at": None}
        count = self._update(conditions, **values)
        self._reopen_jobs()
        return count

    def follow(self, destinations: Collection[str], *, at: float) -> None:
        """Abandon what waits for a destination that is not among these, and take up what one of these missed."""
        known = schema.delivery.c.destination.in_(list(destinations))
        waiting = schema.delivery.c.state == DeliveryState.PENDING
        missed = schema.delivery.c.state == DeliveryState.ABANDONED
        self._update([waiting, ~known], state=DeliveryState.ABANDONED, ended_at=at)
        self._update([missed, known], state=DeliveryState.PENDING, next_attempt_at=at, ended_at=None)
        self._reopen_jobs()
        self._end_jobs(at=at)

    def add_notification(
        self, job_id: int, notifier: str, *, task_id: Callable[[int], str], at: float
    ) -> NotificationRecord:
        """Insert a notification."""
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

    def _reopen_jobs(self) -> None:
        pending = sa.select(schema.delivery.c.job_id).where(schema.delivery.c.state == DeliveryState.PENDING)
        finished = (schema.job.c.id.in_(pending), schema.job.c.state == JobState.FINISHED)
        statement = sa.update(schema.job).where(*finished).values(state=JobState.ENCODED, ended_at=None)
        self._connection.execute(statement)

    def _end_jobs(self, *, at: float) -> None:
        pending = sa.select(schema.delivery.c.job_id).where(schema.delivery.c.state == DeliveryState.PENDING)
        done = (schema.job.c.id.not_in(pending), schema.job.c.state == JobState.ENCODED)
        self._connection.execute(sa.update(schema.job).where(*done).values(state=JobState.FINISHED, ended_at=at))

    def _update(self, conditions: list[sa.ColumnElement[bool]], **values: Any) -> int:
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
    "attempt",
    "task_id",
)
OBJECT_COLUMNS = ("kind", "sop_class_uid", "sop_instance_uid", "path")


def _pending(job_id: int) -> list[sa.ColumnElement[bool]]:
    return [schema.delivery.c.job_id == job_id, schema.delivery.c.state == DeliveryState.PENDING]


def _record(row: Mapping[Any, Any], *, root: Path) -> DeliveryRecord:
    return DeliveryRecord(**{**row, "path": root / row["path"], "state": DeliveryState(row["state"])})
