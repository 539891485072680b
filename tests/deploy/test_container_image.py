# SPDX-License-Identifier: Apache-2.0
"""The container image, built and run: read-only, without rights, as uid 65532, from a study to its report."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from harness.debian import base_system
from harness.orthanc import Orthanc
from harness.processes import Program, free_port, wait_until

CHECKOUT = Path(__file__).parents[2]
USER = 65532
FILM = CHECKOUT / "models/packages/pneumoconiosis-demo/0.2.0/golden/dust/film.dcm"
OF_NSPAWN = "/run/systemd/nspawn/"
"""Locks that systemd-nspawn, which is traced too, keeps on the host; the container does not see them."""
WRITABLE = ("/var/lib/dokuei", "/tmp", "/dev/")  # noqa: S108 - the container's own

pytestmark = [pytest.mark.deploy_long, pytest.mark.timeout(1200), pytest.mark.usefixtures("_debian")]


class Image:
    """The image in a storage of its own, which nothing else on this machine sees."""

    def __init__(self, folder: Path) -> None:
        self._buildah = ["buildah", "--storage-driver=vfs", f"--root={folder / 'root'}", f"--runroot={folder / 'run'}"]
        base = self._run("from", "scratch")
        self._run("add", "--quiet", base, str(base_system()), "/")
        self._run("commit", "--quiet", "--rm", base, "localhost/debian")
        options = ["--isolation=chroot", "--network=host", "--volume=/etc/ssl/certs:/etc/ssl/certs:ro"]
        options += ["--build-arg=BASE=localhost/debian", f"--file={CHECKOUT / 'deploy/container/Containerfile'}"]
        self._run("bud", *options, "--tag=dokuei", str(CHECKOUT))
        self.about = json.loads(self._run("inspect", "--type=image", "dokuei"))["OCIv1"]["config"]
        self.root = Path(self._run("mount", self._run("from", "dokuei")))

    def _run(self, *arguments: str) -> str:
        done = subprocess.run([*self._buildah, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip()

    def close(self) -> None:
        """Unmount and forget it."""
        self._run("rm", "--all")
        self._run("rmi", "--all", "--force")

    def command(self, *arguments: str, data: Path, config: Path | None = None) -> list[str]:
        """How it is run here as a container runtime would: its root read-only, no capability, no way to gain one."""
        options = ["--quiet", "--register=no", "--keep-unit", "--console=pipe", f"--directory={self.root}"]
        options += ["--read-only", "--user=dokuei", "--drop-capability=all", "--no-new-privileges=yes"]
        options += ["--tmpfs=/tmp:mode=1777,noexec,nosuid,nodev", f"--bind={data}:/var/lib/dokuei", "--as-pid2"]
        options += [f"--bind-ro={config}:/etc/dokuei/config.yaml"] if config else []
        options += [f"--setenv={setting}" for setting in self.about["Env"]]
        return ["systemd-nspawn", *options, *arguments]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    made = Image(tmp_path_factory.mktemp("image"))
    yield made
    made.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The volume of the node."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o750)
    shutil.chown(folder, USER, USER)
    return folder


def test_it_says_who_it_runs_as_and_what(image: Image) -> None:
    assert image.about["User"] == f"{USER}:{USER}"
    assert image.about["Entrypoint"] == ["dokuei"]
    assert image.about["Cmd"] == ["run", "/etc/dokuei/config.yaml"]
    assert "/var/lib/dokuei" in image.about["Volumes"]


def test_it_holds_no_compiler_no_installer_and_nothing_that_the_node_does_not_call(image: Image) -> None:
    packages = image.root / "opt/dokuei/lib/python3.11/site-packages"
    for name in ("pip", "torch", "monai", "gdcm", "pynetdicom/apps", "pytest"):
        assert not (packages / name).exists(), name
    for program in ("gcc", "cc", "pip", "pip3", "storescp", "storescu", "dcmdump", "curl", "wget"):
        assert not list(image.root.glob(f"usr/bin/{program}")), program


def test_only_its_volume_and_tmp_can_be_written(image: Image, data: Path) -> None:
    places = ("/", "/etc/dokuei", "/opt/dokuei", "/usr/bin", "/var", "/root", "/tmp", "/var/lib/dokuei")  # noqa: S108
    program = (
        "import json, os, sys\n"
        "def writes(place):\n"
        "    try: open(os.path.join(place, 'new'), 'w').close()\n"
        "    except OSError: return False\n"
        "    return True\n"
        "print(json.dumps([place for place in sys.argv[1:] if writes(place)]))\n"
        "print(open('/proc/self/status').read())\n"
    )
    command = image.command("python", "-c", program, *places, data=data)
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True)
    written, _, told = done.stdout.partition("\n")
    assert json.loads(written) == ["/tmp", "/var/lib/dokuei"]  # noqa: S108
    fields = dict(re.findall(r"^(\w+):\s*(.*?)\s*$", told, re.MULTILINE))
    assert set(fields["Uid"].split()) == {str(USER)}
    assert {int(fields[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb", "CapInh")} == {0}
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")


def test_a_study_becomes_a_report_and_nothing_is_written_or_called_elsewhere(
    image: Image, data: Path, tmp_path: Path
) -> None:
    dicom, http = free_port(), free_port()
    orthanc = Orthanc(tmp_path / "orthanc", modalities={"dokuei": ("DOKUEI", dicom)})
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(_sections(orthanc, dicom=dicom, http=http)))
    config.chmod(0o644)
    orthanc.start()
    # Traced from its first call: what writes or connects, of the node and of its children.
    trace = tmp_path / "trace"
    calls = "trace=execve,openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,connect,sendto"
    tracer = ["strace", "-f", "-qq", "-y", "-e", calls, "-o", str(trace)]
    node = Program(
        [*tracer, *image.command("dokuei", *image.about["Cmd"], data=data, config=config)], log=tmp_path / "log"
    )
    try:
        node.wait_for_port(dicom, seconds=120)
        stored = json.loads(orthanc.request("/instances", method="POST", body=FILM.read_bytes()))
        orthanc.post("/modalities/dokuei/store", stored["ID"])
        wait_until(lambda: len(_reports(orthanc)) == 1, seconds=240, what=(tmp_path / "log").read_text()[-2000:])
    finally:
        _end(trace)
        node.stop(seconds=60)
        orthanc.stop()
    inside = trace.read_text()[_started(trace.read_text()).start() :]
    assert _written(inside) == []
    spoken = set(re.findall(r"sin_port=htons\((\d+)\), sin_addr=inet_addr\(\"([0-9.]+)\"", inside))
    assert {(port, "127.0.0.1") for port, _ in spoken} == spoken
    assert str(orthanc.dicom_port) in {port for port, _ in spoken}
    assert "53" not in {port for port, _ in spoken}, "it asked a name server"


def _started(trace: str) -> re.Match[str]:
    """Where the container's own program begins, after what systemd-nspawn does; group 1 is its process id."""
    found = re.search(r'^(\d+) +execve\("\S*/dokuei", \["dokuei", "run".*= 0$', trace, re.MULTILINE)
    assert found is not None, trace[-2000:]
    return found


def _end(trace: Path) -> None:
    """Tell the node itself to stop; strace would keep the signal to itself."""
    with suppress(ProcessLookupError):
        os.kill(int(_started(trace.read_text())[1]), signal.SIGTERM)


def _sections(orthanc: Orthanc, *, dicom: int, http: int) -> dict[str, object]:
    return {
        "node": {"host": "127.0.0.1", "port": dicom},
        "storage": {"folder": "/var/lib/dokuei", "reserve_bytes": 100_000_000},
        "peers": [{"name": "pacs", "ae_title": orthanc.ae_title, "address": "127.0.0.1"}],
        "destinations": [
            {"name": "pacs", "ae_title": orthanc.ae_title, "host": "127.0.0.1", "port": orthanc.dicom_port}
        ],
        "site": {"allow_demonstration": True},
        "http": {"port": http},
        "inference": {"self_test_studies": False},
    }


def _reports(orthanc: Orthanc) -> list[str]:
    found: list[str] = orthanc.post("/tools/find", {"Level": "Instance", "Query": {"Modality": "SR"}})
    return found


def _written(trace: str) -> list[str]:
    """Paths outside the writable places that a system call has opened to write, made, renamed or removed."""
    succeeded = [line for line in trace.splitlines() if not re.search(r"= -1 |\+\+\+|---", line)]
    opened = [re.search(r'open(?:at)?\(.*?"(/[^"]*)", [^)]*O_(?:W[A-Z]+|RDWR|CREAT)', line) for line in succeeded]
    changed = [re.search(r'(?:mkdir|rename|unlink)\w*\(.*?"(/[^"]*)"', line) for line in succeeded]
    paths = {match[1] for match in (*opened, *changed) if match}
    return sorted(path for path in paths if not path.startswith((*WRITABLE, OF_NSPAWN)))
