# SPDX-License-Identifier: Apache-2.0
"""The systemd units: right by systemd's own judgement, locked down, and in step with the node."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from service.bootstrap.node import AUDIT_END_SECONDS, DRAIN_SECONDS
from service.settings import load_settings

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = DEPLOY / "systemd"
UNIT = UNITS / "dokuei.service"
MOST = {"cpu": 1.5, "gpu": 1.6}
"""Exposure, of 10, by `systemd-analyze security`."""

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="NO SYSTEMD: systemd-analyze is missing"
)


@pytest.fixture(params=sorted(MOST))
def variant(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A variant, and its unit as it is installed, beside its drop-in."""
    shutil.copy(UNIT, tmp_path)
    if request.param == "gpu":
        (tmp_path / "dokuei.service.d").mkdir()
        shutil.copy(UNITS / "gpu.conf", tmp_path / "dokuei.service.d")
    return request.param, tmp_path / "dokuei.service"


def option(name: str) -> list[str]:
    """Every value that the unit gives an option."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def test_the_exposure_is_small(variant: tuple[str, Path]) -> None:
    name, unit = variant
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = re.search(r"Overall exposure level for dokuei\.service: (\d+\.\d+)", done.stdout)
    assert said is not None, done.stdout + done.stderr
    assert float(said[1]) <= MOST[name]


def test_systemd_finds_nothing_wrong(variant: tuple[str, Path]) -> None:
    done = subprocess.run(["systemd-analyze", "verify", str(variant[1])], capture_output=True, text=True, check=False)
    # The program is not installed here; whatever else is said is a defect of the unit.
    complaints = [line for line in done.stderr.splitlines() if "/opt/dokuei/current/bin/dokuei" not in line]
    assert not complaints


def test_users_and_folders_are_declared_as_systemd_wants(tmp_path: Path) -> None:
    users = ["systemd-sysusers", "--dry-run", f"--root={tmp_path}", str(UNITS / "sysusers.conf")]
    assert "Creating user 'dokuei'" in subprocess.run(users, capture_output=True, text=True, check=True).stderr
    folders = [line.split() for line in (UNITS / "tmpfiles.conf").read_text().splitlines() if line.startswith("d ")]
    assert {path: (mode, user) for _, path, mode, user, _ in folders} == {
        "/etc/dokuei": ("0750", "root"),
        "/etc/dokuei/credentials": ("0700", "root"),
        "/var/lib/dokuei": ("0750", "dokuei"),
    }


def test_a_drain_may_end_and_a_refused_configuration_is_not_tried_again() -> None:
    (stop,), (prevented,), (restart,) = option("TimeoutStopSec"), option("RestartPreventExitStatus"), option("Restart")
    assert float(stop) > 3 * DRAIN_SECONDS + AUDIT_END_SECONDS
    assert (restart, prevented) == ("always", "2")


def test_no_memory_is_written_to_disk_and_secrets_are_credentials() -> None:
    assert option("LimitCORE") == ["0"]
    assert option("LoadCredential") == ["secret:/etc/dokuei/credentials"]
    assert not [line for line in option("Environment") if re.search("KEY|TOKEN|PASSWORD|SECRET", line)]


def test_the_example_configuration_fits_the_unit() -> None:
    settings = load_settings(DEPLOY / "config.yaml")
    (folder,) = option("StateDirectory")
    assert settings.storage.folder == Path("/var/lib") / folder
    assert option("ExecStart") == ["/opt/dokuei/current/bin/dokuei run /etc/dokuei/config.yaml"]


def test_the_drop_in_has_one_section() -> None:
    parser = configparser.ConfigParser(strict=False)
    parser.read(UNITS / "gpu.conf")
    assert parser.sections() == ["Service"]
