# SPDX-License-Identifier: Apache-2.0
"""The ledger's database on a PostgreSQL server (15 or later), reached with psycopg.

Nothing waits for ever: connecting, statements, locks and a silent network all have their limit, after which the caller
gets an error, and a peer 0xA700.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from service.domain.errors import ConfigurationError, StorageError

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 30
LOCK_SECONDS = 10
IDLE_IN_TRANSACTION_SECONDS = 60
SILENCE_SECONDS = 10
"""A server that acknowledges nothing on the network for this long is gone."""
POOL_SIZE = 16
MAX_OVERFLOW = 16
"""32 connections at most: a server's own limit is 100 unless somebody raised it."""
POOL_SECONDS = 5

WRITE_LOCK = 0x646F6B7501
"""Advisory lock of a write transaction: they come one after the other, as on SQLite. ("doku", 1)"""
NODE_LOCK = 0x646F6B7502
"""Advisory lock of the node that uses the database, or, shared, of the members that do. ("doku", 2)"""
START_LOCK = 0x646F6B7503
"""Advisory lock of a member that starts: one migrates, the others find that done. ("doku", 3)"""
START_SECONDS = 180.0
"""How long a member waits for others that start."""

SESSION = {
    "statement_timeout": f"{STATEMENT_SECONDS}s",
    "lock_timeout": f"{LOCK_SECONDS}s",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
}
NETWORK: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "dokuei",
    "keepalives": 1,
    "keepalives_idle": SILENCE_SECONDS,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": SILENCE_SECONDS * 1000,
}
LOOK = "SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('server_encoding')"
HOLDS_NODE_LOCK = f"""
SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = %s
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND classid = {NODE_LOCK >> 32} AND objid = {NODE_LOCK & 0xFFFFFFFF})
"""  # noqa: S608 - two numbers of ours


def create(url: str, *, password_file: Path | None, flush: bool) -> sa.Engine:
    """Return an engine for the database; nothing is connected yet."""
    session = SESSION if flush else {**SESSION, "synchronous_commit": "off"}
    engine = sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=POOL_SIZE,
        max_overflow=MAX_OVERFLOW,
        pool_timeout=POOL_SECONDS,
        pool_pre_ping=True,  # a server that was restarted costs nobody a failed transaction
        connect_args={**NETWORK, "options": " ".join(f"-c {name}={value}" for name, value in session.items())},
        hide_parameters=True,  # error messages must not carry what the rows hold
    )
    if password_file is not None:
        sa.event.listen(engine, "do_connect", _Password(password_file))
    if flush:
        sa.event.listen(engine, "connect", _check_durability)
    return engine


def lock_for_writing(connection: sa.Connection) -> None:
    """Wait for the turn to write; held until the transaction ends."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")


class _Password:
    """Reads the password at each connection, so that it can be changed while the node runs."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, _dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
        try:
            parameters["password"] = self._path.read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            raise ConfigurationError(
                f"storage.database_password_file {str(self._path)!r} cannot be read: {error.strerror}"
            ) from None


def _check_durability(connection: Any, _record: Any) -> None:
    """Refuse a server that loses acknowledged commits, and overrule a database that would."""
    fsync, synchronous_commit, encoding = connection.execute(LOOK).fetchone()
    if synchronous_commit == "off":
        connection.execute("SET synchronous_commit = on")
    connection.commit()
    if fsync != "on":
        raise ConfigurationError(
            "storage.database_url: the server runs with fsync = off and would lose acknowledged studies in a power "
            "cut; set fsync = on in postgresql.conf"
        )
    if encoding != "UTF8":
        raise ConfigurationError(
            f"storage.database_url: the database has the encoding {encoding}; create it with ENCODING 'UTF8'"
        )


@contextmanager
def starting_alone(engine: sa.Engine) -> Iterator[None]:
    """Keep other members from starting while the block runs.

    Raises
    ------
    ConfigurationError
        Others start for too long, or the database cannot be reached.
    """
    ends = time.monotonic() + START_SECONDS
    try:
        session = engine.connect()
    except DBAPIError as error:
        raise ConfigurationError(_unreachable(error)) from error
    with session:
        session.detach()  # the lock ends with the session, whatever happens
        while not session.exec_driver_sql(f"SELECT pg_try_advisory_lock({START_LOCK})").scalar_one():
            session.commit()
            if time.monotonic() > ends:
                raise ConfigurationError(
                    f"storage.database_url: another member has been starting for {START_SECONDS:.0f} s; see its log"
                )
            time.sleep(0.2)
        session.commit()
        try:
            yield
        finally:
            with suppress(DBAPIError):
                _unlock(session)


class DatabaseLock:
    """Use of a PostgreSQL database by one node, or by several members (`shared`), held by a session of its own.

    The session ends when the server is restarted. Every write transaction therefore makes sure that the lock is still
    there (`check`), after it has got its turn to write: a node that has lost the database to another can write nothing.

    Raises
    ------
    ConfigurationError
        Another node uses the database.
    """

    def __init__(self, engine: sa.Engine, *, shared: bool = False) -> None:
        self._engine = engine
        self._function = "pg_try_advisory_lock_shared" if shared else "pg_try_advisory_lock"
        self._others = "a node that runs without --role" if shared else "another node, or by members (--role)"
        self._session: sa.Connection | None = None
        self._pid = 0
        try:
            self._take()
        except DBAPIError as error:
            raise ConfigurationError(_unreachable(error)) from error
        if self._session is None:
            raise ConfigurationError(
                f"storage.database_url: the database is in use by {self._others}; stop it, or give this one a database "
                "of its own"
            )

    def check(self, connection: sa.Connection) -> None:
        """Raise StorageError unless this node has the database; takes it again when the server was restarted."""
        if self._holds(connection):
            return
        self._take()
        if not self._holds(connection):
            raise StorageError("another node has taken the database of storage.database_url; stop one of the two")

    def problem(self) -> str:
        """Return "" while this node has the database."""
        try:
            with self._engine.connect() as connection:
                held = self._holds(connection)
        except DBAPIError as error:
            return f"the database cannot be reached: {type(error).__name__}"
        return "" if held else "this node's lock on the database is lost; the next write tries to take it again"

    def release(self) -> None:
        """Let another node use the database."""
        session, self._session, self._pid = self._session, None, 0
        if session is not None:
            with suppress(DBAPIError):  # the server is gone, and the lock with it
                _unlock(session)  # the end of a session is noticed by and by
                session.close()

    def _holds(self, connection: sa.Connection) -> bool:
        return bool(self._pid and connection.exec_driver_sql(HOLDS_NODE_LOCK, (self._pid,)).scalar_one())

    def _take(self) -> None:
        self.release()
        session = self._engine.connect()
        session.detach()  # closed with the lock, never handed to anybody else
        taken, pid = session.exec_driver_sql(f"SELECT {self._function}({NODE_LOCK}), pg_backend_pid()").one()
        session.commit()  # a session's lock outlives its transactions, and an idle session has no time limit
        if taken:
            self._session, self._pid = session, pid
        else:
            session.close()


def _unlock(session: sa.Connection) -> None:
    session.exec_driver_sql("SELECT pg_advisory_unlock_all()")
    session.commit()


def _unreachable(error: DBAPIError) -> str:
    return (
        f"storage.database_url: the database cannot be reached ({type(error.orig).__name__}); is the server running, "
        "and does it let this node's user in?"
    )
