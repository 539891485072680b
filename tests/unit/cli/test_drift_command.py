# SPDX-License-Identifier: Apache-2.0
"""`dokuei drift`: what stands, who has seen it, and a baseline that only a person can confirm."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from harness.drift_studies import study
from service.bootstrap.desk import open_desk
from service.cli.app import app
from service.domain.drift import DriftAlarm, DriftState, Monitor, MonitoredStudy
from service.domain.result import PackageIdentity, PackageStatus
from service.settings import load_settings
from service.storage import create_database, migrate, open_folder

RUN = CliRunner()
FILM = PackageIdentity(name="film", version="1.0.0", sha256="a" * 64, status=PackageStatus.RESEARCH)
ALARM = DriftAlarm(since=1.7e9, studies=40, channels=("score", "noise"))
STATE = DriftState(
    pipeline="pneumoconiosis",
    package=FILM,
    monitor=Monitor(studies=44, since=1.6e9),
    alarm=ALARM,
    psi={"score": 0.3123, "noise": 2.0},
    reference="phantoms",
    updated_at=2.0,
)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A node's data folder with 120 studies of a package over which an alarm stands."""
    path = tmp_path / "config.yaml"
    path.write_text(f"storage: {{folder: '{tmp_path / 'data'}', reserve_bytes: 0}}\ndrift: {{baseline_studies: 100}}\n")
    database = create_database(open_folder(tmp_path / "data").root)
    migrate(database)
    database.dispose()
    rng = np.random.default_rng(1)
    with open_desk(load_settings(path)) as parts, parts.ledger.transaction() as transaction:
        transaction.drift.save(STATE)
        for number in range(120):
            entry = MonitoredStudy(
                pipeline="pneumoconiosis", package=FILM, study_key=str(number), monitored=study(rng), at=1.7e9 + number
            )
            transaction.drift.add(entry, keep=1000)
    return path


def run(*arguments: object, status: int = 0) -> str:
    result = RUN.invoke(app, ["drift", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return result.output


def failing(*arguments: object) -> str:
    result = RUN.invoke(app, ["drift", *map(str, arguments)])
    assert result.exit_code != 0
    return str(result.exception)


def state(config: Path) -> DriftState:
    with open_desk(load_settings(config)) as parts, parts.ledger.reading() as view:
        found = view.drift.state("pneumoconiosis", FILM)
    assert found is not None
    return found


def listed(config: Path, *, status: int) -> Any:
    return json.loads(run("list", config, "--json", status=status))


def test_an_alarm_is_listed_and_is_an_exit_status(config: Path) -> None:
    (row,) = listed(config, status=1)
    assert (row["model"], row["mode"], row["channels"]) == ("film", "alarm", ["score", "noise"])
    assert (row["score_psi"], row["kinds"], row["studies"]) == (0.3123, ["outputs", "pixels"], 44)
    text = run("list", config, status=1)
    assert "film" in text
    assert "0.312" in text


def test_an_acknowledged_alarm_stands_with_a_name(config: Path) -> None:
    assert "it stands" in run("acknowledge", config, "--model", "film", "--by", "Dr. A", "--note", "new tube")
    (row,) = listed(config, status=1)
    assert (row["acknowledged_by"], row["note"], row["mode"]) == ("Dr. A", "new tube", "alarm")


def test_a_restart_ends_it_and_keeps_it_in_the_history(config: Path) -> None:
    run("acknowledge", config, "--model", "film", "--by", "Dr. A", "--then", "restart")
    (row,) = listed(config, status=0)
    assert (row["mode"], row["studies"]) == ("usual", 0)
    assert row["history"][0]["acknowledged_by"] == "Dr. A"
    assert "no alarm stands" in failing("acknowledge", config, "--model", "film", "--by", "Dr. A")


def test_a_baseline_is_shown_first_and_becomes_the_reference_by_a_name_alone(config: Path) -> None:
    run("acknowledge", config, "--model", "film", "--by", "Dr. A", "--then", "restart")
    shown = run("reference", config, "--model", "film")
    assert "not confirmed" in shown
    assert "alpha 120" in shown
    assert state(config).baseline is None
    answer = json.loads(run("reference", config, "--model", "film", "--by", " Dr. B ", "--json"))
    assert (answer["confirmed"], answer["studies"]) == (True, 120)
    baseline = state(config).baseline
    assert baseline is not None
    assert (baseline.confirmed_by, baseline.source) == ("Dr. B", "120 studies of this site")
    assert baseline.confirmed_at > 1.7e9


def test_a_period_narrows_what_counts(config: Path) -> None:
    assert "0 studies were counted" in failing("reference", config, "--model", "film", "--until", "2001-01-01")
    assert "is no date" in failing("reference", config, "--model", "film", "--since", "last week")


def test_no_baseline_while_an_alarm_stands(config: Path) -> None:
    assert "an alarm stands" in failing("reference", config, "--model", "film", "--by", "Dr. B")
    assert state(config).baseline is None


def test_what_was_found_unusual_is_not_relearned(config: Path) -> None:
    run("acknowledge", config, "--model", "film", "--by", "Dr. A", "--then", "relearn")
    assert listed(config, status=0)[0]["mode"] == "learning"
    assert "0 studies were counted" in failing("reference", config, "--model", "film")


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "a\x07"])
def test_a_person_has_a_name(config: Path, name: str) -> None:
    assert "--by" in failing("acknowledge", config, "--model", "film", "--by", name)


def test_an_unknown_model_names_the_known(config: Path) -> None:
    assert "known: film" in failing("acknowledge", config, "--model", "flim", "--by", "A")


def test_nothing_counted_is_said(tmp_path: Path, config: Path) -> None:
    with open_desk(load_settings(config)) as parts, parts.ledger.transaction() as transaction:
        transaction.drift.save(replace(STATE, alarm=None))
    assert "usual" in run("list", config)
