# SPDX-License-Identifier: Apache-2.0
"""Our storage commitment transactions in the ledger."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from service.domain.entry import CommitmentRecord, CommitmentState, Waiting
from service.domain.result import Priority
from service.storage import schema
from service.storage.deliveries import URGENT_FIRST
from service.storage.studies import inserted_id

COLUMNS = (
    "id",
    "job_id",
    "destination",
    "transaction_uid",
    "delivery_ids",
    "state",
    "number",
    "unanswered",
    "asked_at",
    "due_at",
    "attempt",
    "task_id",
)


class SqlCommitments:
    """The storage commitment side of one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(
        self,
        job_id: int,
        destination: str,
        *,
        delivery_ids: Sequence[int],
        transaction_uid: Callable[[int], str],
        unanswered: int,
        due_at: float,
        at: float,
    ) -> CommitmentRecord:
        """Insert the next transaction of a job with a destination."""
        latest = self.latest(job_id, destination)
        number = latest.number + 1 if latest else 1
        values = {
            "job_id": job_id,
            "destination": destination,
            "transaction_uid": transaction_uid(number),
            "delivery_ids": list(delivery_ids),
            "state": CommitmentState.OPEN,
            "number": number,
            "unanswered": unanswered,
            "created_at": at,
            "due_at": due_at,
        }
        return self.get(inserted_id(self._connection, sa.insert(schema.commitment).values(values)))

    def get(self, commitment_id: int) -> CommitmentRecord:
        """Return a transaction."""
        return _record(self._connection.execute(_query(schema.commitment.c.id == commitment_id)).mappings().one())

    def find(self, transaction_uid: str) -> CommitmentRecord | None:
        """Return the transaction with this UID."""
        return self._first(_query(schema.commitment.c.transaction_uid == transaction_uid))

    def latest(self, job_id: int, destination: str) -> CommitmentRecord | None:
        """Return the newest transaction of a job with a destination."""
        conditions = (schema.commitment.c.job_id == job_id, schema.commitment.c.destination == destination)
        return self._first(_query(*conditions).order_by(schema.commitment.c.number.desc()).limit(1))

    def assign(self, commitment_id: int, *, task_id: str, due_at: float) -> None:
        """Name the task that goes on with the transaction."""
        attempt = schema.commitment.c.attempt + 1
        self._update(schema.commitment.c.id == commitment_id, task_id=task_id, due_at=due_at, attempt=attempt, parked=0)

    def asked(self, commitment_id: int, *, at: float) -> None:
        """Note that the destination took the request."""
        self._update(schema.commitment.c.id == commitment_id, asked_at=at)

    def end(self, commitment_id: int, state: CommitmentState, *, at: float) -> None:
        """Note that nothing more follows from this transaction."""
        self._update(schema.commitment.c.id == commitment_id, state=state, ended_at=at, parked=0)

    def park(self, destination: str, *, commitment_id: int | None = None) -> None:
        """Take the tasks away from what has yet to be asked, or from one row."""
        commitment = schema.commitment.c
        which = commitment.asked_at.is_(None) if commitment_id is None else commitment.id == commitment_id
        still_open = commitment.state == CommitmentState.OPEN
        self._update(commitment.destination == destination, still_open, which, parked=1)

    def release(self, destination: str, *, limit: int) -> tuple[Waiting, ...]:
        """Return so many of the parked, urgent first."""
        commitment = schema.commitment.c
        parked = (commitment.parked == 1, commitment.destination == destination)
        query = sa.select(commitment.id, commitment.attempt, schema.job.c.priority).join(schema.job)
        query = query.where(*parked, commitment.state == CommitmentState.OPEN)
        rows = self._connection.execute(query.order_by(URGENT_FIRST, commitment.id).limit(limit))
        return tuple(Waiting(row_id=row.id, priority=Priority(row.priority), attempt=row.attempt) for row in rows)

    def _first(self, query: sa.Select[Any]) -> CommitmentRecord | None:
        row = self._connection.execute(query).mappings().first()
        return _record(row) if row else None

    def _update(self, *conditions: sa.ColumnElement[bool], **values: Any) -> None:
        self._connection.execute(sa.update(schema.commitment).where(*conditions).values(values))


def _query(*conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(*(schema.commitment.c[name] for name in COLUMNS)).where(*conditions)


def _record(row: Mapping[Any, Any]) -> CommitmentRecord:
    changed = {"state": CommitmentState(row["state"]), "delivery_ids": tuple(row["delivery_ids"])}
    return CommitmentRecord(**{**row, **changed})
