# SPDX-License-Identifier: Apache-2.0
"""Dumps and restores the ledger's PostgreSQL database with the server's own tools, at one snapshot."""

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import sqlalchemy as sa

from service.domain.errors import ConfigurationError, StorageError
from service.settings import StorageSettings
from service.storage.database import database_of

PLACES = "usr/lib/postgresql/*/bin"
"""Where Debian puts the tools of each version."""
SECONDS = 6 * 3600


class Snapshot:
    """One moment of the database: what `connection` reads, and what `dump` writes."""

    def __init__(self, engine: sa.Engine) -> None:
        self.connection = engine.connect().execution_options(isolation_level="REPEATABLE READ")
        self.connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        self._name = str(self.connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one())

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the moment go."""
        self.connection.close()

    def dump(self, storage: StorageSettings, target: Path) -> None:
        """Write the whole database, the engine's tables included."""
        target.touch(mode=0o600)
        options = ["--format=custom", "--no-owner", f"--snapshot={self._name}", f"--file={target}"]
        _run("pg_dump", storage, *options, f"--dbname={storage.database_url}")


def check_empty(storage: StorageSettings) -> None:
    """Raise ConfigurationError when the database of the settings has tables."""
    engine = database_of(storage)
    try:
        with engine.connect() as connection:
            tables = sa.inspect(connection).get_table_names()
    finally:
        engine.dispose()
    if tables:
        raise ConfigurationError("the database of storage.database_url has tables; name an empty one")


def restore_dump(storage: StorageSettings, source: Path) -> None:
    """Put a dump into the empty database of the settings; StorageError when the tool fails."""
    options = ("--no-owner", "--exit-on-error", "--single-transaction", f"--dbname={storage.database_url}")
    _run("pg_restore", storage, *options, str(source))


def _run(program: str, storage: StorageSettings, *arguments: str) -> None:
    environment = dict(os.environ)
    if storage.database_password_file is not None:  # the tools read no file of our form
        environment["PGPASSWORD"] = storage.database_password_file.read_text(encoding="utf-8").rstrip("\r\n")
    done = subprocess.run(
        [_path(program), *arguments], env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise StorageError(f"{program} failed: {last}")


def _path(program: str) -> str:
    """Return the newest of the tools: one that is older than the server refuses to work."""
    places = sorted(Path("/").glob(f"{PLACES}/{program}"), key=lambda path: path.parts[-3].zfill(4))
    found = str(places[-1]) if places else shutil.which(program)
    if found is None:
        raise ConfigurationError(f"{program} is not installed; install PostgreSQL's client tools (postgresql-client)")
    return found
