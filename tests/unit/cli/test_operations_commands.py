# SPDX-License-Identifier: Apache-2.0
"""Commands of the night shift without a node: JSON keys and exit statuses are an interface."""

import json
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fakes import ct_dataset, incoming
from service.bootstrap.desk import open_desk
from service.cli.app import app, main
from service.cli.replay import moment
from service.cli.signals import tell
from service.domain.errors import ConfigurationError
from service.observability.machine import read_clock
from service.settings import load_settings
from service.storage import create_database, migrate, open_folder
from service.storage.database import newest_revision
from service.workflow import StoreInstance

RUN = CliRunner()
DESTINATION = "{name: pacs, ae_title: P, host: 127.0.0.1, port: 1, timeout_seconds: 2}"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A node that has run, and received one image of a study."""
    path = tmp_path / "config.yaml"
    path.write_text(
        f"storage: {{folder: '{tmp_path / 'data'}', reserve_bytes: 0}}\ndestinations: [{DESTINATION}]\n"
        "peers: [{name: ct, ae_title: CT, address: 127.0.0.1}]\nsite: {allow_demonstration: true}\n"
    )
    database = create_database(open_folder(tmp_path / "data").root)
    migrate(database)
    database.dispose()
    with open_desk(load_settings(path)) as parts:
        StoreInstance(parts)(incoming(ct_dataset(1, 1)))
    return path


def dokuei(*arguments: object) -> tuple[int, str]:
    """Return exit status and output; errors of ours as `main` prints them."""
    result = RUN.invoke(app, list(map(str, arguments)))
    if isinstance(result.exception, Exception):
        return 1, str(result.exception)
    return result.exit_code, result.output


def document(*arguments: object, status: int = 0) -> Any:
    code, text = dokuei(*arguments, "--json")
    assert code == status, text
    return json.loads(text)


KEYS: dict[str, tuple[tuple[str, ...], int, set[str]]] = {
    "hold": (("hold", "pacs"), 0, {"destination", "held", "changed"}),
    "release": (("hold", "pacs", "--release"), 0, {"destination", "held", "changed"}),
    "replay": (("replay", "--since", "1d"), 1, {"studies", "asked", "left_out"}),
    "ledger": (("ledger",), 0, {"revision", "newest", "was"}),
    "backup": (
        ("backup", "BACKUP"),
        0,
        {"folder", "made_at", "revision", "files", "size_bytes", "missing"},
    ),
    "retry": (("retry",), 0, {"reopened", "destination"}),
    "status": (("status",), 0, {"durability", "members", "queues", "studies", "classes", "retention"}),
    "check": (("check",), 0, {"ok", "settings"}),
}


@pytest.mark.parametrize("name", KEYS)
def test_json_keys_are_an_interface(config: Path, tmp_path: Path, name: str) -> None:
    arguments, status, keys = KEYS[name]
    placed = [str(tmp_path / "backup") if item == "BACKUP" else item for item in arguments]
    place = [config] if name in {"retry", "status", "check"} else ["--config", config]
    assert document(*placed, *place, status=status).keys() == keys


def test_doctor_tells_of_clock_and_ports(config: Path) -> None:
    findings = {item["subject"]: item for item in document("doctor", config, status=1)}
    assert {"clock", "DICOM port", "HTTP port", "disk", "pixel decoders", "ONNX Runtime"} <= findings.keys()
    assert all(item.keys() == {"subject", "well", "text", "advice"} for item in findings.values())
    state = read_clock()
    assert state is not None
    assert findings["clock"]["well"] == (state.synchronised and abs(state.offset) <= 1)


def test_check_finds_every_problem_at_once_and_exits_with_two(config: Path) -> None:
    config.write_text(config.read_text() + "node: {prt: 1}\nretention: {input_hours: -1}\nclose: {quiet: 1}\n")
    problems = document("check", config, status=2)["problems"]
    assert len(problems) == 3
    assert all(problem.startswith("line ") for problem in problems)


@pytest.mark.parametrize("command", ["drain", "selftest"])
def test_without_a_node_the_exit_status_is_two(config: Path, command: str) -> None:
    code, text = dokuei(command, "--config", config)
    assert (code, "no node uses storage.folder" in text) == (2, True)


def test_hold_is_idempotent_and_knows_the_destinations(config: Path) -> None:
    assert document("hold", "pacs", "-c", config)["changed"]
    assert not document("hold", "pacs", "-c", config)["changed"]
    assert "HELD by a person" in dokuei("status", config)[1]
    assert dokuei("hold", "elsewhere", "-c", config) == (1, "destination 'elsewhere' is not configured; known: pacs")


def test_replay_says_what_it_needs(config: Path) -> None:
    assert dokuei("replay", "-c", config)[0] == 1
    assert "one of the two" in dokuei("replay", "1.2", "--since", "1d", "-c", config)[1]
    assert document("replay", "1.2.3", "-c", config, status=1) == {"studies": 0, "asked": 0, "left_out": {}}
    with open_desk(load_settings(config)) as parts:
        key = parts.study_key("1.2.826.0.1.1")
    assert document("replay", key, "-c", config, status=1)["left_out"] == {"it is still arriving": 1}


def test_times_are_understood_as_people_write_them() -> None:
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert moment("90m", now=now) == now - timedelta(minutes=90)
    assert moment("2d", now=now) == now - timedelta(days=2)
    assert moment("2026-05-01T08:00+02:00") == datetime(2026, 5, 1, 6, tzinfo=UTC)
    with pytest.raises(ConfigurationError, match="is no time"):
        moment("yesterday")


def test_a_backup_comes_back_whole_and_nothing_else_does(config: Path, tmp_path: Path) -> None:
    made = document("backup", tmp_path / "backup", "-c", config)
    assert (made["files"], made["missing"]) == (4, [])
    copied = tmp_path / "backup" / "data"
    assert [path for path in (copied, *copied.rglob("*.*")) if path.stat().st_mode & 0o077] == []
    assert "is there already" in dokuei("backup", tmp_path / "backup", "-c", config)[1]
    assert "another disk" in dokuei("backup", tmp_path / "data" / "x", "-c", config)[1]
    assert "is not empty" in dokuei("restore", tmp_path / "backup", "-c", config)[1]

    config.write_text(config.read_text().replace("/data'", "/restored'"))
    back = document("restore", tmp_path / "backup", "-c", config)
    assert back.keys() == {"folder", "made_at", "revision", "files", "size_bytes", "missing", "sound"}
    assert (back["files"], back["sound"]) == (3, True)
    for name in ("instances", "site.key"):
        restored, original = tmp_path / "restored" / name, tmp_path / "data" / name
        for path in [restored, *restored.rglob("*")]:
            if path.is_file():
                assert path.read_bytes() == (original.parent / path.relative_to(tmp_path / "restored")).read_bytes()
                assert path.stat().st_mode & 0o077 == 0
    with sqlite3.connect(tmp_path / "restored" / "dokuei.db") as ledger:
        assert ledger.execute("select count(*) from instance").fetchone() == (1,)


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (lambda folder: (folder / "data" / "site.key").write_bytes(b"x"), "missing or were altered"),
        (lambda folder: next((folder / "data" / "instances").rglob("*.dcm")).unlink(), "missing or were altered"),
        (
            lambda folder: (folder / "manifest.json").unlink(),
            "has no manifest.json, but config.yaml, data; a backup is",
        ),
        (lambda folder: (folder / "manifest.json").write_text("{"), "damaged, or is the manifest of something else"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "has format None; this version reads 1"),
        (
            lambda folder: (folder / "manifest.json").write_text(
                (folder / "manifest.json")
                .read_text()
                .replace(f'"revision": "{newest_revision()}"', '"revision": "9999"')
            ),
            "install the version that made it",
        ),
    ],
    ids=["altered", "missing", "without manifest", "damaged manifest", "foreign manifest", "newer"],
)
def test_a_backup_that_is_not_whole_changes_nothing(config: Path, tmp_path: Path, harm: Any, expected: str) -> None:
    document("backup", tmp_path / "backup", "-c", config)
    harm(tmp_path / "backup")
    config.write_text(config.read_text().replace("/data'", "/restored'"))
    code, text = dokuei("restore", tmp_path / "backup", "-c", config)
    assert (code, expected in text) == (1, True), text
    assert not (tmp_path / "restored").exists()


def test_a_folder_that_is_no_backup_is_told_from_one_and_the_next_one_is_named(config: Path, tmp_path: Path) -> None:
    made = tmp_path / "backups" / "monday"
    made.parent.mkdir()
    document("backup", made, "-c", config)
    config.write_text(config.read_text().replace("/data'", "/restored'"))
    (tmp_path / "backups" / "tuesday.partial").mkdir()
    (tmp_path / "void").mkdir()
    named = f"name one of these: {made}"
    for folder, nature, remedy in (
        (tmp_path / "backups" / "sunday", "it does not exist", named),
        (tmp_path / "backups", "it has no manifest.json, but monday, tuesday.partial", named),
        (tmp_path / "backups" / "tuesday.partial", "it is one that was not finished", named),
        (made / "manifest.json", "it is a file", named),
        (made / "data", "it is a data folder, for dokuei.db lies in it", named),
        (tmp_path / "data", "it is a data folder, for dokuei.db lies in it", "name such a folder"),
        (tmp_path / "void", "it is empty", "name such a folder"),
    ):
        code, text = dokuei("restore", folder, "-c", config)
        told = " ".join(text.split())
        assert code == 1
        assert f"is no backup: {nature}; a backup is the folder that" in told
        assert told.endswith(remedy), told
    assert not (tmp_path / "restored").exists()


def test_a_file_that_is_lost_is_named_by_the_backup(config: Path, tmp_path: Path) -> None:
    next((tmp_path / "data" / "instances").rglob("*.dcm")).unlink()
    made = document("backup", tmp_path / "backup", "-c", config, status=1)
    assert len(made["missing"]) == 1


def test_the_ledger_goes_down_and_up_and_not_while_a_node_has_it(config: Path, tmp_path: Path) -> None:
    down = document("ledger", "--to", "0007", "-c", config)
    assert down == {"revision": "0007", "newest": newest_revision(), "was": newest_revision()}
    assert document("ledger", "--to", "head", "-c", config)["revision"] == newest_revision()
    from service.storage import FolderLock

    lock = FolderLock(tmp_path / "data")
    assert "in use by another node" in dokuei("ledger", "--to", "0007", "-c", config)[1]
    lock.release()
    with sqlite3.connect(tmp_path / "data" / "dokuei.db") as ledger:
        ledger.execute("update ledger_version set version_num = '9999'")
    ledger.close()
    assert document("ledger", "-c", config, status=1)["revision"] == "9999"


def test_errors_end_with_one_sentence_and_status_one(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["dokuei", "hold", "elsewhere", "-c", str(config)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("dokuei: destination 'elsewhere' is not configured")


def test_a_node_that_does_not_listen_is_not_ended_by_a_command() -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"]) as process:
        assert not tell(process.pid, signal.SIGUSR2)
        assert process.poll() is None
        process.kill()
    assert not tell(process.pid, signal.SIGUSR2), "a process that is gone"
