# SPDX-License-Identifier: Apache-2.0
"""The Containerfile: nothing to complain about, nothing missing, and no more in the image than the node needs."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).parents[2]
FILE = CHECKOUT / "deploy" / "container" / "Containerfile"
TEXT = FILE.read_text()
STAGES = re.split(r"^FROM ", TEXT, flags=re.MULTILINE)[1:]


def test_hadolint_finds_nothing_wrong() -> None:
    command = [str(Path(sys.executable).parent / "hadolint"), "--failure-threshold", "style", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    sources = [name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", TEXT, re.MULTILINE) for name in line.split()]
    assert sources
    let_in = [line[1:] for line in (CHECKOUT / ".containerignore").read_text().splitlines() if line.startswith("!")]
    for source in sources:
        assert (CHECKOUT / source).exists(), source
        assert any(source == name or source.startswith(f"{name}/") for name in let_in), f"{source}: .containerignore"


def test_the_image_runs_without_root_and_without_a_package_manager() -> None:
    build, final = STAGES
    assert "apt-get install --yes --no-install-recommends python3 \\\n" in final
    assert "pip" not in final.replace("pipefail", "")
    assert "USER 65532:65532" in final
    assert "pynetdicom/apps" in build
    for unwanted in ("dcmtk", "gdcm", "torch", "monai"):
        assert unwanted not in TEXT.split("FROM", maxsplit=1)[1].lower()


def test_compose_and_chart_run_it_as_the_same_user_and_command() -> None:
    compose = yaml.safe_load((CHECKOUT / "deploy" / "compose" / "compose.yaml").read_text())
    assert compose["services"]["node"]["user"] == re.findall(r"^USER (.*)$", STAGES[1], re.MULTILINE)[0]
    command = re.findall(r"^CMD (\[\"run.*)$", STAGES[1], re.MULTILINE)[0]
    assert yaml.safe_load(command) == compose["services"]["node"]["command"]
