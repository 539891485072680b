# SPDX-License-Identifier: Apache-2.0
"""Requests of peers that we commit ourselves, in the ledger."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.domain.entry import HeldInstance, OrderRecord
from service.ports.commitment import CommitmentRequest
from service.storage import schema
from service.storage.studies import inserted_id

COLUMNS = (
    "id",
    "peer",
    "calling_ae",
    "transaction_uid",
    "references",
    "reported",
    "attempts",
    "due_at",
    "attempt",
    "task_id",
)
ASK_BATCH = 500
"""Instances in one question: databases bound the parameters of a statement."""


class SqlOrders:
    """The requests of peers in one transaction."""

    def __init__(self, connection: sa.Connection, *, root: Path) -> None:
        self._connection = connection
        self._root = root

    def add(self, request: CommitmentRequest, *, due_at: float, at: float) -> OrderRecord:
        """Insert the request; one that is known already is to be reported again."""
        known = self.find(request.peer, request.transaction_uid)
        self._promise([item.sop_instance_uid for item in request.references])
        references = [[item.sop_class_uid, item.sop_instance_uid] for item in request.references]
        values = {"calling_ae": request.calling_ae, "references": references, "reported": 0, "due_at": due_at}
        if known:
            self._update(known.id, ended_at=None, **values)
            return self.get(known.id)
        row = {"peer": request.peer, "transaction_uid": request.transaction_uid, "created_at": at, **values}
        return self.get(inserted_id(self._connection, sa.insert(schema.commitment_order).values(row)))

    def get(self, order_id: int) -> OrderRecord:
        """Return a request."""
        return _record(self._connection.execute(_query(schema.commitment_order.c.id == order_id)).mappings().one())

    def find(self, peer: str, transaction_uid: str) -> OrderRecord | None:
        """Return a peer's request."""
        table = schema.commitment_order.c
        query = _query(table.peer == peer, table.transaction_uid == transaction_uid)
        row = self._connection.execute(query).mappings().first()
        return _record(row) if row else None

    def assign(self, order_id: int, *, task_id: str, due_at: float) -> None:
        """Name the task that makes the next attempt."""
        self._update(order_id, task_id=task_id, due_at=due_at, attempt=schema.commitment_order.c.attempt + 1)

    def settle(self, order_id: int, *, reported: bool, at: float) -> None:
        """Note the outcome of one attempt."""
        attempts = schema.commitment_order.c.attempts + 1
        self._promise([uid for _, uid in self.get(order_id).references])  # what came since it was asked for, too
        self._update(order_id, reported=int(reported), attempts=attempts, ended_at=at if reported else None)

    def held(self, sop_instance_uids: Collection[str]) -> Mapping[str, HeldInstance]:
        """Return what the ledger says of those instances that are stored here."""
        uids = list(sop_instance_uids)
        batches = [uids[start : start + ASK_BATCH] for start in range(0, len(uids), ASK_BATCH)]
        return {uid: held for batch in batches for uid, held in self._held(batch)}

    def _promise(self, uids: Sequence[str]) -> None:
        """Let the files of these never be deleted: the peer may have deleted its own."""
        table = schema.instance
        for start in range(0, len(uids), ASK_BATCH):
            condition = table.c.sop_instance_uid.in_(uids[start : start + ASK_BATCH])
            self._connection.execute(sa.update(table).where(condition, table.c.purge_id.is_(None)).values(promised=1))

    def _held(self, uids: list[str]) -> list[tuple[str, HeldInstance]]:
        table = schema.instance.c
        columns = (table.sop_instance_uid, table.sop_class_uid, table.path, table.sha256)
        rows = self._connection.execute(sa.select(*columns).where(table.sop_instance_uid.in_(uids)))
        return [
            (
                row.sop_instance_uid,
                HeldInstance(sop_class_uid=row.sop_class_uid, path=self._root / row.path, sha256=row.sha256),
            )
            for row in rows
        ]

    def _update(self, order_id: int, **values: Any) -> None:
        condition = schema.commitment_order.c.id == order_id
        self._connection.execute(sa.update(schema.commitment_order).where(condition).values(values))


def _query(*conditions: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return sa.select(*(schema.commitment_order.c[name] for name in COLUMNS)).where(*conditions)


def _record(row: Mapping[Any, Any]) -> OrderRecord:
    references = tuple((sop_class, instance) for sop_class, instance in row["references"])
    return OrderRecord(**{**row, "references": references, "reported": bool(row["reported"])})
