# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.bootstrap.durability import durability_problems
from service.bootstrap.packages import configuration_problems
from service.cli.status import status
from service.domain.event import NodeStarted
from service.observability.sentences import level
from service.settings import Settings
from service.storage import create_database, database_of, migrate

UNSAFE = Settings.model_validate({"storage": {"durability": "unsafe_for_benchmarks"}, "pipelines": {}, "rules": []})


def test_one_wrong_line_in_the_configuration_cannot_lose_studies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOKUEI_UNSAFE", raising=False)
    (problem,) = durability_problems(UNSAFE)
    assert problem in configuration_problems(UNSAFE)
    assert "loses acknowledged studies" in problem
    assert "DOKUEI_UNSAFE=loses-data" in problem
    monkeypatch.setenv("DOKUEI_UNSAFE", "1")
    assert durability_problems(UNSAFE) == [problem]
    monkeypatch.setenv("DOKUEI_UNSAFE", "loses-data")
    assert durability_problems(UNSAFE) == []
    assert problem not in configuration_problems(UNSAFE)


def test_a_node_that_flushes_nothing_says_so_as_an_error() -> None:
    started = NodeStarted(version="1", ae_title="A", port=1, durability="unsafe_for_benchmarks")
    assert level(started) > level(NodeStarted(version="1", ae_title="A", port=1))


def test_status_says_that_nothing_is_flushed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = create_database(tmp_path)
    migrate(engine)
    engine.dispose()
    config = tmp_path / "config.yaml"
    config.write_text(f"storage: {{folder: '{tmp_path}', durability: unsafe_for_benchmarks}}")
    status(config, as_json=True)
    assert "unsafe_for_benchmarks" in capsys.readouterr().out


def synchronous(engine: sa.Engine) -> object:
    with engine.connect() as connection:
        found = connection.exec_driver_sql("pragma synchronous").scalar()
    engine.dispose()
    return found


def test_only_the_unsafe_mode_leaves_the_flush_out(tmp_path: Path) -> None:
    safe = Settings.model_validate({"storage": {"folder": tmp_path}})
    unsafe = UNSAFE.storage.model_copy(update={"folder": tmp_path})
    assert [synchronous(database_of(storage)) for storage in (safe.storage, unsafe)] == [2, 0]
