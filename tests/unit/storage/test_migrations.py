# SPDX-License-Identifier: Apache-2.0
"""A ledger of an earlier version goes on with the rows that it has, and can be taken back."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from service.domain.entry import DeliveryState
from service.domain.errors import ConfigurationError
from service.storage import SqlLedger, create_database, migrate, schema
from service.storage.database import change_revision, newest_revision
from service.storage.statistics import SqlStatistics

VERSIONS = Path(__file__).parents[3] / "service" / "storage" / "migrations"
STUDY = (
    "INSERT INTO study (id, study_instance_uid, first_seen_at, last_seen_at, evaluated_at) VALUES (1, '1.2', 0, 0, 0)"
)
REVISION = "INSERT INTO revision (id, study_id, number, closed_at, rules, pipelines) VALUES (1, 1, 1, 0, '[]', '[]')"
JOB = (
    "INSERT INTO job (id, key, study_id, revision_id, pipeline, state, inputs, flags, refusals, predecessors, "
    "result_revision, received_at, created_at) VALUES (:id, :key, 1, 1, 'p', 'encoded', '[]', '[]', '[]', "
    ":predecessors, :id, 0, 0)"
)
OBJECT = (
    "INSERT INTO result_object (id, job_id, kind, sop_class_uid, sop_instance_uid, path, created_at) "
    "VALUES (:id, :job, 'sr', '1.2.840.10008.5.1.4.1.1.88.33', :uid, 'results/x.dcm', 0)"
)
DELIVERY = (
    "INSERT INTO delivery (id, job_id, object_id, destination, state, next_attempt_at, created_at) "
    "VALUES (:id, :job, :id, 'pacs', :state, 0, 0)"
)


def go(engine: sa.Engine, revision: str, *, back: bool = False) -> None:
    configuration = Config()
    configuration.set_main_option("script_location", str(VERSIONS))
    configuration.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        configuration.attributes["connection"] = connection
        (command.downgrade if back else command.upgrade)(configuration, revision)


def fill(engine: sa.Engine) -> None:
    """Two results of a study: one delivered, one on its way."""
    with engine.begin() as connection:
        connection.execute(sa.text(STUDY))
        connection.execute(sa.text(REVISION))
        for number, state in ((1, "delivered"), (2, "pending")):
            predecessors = json.dumps(["2.25.1"] if number == 2 else [])
            connection.execute(sa.text(JOB), {"id": number, "key": f"k{number}", "predecessors": predecessors})
            connection.execute(sa.text(OBJECT), {"id": number, "job": number, "uid": f"2.25.{number}"})
            connection.execute(sa.text(DELIVERY), {"id": number, "job": number, "state": state})


def test_old_rows_are_delivered_and_a_downgrade_keeps_them(tmp_path: Path, database_url: str | None) -> None:
    engine = create_database(tmp_path, url=database_url)
    go(engine, "0004")
    fill(engine)
    migrate(engine)
    ledger = SqlLedger(engine, root=tmp_path, enqueue=lambda _connection, _task: None)
    with ledger.transaction() as transaction:
        (pending,) = transaction.deliveries.pending(2, "pacs")
        assert (pending.slot, pending.rank, pending.kind) == ("", 0, "sr")
        (earlier,) = transaction.jobs.earlier(2)
        assert (earlier.sop_instance_uid, earlier.state) == ("2.25.1", DeliveryState.DELIVERED)
        transaction.deliveries.change([1], DeliveryState.RETIRED, at=1.0)
        transaction.deliveries.change([2], DeliveryState.DECLINED, at=1.0)
    go(engine, "0004", back=True)
    with engine.connect() as connection:
        states = connection.execute(sa.text("SELECT state FROM delivery ORDER BY id")).scalars().all()
        columns = {column["name"] for column in sa.inspect(connection).get_columns("result_object")}
        assert connection.execute(sa.text("SELECT count(*) FROM job")).scalar() == 2
        assert "predecessors" in {column["name"] for column in sa.inspect(connection).get_columns("job")}
    assert states == ["delivered", "refused"]
    assert not columns & {"slot", "rank", "profile"}
    migrate(engine)
    with ledger.reading() as view:
        assert len(view.deliveries.of(1, "pacs")) == 1
    engine.dispose()


REVISIONS = tuple(f"{number:04d}" for number in range(1, int(newest_revision()) + 1))
GIVEN: dict[tuple[str, str], object] = {
    ("commitment_order", "references"): [["1.2.840", "instance-sop_instance_uid-2"]],
    ("job", "state"): "finished",
    ("delivery", "state"): "delivered",
    ("held_object", "problems"): ["x"],
    ("circuit", "state"): "closed",
    ("conflict", "path"): "conflicts/1.dcm",
}
ROWS = 2


def tables_of(engine: sa.Engine) -> dict[str, sa.Table]:
    metadata = sa.MetaData()
    metadata.reflect(engine)
    return {table.name: table for table in metadata.sorted_tables if table.name != "ledger_version"}


def value(table: sa.Table, column: sa.Column[Any], number: int) -> object:
    if (table.name, column.name) in GIVEN:
        given = GIVEN[table.name, column.name]
        return given.replace("1", str(number)) if column.name == "path" and isinstance(given, str) else given
    if column.foreign_keys or column.primary_key:
        return number
    if isinstance(column.type, sa.JSON):
        return []
    if isinstance(column.type, sa.Text | sa.String):
        return f"{table.name}-{column.name}-{number}"
    return number


def fill_new_tables(engine: sa.Engine) -> None:
    """Put two rows, with a value in every column that must have one, into each table that has none."""
    tables = tables_of(engine)
    with engine.begin() as connection:
        for table in tables.values():
            if connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one():
                continue
            for number in range(1, ROWS + 1):
                columns = [column for column in table.columns if not column.nullable]
                connection.execute(sa.insert(table), {item.name: value(table, item, number) for item in columns})


def rows_of(engine: sa.Engine) -> dict[str, int]:
    with engine.connect() as connection:
        query = {name: sa.select(sa.func.count()).select_from(table) for name, table in tables_of(engine).items()}
        return {name: connection.execute(statement).scalar_one() for name, statement in query.items()}


def test_rows_of_every_table_survive_every_step_up_and_down(tmp_path: Path, database_url: str | None) -> None:
    engine = create_database(tmp_path, url=database_url)
    try:
        for revision in REVISIONS:
            before = rows_of(engine) if revision != "0001" else {}
            go(engine, revision)
            after = rows_of(engine)
            assert {name: after[name] for name in before if name in after} == {
                name: count for name, count in before.items() if name in after
            }, revision
            fill_new_tables(engine)
        assert set(rows_of(engine).values()) == {ROWS}
        assert rows_of(engine).keys() == schema.metadata.tables.keys()
        for revision in reversed(REVISIONS[:-1]):
            before = rows_of(engine)
            go(engine, revision, back=True)
            after = rows_of(engine)
            assert {name: after[name] for name in before if name in after} == {
                name: count for name, count in before.items() if name in after
            }, revision
        migrate(engine)
        assert SqlStatistics(engine).counts().failed_jobs == 0
        assert rows_of(engine)["instance"] == ROWS
    finally:
        engine.dispose()


def test_what_was_promised_to_a_peer_before_is_never_deleted(tmp_path: Path, database_url: str | None) -> None:
    engine = create_database(tmp_path, url=database_url)
    go(engine, "0007")
    fill_new_tables(engine)
    migrate(engine)
    with engine.connect() as connection:
        promised = connection.execute(sa.select(schema.instance.c.promised).order_by(schema.instance.c.id)).scalars()
        assert list(promised) == [0, 1]
    engine.dispose()


def test_a_downgrade_lets_a_held_destination_go_and_forgets_files_that_were_being_deleted(
    tmp_path: Path, database_url: str | None
) -> None:
    engine = create_database(tmp_path, url=database_url)
    migrate(engine)
    fill_new_tables(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE circuit SET state = 'held' WHERE id = 1"))
        connection.execute(sa.text("UPDATE instance SET purge_id = 1 WHERE id = 1"))
    change_revision(engine, "0007")
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT DISTINCT state FROM circuit")).scalars().all() == ["closed"]
        paths = connection.execute(sa.text("SELECT path FROM instance ORDER BY id")).scalars().all()
        assert paths == ["", "instance-path-2"]
    engine.dispose()


def test_a_ledger_of_a_newer_version_is_refused_with_the_remedy(tmp_path: Path, database_url: str | None) -> None:
    engine = create_database(tmp_path, url=database_url)
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE ledger_version SET version_num = '9999'"))
    newest = newest_revision()
    with pytest.raises(ConfigurationError, match=rf"revision 9999.*reads up to {newest}.*dokuei ledger --to {newest}"):
        migrate(engine)
    with pytest.raises(ConfigurationError, match="cannot be taken to revision"):
        change_revision(engine, "0007")
    engine.dispose()
