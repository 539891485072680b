# SPDX-License-Identifier: Apache-2.0
"""Fresh Debian systems, booted with their own systemd in a container of systemd-nspawn (root; Debian)."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.processes import Program, wait_until

RELEASE = "bookworm"
BARE = ("ca-certificates", "dbus", "systemd", "systemd-sysv")
"""What any installed server has beyond the least Debian."""
CACHE = Path(__file__).parents[2] / "build" / "debian"
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


def missing() -> str:
    """What this machine lacks to boot a Debian system, "" when nothing."""
    programs = [name for name in ("debootstrap", "systemd-nspawn", "nsenter") if shutil.which(name) is None]
    wants = ["root"] if os.geteuid() else []
    return ", ".join(wants + programs)


def base_system(packages: Sequence[str] = ()) -> Path:
    """A Debian root folder with the bare system and these packages, made once and kept in build/debian."""
    folder = CACHE / "-".join((RELEASE, *sorted(packages)))
    if folder.is_dir():
        return folder
    unfinished = CACHE / f".{folder.name}.{os.getpid()}"
    CACHE.mkdir(parents=True, exist_ok=True)
    if packages:
        _copy(base_system(), unfinished)
        _add(unfinished, packages)
    else:
        command = ["debootstrap", "--variant=minbase", f"--include={','.join(BARE)}", RELEASE, str(unfinished)]
        subprocess.run(command, check=True, capture_output=True)
    return unfinished.rename(folder)


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(target)], check=True)


def _add(root: Path, packages: Sequence[str]) -> None:
    """Install packages into a system that does not run; nothing of theirs is started."""
    shutil.copy("/etc/resolv.conf", root / "etc" / "resolv.conf")
    policy = root / "usr" / "sbin" / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    install = f"apt-get install --yes --no-install-recommends {' '.join(packages)}"
    command = ["chroot", str(root), "sh", "-c", f"apt-get update && {install} && apt-get clean"]
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)
    policy.unlink()


class Machine:
    """A copy of a Debian system that has booted; commands run in it as root."""

    def __init__(self, folder: Path, *, base: Path, network: bool) -> None:
        self.root = folder / "root"
        self._log = folder / "console.log"
        self._options = [] if network else ["--private-network"]
        _copy(base, self.root)
        # This machine's name server: its way to the Debian mirror.
        shutil.copy("/etc/resolv.conf", self.root / "etc" / "resolv.conf")
        # Debian's installer writes this; without it even gethostid(3), which DCMTK calls, would ask that server.
        name = (self.root / "etc" / "hostname").read_text().strip()
        (self.root / "etc" / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {name}\n")
        self._program: Program | None = None

    def boot(self) -> None:
        """Start its systemd and wait until that says that the system runs."""
        command = ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe"]
        command += ["--resolv-conf=off", f"--directory={self.root}", *self._options]
        self._program = Program(command, log=self._log)
        wait_until(lambda: self._state() in {"running", "degraded"}, seconds=60, what=self._log.read_text()[-2000:])

    def _state(self) -> str:
        if not self._leader():
            return "off"
        return self.run("systemctl is-system-running", check=False).stdout.strip()

    def _leader(self) -> str:
        assert self._program is not None
        children = Path(f"/proc/{self._program.pid}/task/{self._program.pid}/children")
        return children.read_text().strip() if children.exists() else ""

    def run(self, command: str, *, check: bool = True, seconds: float = 300) -> subprocess.CompletedProcess[str]:
        """Run a shell command in root's home; with `check` an exit status other than 0 fails the test."""
        where = ["nsenter", "--target", self._leader(), "--all", "env", "--ignore-environment"]
        settings = [f"{key}={value}" for key, value in ENVIRONMENT.items()]
        done = subprocess.run(
            [*where, *settings, "sh", "-c", f"cd /root && {command}"],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done

    def follow(self, command: str) -> None:
        """Run a command of a document; the doctor may say that nothing keeps the clock: no test has a time service."""
        done = self.run(command, check=False)
        wrong = [line for line in done.stdout.splitlines() if line.startswith("\N{BALLOT X}")]
        only_the_clock = "dokuei doctor" in command and all("clock" in line for line in wrong)
        assert done.returncode == (1 if wrong and only_the_clock else 0), f"{command}\n{done.stdout}{done.stderr}"

    def power_off(self) -> None:
        """End it, in order when it still can."""
        if self._program is None:
            return
        if self._leader():
            self.run("systemctl poweroff --no-block", check=False, seconds=30)
        ends = time.monotonic() + 60
        while self._program.runs and time.monotonic() < ends:
            time.sleep(0.2)
        self._program.kill()
        self._program = None


@contextmanager
def booted(folder: Path, *, base: Path, network: bool) -> Iterator[Machine]:
    """A booted machine in a folder; without `network` it has its loopback interface and nothing else."""
    machine = Machine(folder, base=base, network=network)
    try:
        machine.boot()
        yield machine
    finally:
        machine.power_off()
        shutil.rmtree(machine.root, ignore_errors=True)
