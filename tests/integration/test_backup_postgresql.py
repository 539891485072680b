# SPDX-License-Identifier: Apache-2.0
"""The ledger of a PostgreSQL server is dumped at one moment with the files that it names, and comes back."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from fakes import ct_dataset, incoming
from harness.postgres import PostgresServer
from node import running
from service.domain.errors import ConfigurationError
from service.settings import StorageSettings
from service.storage import audit_storage, open_folder
from service.storage.backup import make_backup, restore_backup
from service.storage.database import database_of, newest_revision

STATES = "select key, state from job order by key"


def test_a_dump_and_its_files_come_back(tmp_path: Path, postgres: PostgresServer) -> None:
    url = postgres.database()
    with running(tmp_path, database_url=url) as node:
        for number in (1, 2):
            node.receive(incoming(ct_dataset(1, number)))
        node.wait(lambda: node.rows("select state from job") == [("finished",)])
        storage = StorageSettings(folder=tmp_path / "data", database_url=url)
        config = tmp_path / "config.yaml"
        config.write_text("{}")
        report = make_backup(storage, tmp_path / "backup", config=config, now=datetime.now(UTC))
        states = node.rows(STATES)
        node.receive(incoming(ct_dataset(2, 1)))  # after it: in no backup
    assert report.missing == []
    with pytest.raises(ConfigurationError, match="restore it to the same kind"):
        restore_backup(StorageSettings(folder=tmp_path / "x"), tmp_path / "backup")
    with pytest.raises(ConfigurationError, match="has tables"):
        restore_backup(storage.model_copy(update={"folder": tmp_path / "y"}), tmp_path / "backup")
    assert not (tmp_path / "y").exists(), "what does not fit changes nothing"
    other = StorageSettings(folder=tmp_path / "restored", database_url=postgres.database())
    assert restore_backup(other, tmp_path / "backup").revision == newest_revision()
    engine = database_of(other)
    try:
        assert audit_storage(engine, open_folder(other.folder)).missing == []
        with engine.connect() as connection:
            assert [tuple(row) for row in connection.execute(sa.text(STATES))] == states
            assert connection.execute(sa.text("select count(*) from instance")).scalar_one() == 2
            assert connection.execute(sa.text("select count(*) from dbos.workflow_status")).scalar_one() > 0
    finally:
        engine.dispose()
