# SPDX-License-Identifier: Apache-2.0
"""The ledger's database as one SQLite file in the data folder."""

from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

DATABASE_FILE = "dokuei.db"
BUSY_TIMEOUT_SECONDS = 30
POOL_SIZE = 64


def create(folder: Path, *, flush: bool) -> sa.Engine:
    """Open the file; it is made when it is missing."""
    path = folder.resolve() / DATABASE_FILE
    if not path.exists():
        path.touch(mode=0o600)  # the ledger names patients; SQLite gives its companions the same mode
    engine = sa.create_engine(
        f"sqlite:///{path}",
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS},
        hide_parameters=True,  # error messages must not carry what the rows hold
    )
    sa.event.listen(engine, "connect", partial(_prepare_connection, synchronous="FULL" if flush else "OFF"))
    return engine


def _prepare_connection(connection: Any, _record: Any, *, synchronous: str) -> None:
    # WAL with synchronous=FULL costs one flush per commit and survives a power cut; the rollback journal may lose the
    # last commit because its folder is not flushed. Writers take the lock when they begin, so that none can fail
    # half-way with "database is locked".
    connection.isolation_level = "IMMEDIATE"
    for pragma in (
        "journal_mode=WAL",
        f"synchronous={synchronous}",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_SECONDS}000",
    ):
        connection.execute(f"PRAGMA {pragma}")
