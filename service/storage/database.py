# SPDX-License-Identifier: Apache-2.0
"""The database that holds the ledger and the engine's tables, so that one transaction can span both.

It is one SQLite file in the data folder, or a PostgreSQL database where `storage.database_url` names one.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from service.settings import StorageSettings
from service.storage import postgresql, sqlite
from service.storage.sqlite import DATABASE_FILE

__all__ = ["DATABASE_FILE", "create_database", "database_of", "migrate"]


def create_database(
    folder: Path, *, url: str | None = None, password_file: Path | None = None, flush: bool = True
) -> sa.Engine:
    """Open the database of a data folder: a SQLite file, made when it is missing, or the PostgreSQL one at `url`.

    Parameters
    ----------
    flush
        False only in benchmarks (storage.durability): a power cut then loses the last commits.
    """
    if url is None:
        return sqlite.create(folder, flush=flush)
    return postgresql.create(url, password_file=password_file, flush=flush)


def database_of(storage: StorageSettings) -> sa.Engine:
    """Open the database that the settings name."""
    return create_database(
        storage.folder,
        url=storage.database_url,
        password_file=storage.database_password_file,
        flush=storage.durability == "durable",
    )


def migrate(engine: sa.Engine) -> None:
    """Bring the ledger's tables to the newest form; does nothing when they have it."""
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    configuration.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        _lock_out_others(connection)
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")


def _lock_out_others(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        # Python's sqlite3 opens no transaction for CREATE TABLE: without this a kill leaves half a migration.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")  # a long table takes its time
    postgresql.lock_for_writing(connection)
