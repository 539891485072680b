# SPDX-License-Identifier: Apache-2.0
"""The one SQLite file that holds the ledger and the engine's tables, so that one transaction can span both."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

DATABASE_FILE = "dokuei.db"
BUSY_TIMEOUT_SECONDS = 30
POOL_SIZE = 64


def create_database(folder: Path) -> sa.Engine:
    """Open the database of a data folder; the file is made when it is missing."""
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
    sa.event.listen(engine, "connect", _prepare_connection)
    return engine


def _prepare_connection(connection: Any, _record: Any) -> None:
    # WAL with synchronous=FULL costs one flush per commit and survives a power cut; the rollback journal may lose the
    # last commit because its folder is not flushed. Writers take the lock when they begin, so that none can fail
    # half-way with "database is locked".
    connection.isolation_level = "IMMEDIATE"
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_TIMEOUT_SECONDS}000",
    ):
        connection.execute(f"PRAGMA {pragma}")


def migrate(engine: sa.Engine) -> None:
    """Bring the ledger's tables to the newest form; does nothing when they have it."""
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    configuration.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        # Python's sqlite3 opens no transaction for CREATE TABLE: without this a kill leaves half a migration.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")
