# SPDX-License-Identifier: Apache-2.0
"""The database that holds the ledger and the engine's tables, so that one transaction can span both.

It is one SQLite file in the data folder, or a PostgreSQL database where `storage.database_url` names one.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from service.domain.errors import ConfigurationError
from service.settings import StorageSettings
from service.storage import postgresql, sqlite
from service.storage.sqlite import DATABASE_FILE

__all__ = [
    "DATABASE_FILE",
    "change_revision",
    "create_database",
    "database_of",
    "migrate",
    "newest_revision",
    "revision_of",
]

VERSION_TABLE = "ledger_version"
"""Where alembic keeps the revision (migrations/env.py)."""


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
    """Bring the ledger's tables to the newest form; does nothing when they have it.

    Raises
    ------
    ConfigurationError
        A newer version has written the ledger: nothing is changed.
    """
    present, newest = revision_of(engine), newest_revision()
    if present > newest:
        raise ConfigurationError(
            f"the ledger has revision {present}, and this version of Dokuei reads up to {newest}: a newer version has "
            f"used it; start that one, or run its `dokuei ledger --to {newest}` first (see docs/upgrade.md)"
        )
    change_revision(engine, "head")


def revision_of(engine: sa.Engine) -> str:
    """Return the revision of the ledger's tables, "" for none yet; revisions compare as text."""
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(VERSION_TABLE):
            return ""
        return str(connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar() or "")  # noqa: S608


def newest_revision() -> str:
    """Return the newest revision that this version knows."""
    return str(ScriptDirectory.from_config(_configuration()).get_current_head())


def change_revision(engine: sa.Engine, to: str) -> None:
    """Take the tables up or down to a revision, or to "head", in one transaction.

    Raises
    ------
    ConfigurationError
        This version does not know the revision, or the present one.
    """
    configuration = _configuration()
    scripts = ScriptDirectory.from_config(configuration)
    try:
        wanted = str(scripts.get_current_head() if to == "head" else scripts.get_revision(to).revision)
        present = revision_of(engine)
        with engine.begin() as connection:
            _lock_out_others(connection)
            configuration.attributes["connection"] = connection
            (command.downgrade if wanted < present else command.upgrade)(configuration, wanted)
    except CommandError as error:
        raise ConfigurationError(f"the ledger cannot be taken to revision {to!r}: {error}") from None


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    configuration.set_main_option("path_separator", "os")
    return configuration


def _lock_out_others(connection: sa.Connection) -> None:
    if connection.dialect.name == "sqlite":
        # Python's sqlite3 opens no transaction for CREATE TABLE: without this a kill leaves half a migration.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")  # a long table takes its time
    postgresql.lock_for_writing(connection)
