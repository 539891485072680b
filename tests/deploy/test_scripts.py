# SPDX-License-Identifier: Apache-2.0
"""The shell scripts of the installation, as shellcheck sees them, and their answers to wrong use."""

import shutil
import subprocess
from pathlib import Path

import pytest

BUNDLE = Path(__file__).parents[2] / "deploy" / "bundle"
SCRIPTS = ("install.sh", "uninstall.sh", "dokuei-command")


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="NO SHELLCHECK: make peers installs it")
@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_finds_nothing_wrong(name: str) -> None:
    done = subprocess.run(["shellcheck", "--shell=sh", str(BUNDLE / name)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", SCRIPTS[:2])
@pytest.mark.parametrize("option", ["--prefixx", "--help-me", "extra"])
def test_an_unknown_option_is_named_with_those_that_there_are(name: str, option: str) -> None:
    done = subprocess.run(["sh", str(BUNDLE / name), option], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert option in done.stderr
    assert "--prefix" in done.stderr


@pytest.mark.parametrize("prefix", ["/", "/opt", "relative"])
def test_no_folder_of_the_system_is_removed(prefix: str) -> None:
    command = ["sh", str(BUNDLE / "uninstall.sh"), "--prefix", prefix]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert Path("/opt").is_dir()
