# SPDX-License-Identifier: Apache-2.0
"""Connections that cannot write, and that are given up when they take too long: for pages that people look at."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.domain.errors import ConfigurationError, StorageError
from service.settings import StorageSettings
from service.storage import postgresql
from service.storage.dialect import SQLITE
from service.storage.sqlite import DATABASE_FILE

LONGEST_SECONDS = 3.0
"""A statement of a page that takes longer is broken off: the page says so, and the node goes on."""
CONNECTIONS = 2
STEPS = 20_000
"""SQLite's instructions between two looks at the clock, about a millisecond."""
SESSION = (
    "SET default_transaction_read_only = on",
    f"SET statement_timeout = '{LONGEST_SECONDS}s'",
    "SET max_parallel_workers_per_gather = 0",  # a page is in no hurry
)


def reading_engine(storage: StorageSettings) -> sa.Engine:
    """Return an engine for the ledger's database whose connections can only read; nothing is connected yet."""
    if storage.database_url is None:
        path = storage.folder.resolve() / DATABASE_FILE
        engine = sa.create_engine(
            "sqlite://",
            creator=lambda: _sqlite_connection(path),
            poolclass=sa.QueuePool,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=LONGEST_SECONDS,
            hide_parameters=True,
        )
        sa.event.listen(engine, "checkout", _set_deadline)
        return engine
    engine = postgresql.create(storage.database_url, password_file=storage.database_password_file, flush=True)
    sa.event.listen(engine, "connect", _read_only)
    return engine


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Open a consistent view.

    Raises
    ------
    StorageError
        The ledger cannot be read, or not within `LONGEST_SECONDS`.
    """
    try:
        with engine.connect() as connection:
            yield _begun(connection)
    except (DBAPIError, PoolTimeoutError, ConfigurationError) as error:
        raise StorageError(f"the ledger cannot be read: {type(error).__name__}; see `dokuei doctor`") from error


def _begun(connection: sa.Connection) -> sa.Connection:
    if connection.dialect.name != SQLITE:
        return connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    connection.exec_driver_sql("BEGIN DEFERRED")
    return connection


def _sqlite_connection(path: Path) -> sqlite3.Connection:
    uri = f"file:{quote(str(path))}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=LONGEST_SECONDS, isolation_level=None, check_same_thread=False)


def _set_deadline(connection: Any, _record: Any, _proxy: Any) -> None:
    ends = time.monotonic() + LONGEST_SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > ends, STEPS)


def _read_only(connection: Any, _record: Any) -> None:
    for statement in SESSION:
        connection.execute(statement)
    connection.commit()
