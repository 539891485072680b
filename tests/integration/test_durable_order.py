# SPDX-License-Identifier: Apache-2.0
"""Proof by system calls: what is answered with success is on the disk, and what a call refuses is refused.

kill -9 proves nothing here, for the page cache survives it. strace shows the order, and makes single calls fail.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from service.storage import FileStore, audit_storage, create_database, open_folder, reconcile_storage

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="PEERS MISSING: strace")

CALLS = "openat,write,writev,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,sendto"
TRUNCATED = 64


class Receiver:
    """The obedient receiver, and a strace that looks at it for a while."""

    def __init__(self, root: Path, url: str | None) -> None:
        self.root = root
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, str(Path(__file__).with_name("obedient_receiver.py")), str(root), url or ""]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._traces = count()
        assert self._line() == "ready"

    def receive(self, number: int, pixel: int = 0) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number} {pixel}\n")
        self._process.stdin.flush()
        return self._line().removeprefix("answer ")

    @contextmanager
    def traced(self, *options: str) -> Iterator[Path]:
        """Trace it; the file that is yielded is complete after the block."""
        trace = self.root.parent / f"trace{next(self._traces)}"
        command = ["strace", "-f", "-y", "-s", str(TRUNCATED), "-e", f"trace={CALLS}", *options, "-o", str(trace)]
        with subprocess.Popen([*command, "-p", str(self._process.pid)], stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            attached = strace.stderr.readline()
            assert "attached" in attached, attached
            yield trace
            strace.send_signal(signal.SIGINT)
            strace.communicate(timeout=20)

    def stop(self) -> None:
        self._process.communicate(timeout=20)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@pytest.fixture
def receiver(tmp_path: Path, database_url: str | None) -> Iterator[Receiver]:
    receiver = Receiver((tmp_path / "data").resolve(), database_url)
    yield receiver
    receiver.stop()


@pytest.fixture
def file_receiver(tmp_path: Path) -> Iterator[Receiver]:
    receiver = Receiver((tmp_path / "data").resolve(), None)
    yield receiver
    receiver.stop()


def first(trace: str, pattern: str, *, after: int = 0) -> int:
    """Return where a call ends that fits; the calls of one instance stand in the order in which they returned."""
    found = re.compile(pattern, re.MULTILINE).search(trace, after)
    assert found, f"no call fits {pattern!r} after position {after} of\n{trace}"
    return found.end()


def in_order(trace: str, *patterns: str) -> None:
    position = 0
    for pattern in patterns:
        position = first(trace, pattern, after=position)


COMMIT = {None: r"fdatasync\(\d+<[^>]*dokuei\.db-wal>.*= 0$", "postgresql": r"sendto\(.*COMMIT"}
WRITTEN = (r"writev\(\d+<[^>]*\.part>", r"fsync\(\d+<[^>]*\.part>\) += 0$")
KEPT = (
    r"rename(at2?)?\(.*\.part\".*/instances/[0-9a-f]{2}/[0-9a-f]{64}\.dcm\"\) += 0$",
    r"fsync\(\d+<[^>]*/instances/[0-9a-f]{2}>\) += 0$",
)
ANSWERED = r'write\(1<.*"answer '


def test_success_is_said_after_every_flush(receiver: Receiver, database_url: str | None) -> None:
    commit = COMMIT["postgresql" if database_url else None]
    with receiver.traced() as trace:
        assert receiver.receive(1) == "stored"
    in_order(trace.read_text(), *WRITTEN, *KEPT, commit, ANSWERED)


def test_a_conflict_is_flushed_among_the_conflicts_before_it_is_answered(
    receiver: Receiver, database_url: str | None
) -> None:
    commit = COMMIT["postgresql" if database_url else None]
    assert receiver.receive(1) == "stored"
    with receiver.traced() as trace:
        assert receiver.receive(1, pixel=9) == "conflict"
    link = r"link(at)?\(.*/quarantine/[0-9a-f]{64}\.dcm\".*\) += 0$"
    folder = r"fsync\(\d+<[^>]*/quarantine>\) += 0$"
    unlink = r"unlink(at)?\(.*/instances/.*\) += 0$"
    in_order(trace.read_text(), *WRITTEN, *KEPT, link, folder, commit, unlink, ANSWERED)


FAULTS = [
    ("openat", "EMFILE", "1"),
    ("openat", "ENOSPC", "1"),
    ("writev", "ENOSPC", "1"),
    ("writev", "EIO", "2"),
    ("fsync", "EIO", "1"),
    ("rename,renameat,renameat2", "ENOSPC", "1"),
    ("rename,renameat,renameat2", "EIO", "1"),
    ("fsync", "EIO", "2"),
    ("pwrite64", "ENOSPC", "1"),
    ("pwrite64", "EIO", "2"),
    ("fdatasync", "EIO", "1"),
]


def test_whatever_call_fails_nothing_is_promised_and_the_next_instance_is_taken(file_receiver: Receiver) -> None:
    receiver = file_receiver
    for number, (calls, error, when) in enumerate(FAULTS, start=1):
        fault = f"{calls} {error} {when}"
        with receiver.traced("-e", f"inject={calls}:error={error}:when={when}") as trace:
            outcome = receiver.receive(number)
        assert "(INJECTED)" in trace.read_text(), fault
        assert outcome == "out_of_resources", fault
        assert list((receiver.root / "incoming").iterdir()) == [], fault
        assert receiver.receive(number) == "stored", fault
    check_shelves(receiver.root, stored=len(FAULTS) + 1)


def test_a_conflict_that_cannot_be_kept_is_not_acknowledged(file_receiver: Receiver) -> None:
    receiver = file_receiver
    assert receiver.receive(1) == "stored"
    for calls, error in (("link,linkat", "ENOSPC"), ("fdatasync", "EIO")):
        with receiver.traced("-e", f"inject={calls}:error={error}:when=1"):
            assert receiver.receive(1, pixel=9) == "out_of_resources", calls
    assert receiver.receive(1, pixel=9) == "conflict"
    check_shelves(receiver.root, stored=2)


def check_shelves(root: Path, *, stored: int) -> None:
    """Every row has its file, every file is whole, and the next start puts the rest away."""
    database, folder = create_database(root), open_folder(root)
    try:
        assert audit_storage(database, folder).missing == []
        sizes = {path.stat().st_size for path in folder.instances.rglob("*.dcm")}
        assert len(sizes) == 1, "a partial file lies under a final name"
        reconcile_storage(database, folder, FileStore(folder, reserve_bytes=0))
        audit = audit_storage(database, folder)
        assert audit.sound
        with database.connect() as connection:
            assert connection.exec_driver_sql("select count(*) from instance").scalar_one() == stored
    finally:
        database.dispose()
