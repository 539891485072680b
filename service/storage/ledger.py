# SPDX-License-Identifier: Apache-2.0
"""The ledger on SQLAlchemy: one transaction holds what happened and the tasks that follow from it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.domain.entry import Stranded
from service.domain.errors import ConfigurationError, StorageError
from service.ports.engine import Task
from service.ports.ledger import LedgerTransaction
from service.storage.audit import SqlAudit
from service.storage.circuits import SqlCircuits
from service.storage.commit_group import CommitGroup
from service.storage.commitments import SqlCommitments
from service.storage.deliveries import SqlDeliveries
from service.storage.dialect import SQLITE, execute
from service.storage.drift import SqlDrift
from service.storage.fetches import SqlFetches
from service.storage.jobs import SqlJobs
from service.storage.orders import SqlOrders
from service.storage.postgresql import lock_for_writing
from service.storage.purges import SqlPurges
from service.storage.quarantine import SqlQuarantine
from service.storage.shadows import SqlShadows
from service.storage.stranded import reassign, unfinished
from service.storage.studies import SqlStudies

Enqueue = Callable[[Any, Task], None]
Outcome = TypeVar("Outcome")

TURN_SECONDS = 30
"""How long a writer waits for the others of this node."""


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
        self.shadows = SqlShadows(connection)
        self.drift = SqlDrift(connection)
        self.purges = SqlPurges(connection, root=root)
        self.fetches = SqlFetches(connection)

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
    check
        Called in each write transaction, once it has its turn; raises StorageError when this node may not write.
    """

    def __init__(
        self,
        engine: sa.Engine,
        *,
        root: Path,
        enqueue: Enqueue,
        check: Callable[[sa.Connection], None] | None = None,
    ) -> None:
        self._engine = engine
        self._root = root.resolve()
        self._enqueue = enqueue
        self._check = check
        self._turn = threading.Lock()
        self._writer: sa.Connection | None = None
        self._group = CommitGroup(self.transaction)

    @contextmanager
    def reading(self) -> Iterator[SqlTransaction]:
        """Open a consistent view; it neither waits for the writer nor holds it up."""
        with self._connected() as connection:
            _begin_reading(connection)
            yield self._transaction(connection)

    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        """Open a transaction that holds the database's write lock from its beginning."""
        with self._own_turn(), self._writing() as connection, connection.begin():
            _begin_writing(connection)
            if self._check is not None:
                self._check(connection)
            yield self._transaction(connection)

    def together(self, work: Callable[[LedgerTransaction], Outcome]) -> Outcome:
        """Run `work` in a transaction that it may share with others who come at the same time."""
        return self._group(work)

    def _transaction(self, connection: sa.Connection) -> SqlTransaction:
        return SqlTransaction(connection, root=self._root, enqueue=self._enqueue)

    @contextmanager
    def _own_turn(self) -> Iterator[None]:
        # The database has a lock of its own, but SQLite's waiters sleep up to 0.1 s between two looks at it.
        if not self._turn.acquire(timeout=TURN_SECONDS):
            raise StorageError(f"the ledger was busy for {TURN_SECONDS} s")
        try:
            yield
        finally:
            self._turn.release()

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """Lend the connection that all writers use in turn; a server's is taken anew each time, for it may be gone."""
        if self._engine.dialect.name != SQLITE:
            with self._connected() as connection:
                yield connection
            return
        with _errors():
            connection, self._writer = self._writer or self._engine.connect(), None
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
            self._writer = connection

    def close(self) -> None:
        """Give the connection of the writers back."""
        with self._own_turn():
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    @contextmanager
    def _connected(self) -> Iterator[sa.Connection]:
        with _errors(), self._engine.connect() as connection:
            yield connection


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except IntegrityError:
        raise  # our own mistake, which no other disk and no later time mends
    except (DBAPIError, PoolTimeoutError) as error:
        raise StorageError(f"the ledger refused a transaction: {type(error).__name__}") from error
    except ConfigurationError as error:  # a server that changed while we ran
        raise StorageError(f"the ledger refused a transaction: {error}") from error


def _begin_reading(connection: sa.Connection) -> None:
    if connection.dialect.name == SQLITE:
        connection.exec_driver_sql("BEGIN DEFERRED")
        return
    connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def _begin_writing(connection: sa.Connection) -> None:
    if connection.dialect.name == SQLITE:
        execute(connection, "BEGIN IMMEDIATE")
        return
    lock_for_writing(connection)
