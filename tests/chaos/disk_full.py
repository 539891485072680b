# SPDX-License-Identifier: Apache-2.0
"""A small disk that fills, with bytes or inodes, below the reserve or in the middle of a write (goals 11, 16)."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.modality import OUT_OF_RESOURCES, SUCCESS, Modality, slice_dataset
from harness.node import NodeProgram
from harness.processes import wait_until
from tests.chaos.journal import audit, stored_instances
from tests.chaos.verdict import QUIET, Chaos, SkippedError, Verdict, stopwatch

DISK_BYTES = 80 << 20
INODES = 2_000
RESERVE_BYTES = 16 << 20
OBJECT_BYTES = 1 << 20
REFUSED_WITHIN_SECONDS = 0.1


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a small tmpfs on a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    options = f"size={DISK_BYTES},nr_inodes={INODES},mode=0700"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        raise SkippedError(f"no tmpfs can be mounted here ({mounted.stderr.strip()}); run as root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def run(chaos: Chaos) -> Verdict:
    """Fill the disk in each way; send; look; make room; send again."""
    fillers: dict[str, tuple[int, Callable[[Path], None]]] = {
        "below the reserve": (RESERVE_BYTES, fill_bytes),
        "in the middle of a write": (0, fill_nearly),
        "no inode": (0, fill_inodes),
    }
    faults: list[str] = []
    found: dict[str, str] = {}
    lost = 0
    with stopwatch() as seconds:
        for name, (reserve_bytes, fill) in fillers.items():
            node = chaos.node(changes=QUIET)
            node.change({"storage": {"reserve_bytes": reserve_bytes}})
            with small_disk(node.folder / "data"):
                node.start()
                try:
                    more, lost_here, found[name] = _filled(chaos, node, fill, name)
                finally:
                    node.stop()
                lost += lost_here
                faults += [f"{name}: {fault}" for fault in (*more, *audit(node).faults)]
        return Verdict(
            name="disk full",
            database=chaos.database,
            lost=lost,
            seconds=seconds(),
            faults=tuple(faults),
            found=found,
        )


def _filled(chaos: Chaos, node: NodeProgram, fill: Callable[[Path], None], name: str) -> tuple[list[str], int, str]:
    data = node.folder / "data"
    before, answer = _store(chaos, node, f"{name} before")
    acknowledged = [before] if answer == SUCCESS else []
    fill(data / "filler")
    _uid, answer, seconds = _timed_store(chaos, node, f"{name} full")
    faults = full_faults(answer, seconds, at_once=fill is fill_bytes)
    partial = list((data / "incoming").iterdir())
    if partial:
        faults.append(f"{len(partial)} parts of files are left")
    empty(data / "filler")
    recovered = _recovers(chaos, node, name)
    if recovered is None:
        faults.append("the node takes nothing in although there is room again")
    else:
        acknowledged.append(recovered)
    kept = stored_instances(node)
    lost = sum(uid not in kept for uid in acknowledged)
    return faults, lost, f"0x{answer & 0xFFFF:04X} after {seconds * 1000:.0f} ms"


def full_faults(answer: int, seconds: float, *, at_once: bool) -> list[str]:
    """Return sentences when a full disk was not answered with 0xA700, or not before the data were read."""
    faults = []
    if answer != OUT_OF_RESOURCES:
        faults.append(f"a full disk was answered with 0x{answer & 0xFFFF:04X} instead of 0xA700")
    if at_once and seconds > REFUSED_WITHIN_SECONDS:
        faults.append(f"the refusal took {seconds * 1000:.0f} ms")
    return faults


def _store(chaos: Chaos, node: NodeProgram, name: str) -> tuple[str, int]:
    uid, answer, _seconds = _timed_store(chaos, node, name)
    return uid, answer


def _timed_store(chaos: Chaos, node: NodeProgram, name: str) -> tuple[str, int, float]:
    """Return (UID, answer or -1, seconds from the first byte of the object to its answer)."""
    uid = chaos.uid("disk", name)
    dataset = slice_dataset(uid, study_instance_uid=chaos.uid("disk"), size_bytes=OBJECT_BYTES)
    try:
        with Modality(node.port) as modality:
            started = time.monotonic()
            answer = modality.store(uid, dataset)
            return uid, answer, time.monotonic() - started
    except OSError:
        return uid, -1, 0.0


def _recovers(chaos: Chaos, node: NodeProgram, name: str) -> str | None:
    """Send until it is taken; return its UID, or None when it never is."""
    taken: list[str] = []

    def stores() -> bool:
        uid, answer = _store(chaos, node, f"{name} after")
        if answer == SUCCESS:
            taken.append(uid)
        return bool(taken)

    with suppress(TimeoutError):
        wait_until(stores, seconds=15, what="it is never taken")
    return taken[0] if taken else None


def fill_bytes(folder: Path) -> None:
    """Leave half of the reserve."""
    _fill(folder, leave_bytes=RESERVE_BYTES // 2)


def fill_nearly(folder: Path) -> None:
    """Leave less than one object needs."""
    _fill(folder, leave_bytes=OBJECT_BYTES // 2)


def fill_inodes(folder: Path) -> None:
    """Leave no inode."""
    folder.mkdir()
    with suppress(OSError):
        for number in range(INODES):
            (folder / str(number)).touch()


def _fill(folder: Path, *, leave_bytes: int) -> None:
    folder.mkdir()
    about = os.statvfs(folder)
    with (folder / "bytes").open("wb") as stream:
        stream.write(bytes(max(0, about.f_bavail * about.f_frsize - leave_bytes)))


def empty(folder: Path) -> None:
    """Make room again."""
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
