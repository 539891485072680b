# SPDX-License-Identifier: Apache-2.0
"""The command line: exit statuses, JSON, and messages that say what to do next."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from models.phantoms.dicom import PhantomStudy, write_dx
from service.inference.package import default_packages_folder

numpy = pytest.importorskip("numpy")
COMMANDS = (
    "run",
    "demo",
    "check",
    "doctor",
    "route",
    "status",
    "retry",
    "held",
    "reload",
    "shadows",
    "viewer",
    "selftest",
    "hold",
    "replay",
    "drain",
    "backup",
    "restore",
    "ledger",
    "models list",
    "models check",
    *(f"models {name}" for name in ("init", "seal", "sign", "promote", "export", "install", "diff")),
    "quarantine list",
    "quarantine show",
    "quarantine release",
    *(f"drift {name}" for name in ("list", "acknowledge", "reference")),
    "phantom",
    "phantom radiograph",
    "phantom hrct",
    "phantom mammogram",
    "phantom voi",
    "phantom head-ct",
)


def dokuei(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(
        f"storage: {{folder: '{tmp_path / 'data'}'}}\n"
        "peers: [{name: m, ae_title: M, address: 127.0.0.1}]\n"
        "destinations: [{name: pacs, ae_title: P, host: 127.0.0.1, port: 1, timeout_seconds: 2}]\n"
        "site: {allow_demonstration: true}\n"
    )
    return path


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    answer = dokuei(*command.split(), "--help")
    assert answer.returncode == 0
    assert len(answer.stdout.splitlines()) > 5


def test_without_a_command_the_help_is_shown() -> None:
    assert "doctor" in dokuei().stdout


def test_check_accepts_and_prints_the_effective_settings(config: Path) -> None:
    answer = dokuei("check", config, "--json")
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout)["settings"]["node"]["ae_title"] == "DOKUEI"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("site: {}\n", "is a demonstration, not for clinical use; set 'site: {allow_demonstration: true}'"),
        ("site: {allow_demonstration: true}\nnode: {prt: 1}\n", "line 5: node.prt: unknown key; did you mean 'port'?"),
        (
            "site: {allow_demonstration: true}\npipelines: {mammography: {package: x, version: 1.0.0}}\nrules: []\n",
            "line 5: pipelines.mammography: package x 1.0.0 is not in",
        ),
    ],
)
def test_check_refuses_with_the_remedy(config: Path, line: str, expected: str) -> None:
    config.write_text(config.read_text().replace("site: {allow_demonstration: true}\n", line))
    answer = dokuei("check", config)
    assert answer.returncode == 2
    assert expected in answer.stderr
    assert dokuei("run", config).returncode != 0


def test_doctor_names_what_is_wrong_and_what_to_do(config: Path) -> None:
    answer = dokuei("doctor", config, "--json")
    findings = {finding["subject"]: finding for finding in json.loads(answer.stdout)}
    assert answer.returncode == 1
    assert not findings["destination pacs"]["well"]
    assert "check host, port" in findings["destination pacs"]["text"]
    assert findings["package of mammography"]["well"]
    assert findings["disk"]["well"]


def test_route_says_which_rule_matches_and_why(tmp_path: Path) -> None:
    film = write_dx(tmp_path / "film.dcm", numpy.zeros((8, 8), numpy.uint16), study=PhantomStudy(seed="route"))
    (tmp_path / "notes.txt").write_text("not DICOM")
    answer = dokuei("route", tmp_path)
    assert answer.returncode == 0
    assert "(1 file(s)) -> pneumoconiosis" in answer.stdout
    assert "✓ Modality in ['CR', 'DX'] (is 'DX')" in answer.stdout
    assert "rule mammography does not match" in answer.stdout
    assert film.exists()


def test_route_names_a_file_that_is_not_dicom(tmp_path: Path) -> None:
    (tmp_path / "notes.dcm").write_text("not DICOM")
    answer = dokuei("route", tmp_path / "notes.dcm")
    assert answer.returncode == 1
    assert "notes.dcm" in answer.stderr


def test_models_check_reproduces_the_golden_results_of_every_shipped_package() -> None:
    answer = dokuei("models", "check", "--json")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    reports = json.loads(answer.stdout)
    assert {report["pipeline"] for report in reports} == {"pneumoconiosis", "diffuse_lung", "mammography"}
    assert len(json.loads(dokuei("models", "list", "--json").stdout)) == len(reports)


def test_models_check_rejects_an_altered_package(tmp_path: Path) -> None:
    source = next(default_packages_folder().glob("*/*/manifest.yaml")).parent
    folder = tmp_path / source.parent.name / source.name
    for path in source.rglob("*"):
        target = folder / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file():
            target.write_bytes(path.read_bytes())
    (folder / "MODEL_CARD.md").write_text("better than it is")
    answer = dokuei("models", "check", folder)
    assert answer.returncode == 1
    assert "the file was altered" in answer.stderr


def test_status_and_retry_say_when_there_is_no_ledger(config: Path) -> None:
    for command in ("status", "retry"):
        answer = dokuei(command, config)
        assert answer.returncode == 1
        assert "there is no ledger" in answer.stderr


def test_demo_says_where_the_samples_come_from(tmp_path: Path) -> None:
    answer = dokuei("demo", tmp_path)
    assert answer.returncode == 1
    assert "`make demo` draws them" in answer.stderr
