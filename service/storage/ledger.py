# SPDX-License-Identifier: Apache-2.0
"""The ledger on SQLAlchemy: one transaction holds what happened and the tasks that follow from it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.domain.entry import Stranded
from service.domain.errors import StorageError
from service.ports.engine import Task
from service.storage.audit import SqlAudit
from service.storage.circuits import SqlCircuits
from service.storage.commitments import SqlCommitments
from service.storage.deliveries import SqlDeliveries
from service.storage.jobs import SqlJobs
from service.storage.orders import SqlOrders
from service.storage.quarantine import SqlQuarantine
from service.storage.stranded import reassign, unfinished
from service.storage.studies import SqlStudies

Enqueue = Callable[[Any, Task], None]


class SqlTransaction:
    """One transaction on the ledger; made by `SqlLedger.transaction`."""

    def __init__(self, connection: sa.Connection, *, root: Path, enqueue: Enqueue) -> None:
        self._connection = connection
        self._enqueue = enqueue
        self.studies = SqlStudies(connection, root=root)
        self.jobs = SqlJobs(connection, root=root)
        self.deliveries = SqlDeliveries(connection, root=root)
        self.audit = SqlAudit(connection)
        self.quarantine = SqlQuarantine(connection, root=root)
        self.commitments = SqlCommitments(connection)
        self.circuits = SqlCircuits(connection)
        self.orders = SqlOrders(connection, root=root)

    def enqueue(self, task: Task) -> None:
        """Enqueue the task in this transaction."""
        self._enqueue(self._connection, task)

    def unfinished(self) -> tuple[Stranded, ...]:
        """Return all non-terminal rows."""
        return unfinished(self._connection)

    def reassign(self, row: Stranded, *, task_id: str) -> bool:
        """Give the row to another task unless it has moved on."""
        return reassign(self._connection, row, task_id=task_id)


class SqlLedger:
    """The ledger in `engine`'s database.

    Parameters
    ----------
    root
        The data folder; paths are kept relative to it, so that it can be moved.
    enqueue
        The engine's `enqueue`, which joins the ledger's transaction.
    """

    def __init__(self, engine: sa.Engine, *, root: Path, enqueue: Enqueue) -> None:
        self._engine = engine
        self._root = root.resolve()
        self._enqueue = enqueue

    @contextmanager
    def reading(self) -> Iterator[SqlTransaction]:
        """Open a consistent view; in WAL mode it neither waits for the writer nor holds it up."""
        with self._connected() as connection:
            connection.exec_driver_sql("BEGIN DEFERRED")
            yield SqlTransaction(connection, root=self._root, enqueue=self._enqueue)

    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        """Open a transaction that holds SQLite's write lock from its beginning."""
        with self._connected() as connection, connection.begin():
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield SqlTransaction(connection, root=self._root, enqueue=self._enqueue)

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except IntegrityError:
            raise  # our own mistake, which no other disk and no later time mends
        except (DBAPIError, PoolTimeoutError) as error:
            raise StorageError(f"the ledger refused a transaction: {type(error).__name__}") from error
