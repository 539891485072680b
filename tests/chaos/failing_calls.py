# SPDX-License-Identifier: Apache-2.0
"""System calls that fail in the running node (goal 11), put in by strace from outside."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.modality import OUT_OF_RESOURCES, SUCCESS, Modality, slice_dataset
from harness.node import NodeProgram
from harness.processes import Program, wait_until
from tests.chaos.journal import audit, stored_instances
from tests.chaos.verdict import QUIET, Chaos, SkippedError, Verdict, stopwatch


@dataclass(frozen=True, slots=True, kw_only=True)
class FailingCall:
    """A family of system calls and the error that they return."""

    calls: str
    error: str


FAILING_CALLS = (
    FailingCall(calls="fsync", error="EIO"),
    FailingCall(calls="fdatasync", error="EIO"),
    FailingCall(calls="fsync,fdatasync", error="ENOSPC"),
    FailingCall(calls="rename,renameat,renameat2", error="ENOSPC"),
    FailingCall(calls="rename,renameat,renameat2", error="EIO"),
    FailingCall(calls="pwrite64,pwritev", error="ENOSPC"),
)
"""Each hits whatever the node calls by that name: file, folder and, with SQLite, the journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a C-STORE was answered while calls failed (-1: nothing), how often they failed, and what was there then."""

    call: FailingCall
    hits: int
    answer: int
    kept: bool
    partial: int
    answer_after: int


def run(chaos: Chaos) -> Verdict:
    """Let each family of calls fail during one C-STORE, then no more."""
    with stopwatch() as seconds, chaos.running_node(changes=QUIET) as node:
        _store(chaos, node, "warm")
        tried = [_try(chaos, node, call, number) for number, call in enumerate(FAILING_CALLS)]
        node.stop()
        node.start()
        node.stop()
        found = audit(node)
    return Verdict(
        name="failing system calls",
        database=chaos.database,
        lost=sum(each.answer == SUCCESS and not each.kept for each in tried),
        seconds=seconds(),
        faults=(*call_faults(tried), *found.faults),
        found={f"{each.call.calls} {each.call.error}": _told(each) for each in tried},
    )


def call_faults(tried: list[Tried]) -> tuple[str, ...]:
    """Return a sentence for each wrong answer, each leftover, and each node that needs a restart."""
    faults = []
    for each in tried:
        name = f"{each.call.calls} fails with {each.call.error}"
        if each.hits and each.answer not in {OUT_OF_RESOURCES, SUCCESS}:
            faults.append(f"{name}: answered with {_hex(each.answer)} instead of 0xA700")
        if each.hits and each.answer == SUCCESS and not each.kept:
            faults.append(f"{name}: success, but nothing is there")
        if each.partial:
            faults.append(f"{name}: {each.partial} parts of files are left")
        if each.answer_after != SUCCESS:
            faults.append(f"{name}: afterwards still answered with {_hex(each.answer_after)}")
    if not any(each.hits for each in tried):
        faults.append("no call was hit: the scenario shows nothing")
    return tuple(faults)


def _try(chaos: Chaos, node: NodeProgram, call: FailingCall, number: int) -> Tried:
    with _failing(chaos, node, call, number) as tracer:
        uid, answer = _store(chaos, node, f"failing-{number}")
        time.sleep(0.2)
    hits = tracer.log.read_text(errors="replace").count("(INJECTED)")
    partial = len(list((node.folder / "data" / "incoming").iterdir()))
    kept = uid in stored_instances(node)
    _uid, after = _store(chaos, node, f"after-{number}", seconds=30)
    return Tried(call=call, hits=hits, answer=answer, kept=kept, partial=partial, answer_after=after)


@contextmanager
def _failing(chaos: Chaos, node: NodeProgram, call: FailingCall, number: int) -> Iterator[Program]:
    command = ["strace", "-f", "-qq", "-e", f"trace={call.calls}", "-e", f"inject={call.calls}:error={call.error}"]
    tracer = Program([*command, "-p", str(node.pid)], log=chaos.folder / f"strace-{number}.log")
    try:
        wait_until(lambda: _traced(node.pid) or not tracer.runs, seconds=10, what="strace does not attach")
        if not tracer.runs:
            raise SkippedError(f"strace cannot attach here: {tracer.log.read_text(errors='replace')[:200]}")
        yield tracer
    finally:
        tracer.stop()


def _traced(pid: int) -> bool:
    with Path(f"/proc/{pid}/status").open() as stream:
        tracer = next(line for line in stream if line.startswith("TracerPid"))
    return tracer.split()[1] != "0"


def _store(chaos: Chaos, node: NodeProgram, name: str, *, seconds: float = 60) -> tuple[str, int]:
    uid = chaos.uid("calls", name)
    dataset = slice_dataset(uid, study_instance_uid=chaos.uid("calls"), size_bytes=200_000)
    try:
        with Modality(node.port, seconds=seconds) as modality:
            return uid, modality.store(uid, dataset)
    except OSError:
        return uid, -1


def _told(tried: Tried) -> str:
    return f"{tried.hits} calls failed, answer {_hex(tried.answer)}, then {_hex(tried.answer_after)}"


def _hex(answer: int) -> str:
    return "nothing" if answer < 0 else f"0x{answer:04X}"
