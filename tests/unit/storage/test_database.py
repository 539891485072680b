# SPDX-License-Identifier: Apache-2.0
import os
import signal
import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service.storage import create_database, migrate
from service.storage.schema import metadata

KILLED_WHILE_MIGRATING = """
import os, signal, sys
from pathlib import Path
import sqlalchemy as sa
from service.storage import create_database, migrate
engine = create_database(Path(sys.argv[1]))
def kill(connection, cursor, statement, parameters, context, many):
    if "CREATE TABLE" in statement and "job" in statement:
        os.kill(os.getpid(), signal.SIGKILL)
sa.event.listen(engine, "before_cursor_execute", kill)
migrate(engine)
"""


def pragma(engine: sa.Engine, name: str) -> object:
    with engine.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def test_commits_are_flushed_to_a_write_ahead_log(tmp_path: Path) -> None:
    engine = create_database(tmp_path)
    assert (pragma(engine, "journal_mode"), pragma(engine, "synchronous")) == ("wal", 2)
    assert (pragma(engine, "busy_timeout"), pragma(engine, "foreign_keys")) == (30_000, 1)
    engine.dispose()


def test_migrations_make_exactly_the_schema(tmp_path: Path) -> None:
    engine = create_database(tmp_path)
    migrate(engine)
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "ledger_version"})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_a_kill_during_migration_leaves_no_half_of_it(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED_WHILE_MIGRATING, str(tmp_path)]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    engine = create_database(tmp_path)
    migrate(engine)
    assert sa.inspect(engine).has_table("job")
    engine.dispose()


def test_nobody_else_may_read_the_ledger(tmp_path: Path) -> None:
    """It names patients, wherever the folder lies and whatever the umask says."""
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    engine = create_database(folder)
    migrate(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("create table touched (id integer)")
        modes = {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}
    engine.dispose()
    assert set(modes.values()) == {0o600}
    assert len(modes) == 3
