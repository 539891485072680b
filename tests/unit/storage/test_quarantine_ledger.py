# SPDX-License-Identifier: Apache-2.0
"""The quarantine's table: made out of the conflicts of an older node, and undone again."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from service.storage import SqlLedger, create_database
from service.storage import database as database_module

CONFLICT = (
    "INSERT INTO conflict (sop_instance_uid, study_instance_uid, path, sha256, size_bytes, peer, received_at) "
    "VALUES ('1.2.3', '1.2', 'conflicts/abc.dcm', 'digest', 7, 'ct', 99.5)"
)


def alembic(engine: sa.Engine, move: str, revision: str) -> None:
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(database_module.__file__).with_name("migrations")))
    configuration.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        configuration.attributes["connection"] = connection
        getattr(command, move)(configuration, revision)


def test_conflicts_of_an_older_node_move_into_the_quarantine_and_back(tmp_path: Path) -> None:
    engine = create_database(tmp_path)
    alembic(engine, "upgrade", "0001")
    with engine.begin() as connection:
        connection.exec_driver_sql(CONFLICT)
    alembic(engine, "upgrade", "0002")
    ledger = SqlLedger(engine, root=tmp_path, enqueue=lambda *_: None)
    with ledger.reading() as view:
        entry = view.quarantine.rows(limit=5)[0]
    assert (entry.key, entry.reason, entry.peer, entry.size_bytes, entry.first_at) == ("abc", "conflict", "ct", 7, 99.5)
    assert entry.path == tmp_path / "conflicts" / "abc.dcm"
    alembic(engine, "downgrade", "0001")
    with engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT sop_instance_uid, path, received_at FROM conflict").all()
    assert [tuple(row) for row in rows] == [("1.2.3", "conflicts/abc.dcm", 99.5)]
    engine.dispose()
