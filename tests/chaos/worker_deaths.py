# SPDX-License-Identifier: Apache-2.0
"""Children that die or hang in the middle of an analysis, and a study that kills every child (goal 21)."""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from harness.dcmtk import dcmsend, echoscu
from harness.modality import Modality, slice_dataset
from harness.node import NodeProgram
from harness.proc import descendants
from harness.processes import wait_until
from tests.chaos.studies import CopiedStudy, copy_studies, drawn_sample, film_studies
from tests.chaos.verdict import Chaos, Verdict, stopwatch

DEATHS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGSTOP)
"""The kernel's out-of-memory killer sends SIGKILL too; a stopped child is a hung one."""
DEADLINE_SECONDS = 15
ECHO_WITHIN_SECONDS = 1.0
NEXT_WITHIN_SECONDS = 30.0
CHILD = b"worker_child"
CT = "5"
"""The poison is a series: its analysis lasts long enough to be hit."""
MAX_CRASHES = 2
"""After so many a study is set aside; a third child would analyse it, and the outcome would tell."""
OVER = frozenset({"analysed", "encoded", "finished", "failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """What became of a study whose child died by a signal, and of the receiver meanwhile."""

    name: str
    outcome: str
    echo_seconds: float
    store_answer: int


def run(chaos: Chaos) -> Verdict:
    """Let a child die in each way; then let one study kill every child, with another study behind it."""
    studies = film_studies(chaos.folder, count=len(DEATHS) + 2)
    (poison,) = copy_studies([drawn_sample(chaos.folder, CT)], chaos.folder / "poison", count=1)
    changes = {
        "close": {"quiet_seconds": 2, "settle_seconds": 1},
        "inference": {"workers": 1, "deadline_seconds": DEADLINE_SECONDS},
    }
    with (
        stopwatch() as seconds,
        chaos.running_orthanc() as orthanc,
        chaos.running_node(pacs=orthanc, changes=changes) as node,
    ):
        wait_until(lambda: node.http("/readyz")[0] == 200, seconds=120, what="the node is not ready")
        usual = _turnaround(node, studies[0])
        deaths = [_die(chaos, node, study, number) for study, number in zip(studies[1:-1], DEATHS, strict=True)]
        kills, delay = _poison(node, poison, studies[-1], usual_seconds=usual)
        row = node.studies()[poison.study_instance_uid]
        restarts = [str(event["reason"]) for event in node.events("worker_restarted")]
    return Verdict(
        name="children that die",
        database=chaos.database,
        kills=len(deaths) + kills,
        seconds=seconds(),
        faults=(*death_faults(deaths), *poison_faults(row.outcome, row.state, kills=kills, delay_seconds=delay)),
        found={
            "outcomes": {each.name: each.outcome for each in deaths},
            "slowest echo, s": max(each.echo_seconds for each in deaths),
            "children killed by the poison": kills,
            "delay of the next study, s": round(delay, 1),
            "restarts": restarts,
        },
    )


def death_faults(deaths: Iterable[Death]) -> tuple[str, ...]:
    """Return a sentence for each study that was not analysed after all, and each sign of it in the receiver."""
    faults = []
    for each in deaths:
        if each.outcome not in {"findings", "no_findings"}:
            faults.append(f"{each.name}: the study was not analysed again ({each.outcome or 'no result'})")
        if each.echo_seconds > ECHO_WITHIN_SECONDS:
            faults.append(f"{each.name}: C-ECHO took {each.echo_seconds:.1f} s")
        if each.store_answer != 0:
            faults.append(f"{each.name}: C-STORE was answered with {each.store_answer}")
    return tuple(faults)


def poison_faults(outcome: str, state: str, *, kills: int, delay_seconds: float) -> tuple[str, ...]:
    """Return sentences when a poisonous study was not set aside after two children, or held up the next."""
    faults = []
    if outcome != "not_analysed" or state != "finished":
        faults.append(f"the poisonous study ended as {outcome or 'nothing'} ({state or 'no job'})")
    if kills != 2:
        faults.append(f"the poisonous study was given {kills} children instead of 2")
    if delay_seconds > NEXT_WITHIN_SECONDS:
        faults.append(f"the next study came {delay_seconds:.0f} s late")
    return tuple(faults)


def _die(chaos: Chaos, node: NodeProgram, study: CopiedStudy, number: signal.Signals) -> Death:
    dcmsend(node.called, study.files)
    child = _child_at_work(node, study, begun=1)
    if child is None:
        raise RuntimeError("the study was over before its child could die; the machine is too quick for this test")
    os.kill(child, number)
    started = time.monotonic()
    echoscu(node.called)
    echo_seconds = time.monotonic() - started
    answer = _store(chaos, node, number.name)
    with suppress(TimeoutError):
        wait_until(lambda: _state(node, study) == "finished", seconds=90, what="no result")
    if number == signal.SIGSTOP:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGCONT)
    return Death(
        name=number.name,
        outcome=node.studies()[study.study_instance_uid].outcome,
        echo_seconds=round(echo_seconds, 2),
        store_answer=answer,
    )


def _poison(
    node: NodeProgram, poison: CopiedStudy, following: CopiedStudy, *, usual_seconds: float
) -> tuple[int, float]:
    """Kill the two children that the first study is given; return how many, and how late the second study is."""
    dcmsend(node.called, poison.files)
    kills, started = 0, time.monotonic()
    while kills < MAX_CRASHES and (child := _child_at_work(node, poison, begun=kills + 1)) is not None:
        os.kill(child, signal.SIGKILL)
        kills += 1
        if kills == 1:
            dcmsend(node.called, following.files)
            started = time.monotonic()
    with suppress(TimeoutError):
        wait_until(lambda: _state(node, following) == "finished", seconds=120, what="the next study has no result")
    return kills, max(0.0, time.monotonic() - started - usual_seconds)


def _turnaround(node: NodeProgram, study: CopiedStudy) -> float:
    dcmsend(node.called, study.files)
    started = time.monotonic()
    wait_until(lambda: _state(node, study) == "finished", seconds=120, what="no result")
    return time.monotonic() - started


def _child_at_work(node: NodeProgram, study: CopiedStudy, *, begun: int) -> int | None:
    """Wait until the study's analysis has begun so many times; return the child that does it, None when all is over.

    A child that only loads its packages yet does not count: to kill it is no fault of the study.
    """
    found: list[int] = []

    def at_work() -> bool:
        times, state = _job(node, study)
        child = _child(node) if times >= begun and node.http("/readyz")[0] == 200 else None
        found.extend([child] if child is not None else [])
        return bool(found) or state in OVER

    wait_until(at_work, seconds=120, what=f"analysis {begun} has not begun")
    return found[0] if found and _state(node, study) not in OVER else None


def _child(node: NodeProgram) -> int | None:
    for pid in descendants(node.pid):
        with suppress(OSError):
            if CHILD in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
    return None


JOB = """SELECT job.starts + job.crashes, job.state FROM job JOIN study ON study.id = job.study_id
WHERE study.study_instance_uid = :uid ORDER BY job.id DESC"""
"""A crash begins the analysis again within the same start."""


def _job(node: NodeProgram, study: CopiedStudy) -> tuple[int, str]:
    with node.journal() as connection:
        row = connection.execute(sa.text(JOB), {"uid": study.study_instance_uid}).first()
    return (int(row[0]), str(row[1])) if row else (0, "")


def _state(node: NodeProgram, study: CopiedStudy) -> str:
    return _job(node, study)[1]


def _store(chaos: Chaos, node: NodeProgram, name: str) -> int:
    uid = chaos.uid("beside", name)
    try:
        with Modality(node.port) as modality:
            return modality.store(uid, slice_dataset(uid, study_instance_uid=chaos.uid("beside")))
    except OSError:
        return -1
