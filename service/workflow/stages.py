# SPDX-License-Identifier: Apache-2.0
"""The stages of the flow as the engine knows them: names, queues, priorities and the names of single tasks."""

from service.domain.member import Role
from service.domain.result import Priority
from service.ports.engine import Task

CLOSE = "close"
ROUTE = "route"
ANALYSE = "analyse"
ENCODE = "encode"
NOTIFY = "notify"
SHADOW = "shadow"
"""Runs a shadow package, in a queue of its own that nothing waits for."""
FETCH = "fetch"
"""Looks for older studies in an archive, in a queue of its own: one that is slow delays nobody else."""
DELIVER = "deliver."
"""Followed by the destination: each has its own stage and queue, so that a dead one delays nobody else."""
COMMIT = "commit."
"""Followed by the destination: asks it to commit itself, and waits for its report."""
CIRCUIT = "circuit."
"""Followed by the destination: looks whether it is back, and releases what waited."""
REPORT = "report."
"""Followed by the peer: tells it what we commit ourselves to."""

STUDY_QUEUE = "study"
QUEUES = {CLOSE: STUDY_QUEUE, ROUTE: STUDY_QUEUE, ANALYSE: ANALYSE, ENCODE: ENCODE, NOTIFY: NOTIFY, SHADOW: SHADOW}
PRIORITIES = {Priority.URGENT: 10, Priority.ROUTINE: 50}
PRIOR_PRIORITY = 40
"""Of the analysis of an older study: it takes the turn of the routine study that waits for it."""


def deliver_stage(destination: str) -> str:
    """Return the stage, and queue, of a destination."""
    return f"{DELIVER}{destination}"


def commit_stage(destination: str) -> str:
    """Return the stage that asks a destination for storage commitment."""
    return f"{COMMIT}{destination}"


def circuit_stage(destination: str) -> str:
    """Return the stage that closes a destination's circuit again."""
    return f"{CIRCUIT}{destination}"


def report_stage(peer: str) -> str:
    """Return the stage, and queue, that reports to a peer which asked for storage commitment."""
    return f"{REPORT}{peer}"


def is_for(role: Role, stage: str) -> bool:
    """Say whether a process of this role does the tasks of a stage."""
    at_work = QUEUES.get(stage) is not None and stage != NOTIFY
    return role.analyses if at_work else role.sends


def queue(stage: str) -> str:
    """Return the queue of a stage; all that a destination is asked waits in one."""
    kind, _, name = stage.partition(".")
    return deliver_stage(name) if f"{kind}." in {COMMIT, CIRCUIT} else QUEUES.get(stage, stage)


def task_id(stage: str, row_id: int, attempt: int) -> str:
    """Return the name of one task: the same for the same work, so that enqueueing it twice changes nothing."""
    return f"{stage}-{row_id}-{attempt}"


def task(stage: str, row_id: int, *, attempt: int, priority: Priority, delay_seconds: float = 0.0) -> Task:
    """Return a task of a stage for a row of the ledger."""
    return Task(
        handler=stage,
        row_id=row_id,
        task_id=task_id(stage, row_id, attempt),
        queue=queue(stage),
        priority=PRIORITIES[priority],
        delay_seconds=max(0.0, delay_seconds),
    )
