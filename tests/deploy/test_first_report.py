# SPDX-License-Identifier: Apache-2.0
"""From a bare Debian to the first report in Orthanc, by the commands of docs/installation.md and nothing else."""

import json
import shutil
import sys
import time
from pathlib import Path

import pytest
from documented import documented_commands

from harness.debian import base_system, booted
from harness.processes import listens, wait_until

MAX_COMMANDS = 10
MAX_SECONDS = 600
PORTS = (4242, 8042, 9180, 11112)


@pytest.mark.deploy_long
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("_debian")
def test_a_bare_debian_has_its_first_report_in_orthanc(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = documented_commands("first report")
    assert len(commands) <= MAX_COMMANDS
    # The machine needs the mirror, so that it shares the network, and its ports, with this one.
    assert not [port for port in PORTS if listens(port)], f"something else listens on one of {PORTS}"
    with booted(tmp_path, base=base_system(), network=True) as machine:
        shutil.copy(bundle, machine.root / "root")
        started = time.monotonic()
        seconds = {}
        for command in commands[:-1]:
            begun = time.monotonic()
            machine.follow(command)
            seconds[command] = time.monotonic() - begun
        wait_until(lambda: len(json.loads(machine.run(commands[-1]).stdout)) == 1, seconds=120, what="no report came")
        total = time.monotonic() - started
        (report,) = json.loads(machine.run(commands[-1]).stdout)
        tags = json.loads(
            machine.run(f"curl --fail --silent http://127.0.0.1:8042/instances/{report}/simplified-tags").stdout
        )
    told = [f"first report after {total:.0f} s and {len(commands)} commands"]
    told += [f"{spent:6.1f} s  {command}" for command, spent in seconds.items()]
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(told) + "\n")
    assert tags["ManufacturerModelName"].startswith("DOKUEI")
    assert total <= MAX_SECONDS
