# SPDX-License-Identifier: Apache-2.0
"""A ledger of an earlier version goes on with the rows that it has, and can be taken back."""

import json
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from service.domain.entry import DeliveryState
from service.storage import SqlLedger, create_database, migrate

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
