# SPDX-License-Identifier: Apache-2.0
"""A hospital's server without a network: the bundle installs, works as a hardened service, and goes without a trace."""

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from documented import documented_commands

from deploy.lock import lock_file, read_lock
from harness.debian import Machine, base_system, booted
from harness.processes import wait_until

pytestmark = [pytest.mark.deploy_long, pytest.mark.timeout(1200), pytest.mark.usefixtures("_debian")]

FROM_THE_HOSPITAL = ("python3", "curl", "orthanc", "dcmtk", "strace")
"""What the hospital's own Debian mirror brings: the first two commands of the page, and tools of this test."""
NODE = "http://127.0.0.1:9180"
ORTHANC = "http://127.0.0.1:8042"
TRACE = "strace -f -qq -e trace=connect,sendto,sendmsg,sendmmsg"
FILM = "/opt/dokuei/current/share/packages/pneumoconiosis-demo/0.2.0/golden/dust/film.dcm"


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Iterator[Machine]:
    """A server with its loopback interface and no other, on which the node was installed by the page's commands."""
    with booted(tmp_path_factory.mktemp("hospital"), base=base_system(FROM_THE_HOSPITAL), network=False) as machine:
        shutil.copy(bundle, machine.root / "root")
        machine.run("systemctl stop orthanc", check=False)
        for command in documented_commands("first report")[2:-2]:
            traced = command.replace("./dokuei", f"{TRACE} --seccomp-bpf -o /root/install.trace ./dokuei")
            machine.follow(traced)
        yield machine


def main_process(machine: Machine) -> str:
    return machine.run("systemctl show --property=MainPID --value dokuei").stdout.strip()


def status(machine: Machine, name: str) -> str:
    """A field of /proc/PID/status of the node."""
    text = machine.run(f"cat /proc/{main_process(machine)}/status").stdout
    found = re.search(rf"^{name}:\s*(.*)$", text, re.MULTILINE)
    assert found is not None
    return found[1]


def reports(machine: Machine) -> list[str]:
    query = '{"Level": "Instance", "Query": {"Modality": "SR"}}'
    found: list[str] = json.loads(machine.run(f"curl -sf {ORTHANC}/tools/find --data '{query}'").stdout)
    return found


def spoken_to(trace: str) -> set[str]:
    """The internet addresses and ports that system calls named."""
    pairs = re.findall(r'sin6?_port=htons\((\d+)\).*?(?:inet_addr\("|inet_pton\(AF_INET6, ")([0-9a-f.:]+)"', trace)
    return {f"{address} {port}" for port, address in pairs}


def test_the_installation_speaks_to_nobody(hospital: Machine) -> None:
    trace = (hospital.root / "root" / "install.trace").read_text()
    assert not spoken_to(trace)


def test_a_study_by_dcmtk_becomes_a_report_in_orthanc_and_nothing_leaves_the_machine(hospital: Machine) -> None:
    every = hospital.run("find /proc -maxdepth 1 -user dokuei -printf '%f,'").stdout.strip(",")
    tracer = f"{TRACE} -o /root/node.trace -p {every}"
    hospital.run(f"systemd-run --quiet --unit=tracer {tracer}")
    hospital.run(f"storescu --propose-jls-lossless -aec ORTHANC 127.0.0.1 4242 {FILM}")
    wait_until(lambda: len(reports(hospital)) == 1, seconds=120, what="no report came")
    hospital.run(f"curl -sf {ORTHANC}/instances/{reports(hospital)[0]}/file -o /root/report.dcm")
    read = hospital.run("dsrdump /root/report.dcm").stdout
    assert "Pneumoconiosis" in read or "pneumoconiosis" in read
    hospital.run("systemctl stop tracer", check=False)
    trace = (hospital.root / "root" / "node.trace").read_text()
    assert spoken_to(trace) == {"127.0.0.1 4242"}, f"the node connects to nobody else\n{trace[:6000]}"


def test_the_node_has_no_rights_and_sees_nothing(hospital: Machine) -> None:
    assert status(hospital, "NoNewPrivs") == "1"
    assert status(hospital, "Seccomp") == "2"
    assert {int(status(hospital, name), 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert "0" not in status(hospital, "Uid").split()
    limits = hospital.run(f"cat /proc/{main_process(hospital)}/limits").stdout
    assert re.search(r"Max core file size\s+0\s+0", limits)
    inside = f"nsenter --target {main_process(hospital)} --mount"
    assert hospital.run(f"{inside} touch /usr/new", check=False).returncode != 0
    assert hospital.run(f"{inside} touch /var/lib/dokuei/new").returncode == 0
    assert hospital.run(f"{inside} ls /root", check=False).stdout == ""


def test_secrets_are_seen_by_the_node_alone(hospital: Machine) -> None:
    hospital.run("printf secret | install -m 600 /dev/stdin /etc/dokuei/credentials/token")
    hospital.run("systemctl restart dokuei")
    seen = "/run/credentials/dokuei.service/secret_token"
    assert hospital.run(f"runuser -u dokuei -- cat {seen}").returncode == 0
    assert hospital.run(f"runuser -u nobody -- cat {seen}", check=False).returncode != 0
    assert hospital.run("runuser -u dokuei -- cat /etc/dokuei/credentials/token", check=False).returncode != 0


def test_it_comes_back_when_it_is_killed_and_when_it_is_wedged(hospital: Machine) -> None:
    for how, seconds in (("KILL", 60), ("STOP", 90)):
        before = main_process(hospital)
        hospital.run(f"kill -s {how} {before}")

        def back(before: str = before) -> bool:
            ready = hospital.run(f"curl -sf --max-time 2 {NODE}/readyz", check=False).returncode == 0
            return ready and main_process(hospital) not in {before, "0"}

        wait_until(back, seconds=seconds, what=f"the node did not come back after SIG{how}")


def test_a_refused_configuration_is_not_tried_for_ever_and_stays_put(hospital: Machine) -> None:
    hospital.run("cp -p /etc/dokuei/config.yaml /root/kept && echo 'nonsense: 1' >>/etc/dokuei/config.yaml")
    assert hospital.run("systemctl restart dokuei", check=False).returncode != 0
    assert hospital.run("systemctl is-active dokuei", check=False).stdout.strip() == "failed"
    hospital.run("cp -p /root/kept /etc/dokuei/config.yaml && systemctl restart dokuei")


def test_what_is_installed_is_what_the_lock_and_the_bill_say(hospital: Machine) -> None:
    folder = hospital.root / "opt" / "dokuei" / "0.1.0"
    found = {
        path.name.removesuffix(".dist-info").rpartition("-")[0].lower().replace("_", "-")
        for path in folder.glob("lib/python3*/site-packages/*.dist-info")
    }
    bill: dict[str, Any] = json.loads((folder / "share" / "sbom.cdx.json").read_text())
    libraries = {entry["name"] for entry in bill["components"] if entry["type"] == "library"}
    assert found == {*read_lock(lock_file("cpu")), "dokuei"}
    assert libraries == found - {"dokuei"} | {"pip"}
    models = {entry["name"] for entry in bill["components"] if entry["type"] == "machine-learning-model"}
    assert models == {path.name for path in folder.glob("lib/python3*/site-packages/service/_packages/*")}
    assert not list(folder.glob("lib/python3*/site-packages/pynetdicom/apps"))


def test_it_is_installed_again_while_it_runs_and_stops_in_order(hospital: Machine) -> None:
    hospital.run("./dokuei-0.1.0-cpu/install.sh")
    hospital.run(f"curl -sf {NODE}/readyz")
    hospital.run("systemctl restart dokuei", seconds=100)
    assert "Result=success" in hospital.run("systemctl show --property=Result dokuei").stdout


def test_uninstalling_leaves_data_and_purging_leaves_nothing(hospital: Machine) -> None:
    hospital.run("./dokuei-0.1.0-cpu/uninstall.sh")
    assert list((hospital.root / "var" / "lib" / "dokuei").iterdir())
    assert (hospital.root / "etc" / "dokuei" / "config.yaml").exists()
    hospital.run("./dokuei-0.1.0-cpu/uninstall.sh --purge")
    left = hospital.run(
        "find / -xdev -iname '*dokuei*' -not -path '/root/*' -not -path '/proc/*' -not -path '/etc/orthanc/*'"
    )
    assert [line for line in left.stdout.splitlines() if "/var/log/" not in line] == []
    assert hospital.run("getent passwd dokuei", check=False).returncode != 0


@pytest.mark.parametrize(
    "member", ["wheels/numpy", "wheels/dokuei", "share/config.yaml", "requirements.txt", "install.sh"]
)
def test_one_flipped_bit_anywhere_installs_nothing(bundle: Path, tmp_path: Path, member: str) -> None:
    with tarfile.open(bundle) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = tmp_path.iterdir()
    (victim, *_) = sorted(folder.glob(f"{member}*"))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)
    command = ["sh", str(folder / "install.sh"), "--no-service", "--prefix", str(tmp_path / "prefix")]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0
    assert not (tmp_path / "prefix").exists()
