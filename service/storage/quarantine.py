# SPDX-License-Identifier: Apache-2.0
"""What was not let in, and studies that killed their worker, in the ledger."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.domain.quarantine import NewQuarantined, Quarantined
from service.domain.result import Reason
from service.ports.ledger import Holding
from service.storage import schema

TABLE = schema.quarantine


class SqlQuarantine:
    """The quarantine's side of one transaction."""

    def __init__(self, connection: sa.Connection, *, root: Path) -> None:
        self._connection = connection
        self._root = root

    def add(self, new: NewQuarantined, *, at: float) -> bool:
        """Insert a row, or count that the same thing came again; writers stand in line, so that none comes between."""
        again = sa.update(TABLE).where(TABLE.c.key == new.key).values(times=TABLE.c.times + 1, last_at=at)
        if self._connection.execute(again).rowcount:
            return False
        path = str(new.path.relative_to(self._root)) if new.path else ""
        values = {**asdict(new), "path": path, "times": 1, "first_at": at, "last_at": at}
        self._connection.execute(sa.insert(TABLE).values(values))
        return True

    def get(self, row_id: int) -> Quarantined | None:
        """Return a row."""
        found = self._rows(sa.select(TABLE).where(TABLE.c.id == row_id))
        return found[0] if found else None

    def rows(self, *, limit: int) -> tuple[Quarantined, ...]:
        """Return what came last, newest first."""
        return self._rows(sa.select(TABLE).order_by(TABLE.c.last_at.desc(), TABLE.c.id.desc()).limit(limit))

    def holdings(self) -> tuple[Holding, ...]:
        """Return how much there is of each peer."""
        query = sa.select(TABLE.c.peer, sa.func.count(), sa.func.sum(TABLE.c.size_bytes)).group_by(TABLE.c.peer)
        return tuple(
            Holding(peer=row[0], objects=row[1], size_bytes=int(row[2])) for row in self._connection.execute(query)
        )

    def oldest(self, *, peer: str | None = None, before: float | None = None, limit: int) -> tuple[Quarantined, ...]:
        """Return what came longest ago."""
        query = sa.select(TABLE).order_by(TABLE.c.last_at, TABLE.c.id).limit(limit)
        if peer is not None:
            query = query.where(TABLE.c.peer == peer)
        if before is not None:
            query = query.where(TABLE.c.last_at < before)
        return self._rows(query)

    def remove(self, row_ids: Collection[int]) -> None:
        """Delete rows."""
        self._connection.execute(sa.delete(TABLE).where(TABLE.c.id.in_(list(row_ids))))

    def paths(self) -> frozenset[Path]:
        """Return the files of all rows."""
        query = sa.select(TABLE.c.path).where(TABLE.c.path != "")
        return frozenset(self._root / path for path in self._connection.execute(query).scalars())

    def _rows(self, query: sa.Select[Any]) -> tuple[Quarantined, ...]:
        return tuple(self._row(row) for row in self._connection.execute(query).mappings())

    def _row(self, row: Mapping[Any, Any]) -> Quarantined:
        path = self._root / row["path"] if row["path"] else None
        flags = tuple(Reason(**reason) for reason in row["flags"])
        return Quarantined(**{**row, "path": path, "flags": flags})
