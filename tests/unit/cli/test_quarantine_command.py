# SPDX-License-Identifier: Apache-2.0
"""`dokuei quarantine`: what a person sees of it, and what it does."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fakes import ct_dataset, incoming
from harness.raw import body, element
from service.bootstrap.desk import open_desk
from service.cli.app import app
from service.settings import load_settings
from service.storage import create_database, migrate, open_folder
from service.workflow import StoreInstance

CLAIMED = {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.2", "sop_instance_uid": "1.2.3.4"}
ODD = body(element(0x00090010, "LO", b"VENDOR1"), at=0x00100000)
TWICE = body(element(0x00100020, "LO", b"OTHER "), at=0x0020000D)
RUN = CliRunner()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A node's data folder with two entries: 1 may come out, 2 never."""
    path = tmp_path / "config.yaml"
    path.write_text(f"storage: {{folder: '{tmp_path / 'data'}', reserve_bytes: 0}}\n")
    database = create_database(open_folder(tmp_path / "data").root)
    migrate(database)
    database.dispose()
    with open_desk(load_settings(path)) as parts:
        for data_set in (ODD, TWICE):
            StoreInstance(parts)(incoming(ct_dataset(1, 1), **CLAIMED, dataset=(data_set,)))
    return path


def quarantine(*arguments: object) -> tuple[int, str]:
    result = RUN.invoke(app, ["quarantine", *map(str, arguments)])
    return result.exit_code, result.output if result.exception is None or result.exit_code else str(result.exception)


def test_the_list_names_nobody_unless_it_is_told_to(config: Path) -> None:
    status, text = quarantine("list", config)
    assert status == 0
    assert "duplicate_element" in text
    assert "odd_length" in text
    assert "1.2.3.4" not in text
    assert "1.2.3.4" in quarantine("list", config, "--identity")[1]
    rows = json.loads(quarantine("list", config, "--json")[1])
    assert [row["id"] for row in rows] == [2, 1]
    assert all("sop_instance_uid" not in row for row in rows)


def test_show_says_why_where_and_what_to_do(config: Path) -> None:
    status, text = quarantine("show", 2, config)
    assert status == 0
    assert "(0010,0020) 'Patient ID' stands twice" in text
    assert "never let out" in text
    lines = [line for line in text.splitlines() if "(0010,0020) 'Patient ID' LO" in line]
    assert [line.split()[-2] for line in lines] == ["8", "6"]
    for value in ("SECRET", "OTHER", "ACC1", "1.2.3"):
        assert value not in text
    shown = json.loads(quarantine("show", 2, config, "--json", "--identity")[1])
    assert shown["sop_instance_uid"] == "1.2.3.4"
    assert len(shown["structure"]) == 7


def test_release_lets_out_what_may_be_let_out(config: Path) -> None:
    assert quarantine("release", 1, config)[0] == 0
    status, text = quarantine("release", 2, config)
    assert status == 1
    assert "never let out" in text
    assert [row["id"] for row in json.loads(quarantine("list", config, "--json")[1])] == [2]
    with open_desk(load_settings(config)) as parts, parts.ledger.reading() as view:
        assert view.studies.find_instance("1.2.3.4") is not None
        assert [row.stage for row in view.unfinished()] == ["close"]


def test_discard_deletes_the_bytes(config: Path) -> None:
    assert quarantine("release", 2, config, "--discard")[0] == 0
    assert len(list((config.parent / "data" / "quarantine").iterdir())) == 1


def test_an_entry_that_is_not_there_is_named(config: Path) -> None:
    result = RUN.invoke(app, ["quarantine", "show", "77", str(config)])
    assert result.exit_code != 0
    assert "no entry 77" in str(result.exception)


def test_without_a_ledger_the_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"storage: {{folder: '{tmp_path / 'nowhere'}'}}\n")
    assert "there is no ledger" in str(RUN.invoke(app, ["quarantine", "list", str(path)]).exception)
    assert not (tmp_path / "nowhere").exists()
