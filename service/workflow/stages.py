# SPDX-License-Identifier: Apache-2.0
"""The stages of the flow as the engine knows them: names, queues, priorities and the names of single tasks."""

from service.domain.result import Priority
from service.ports.engine import Task

CLOSE = "close"
ROUTE = "route"
ANALYSE = "analyse"
ENCODE = "encode"
NOTIFY = "notify"
DELIVER = "deliver."
"""Followed by the destination: each has its own stage and queue, so that a dead one delays nobody else."""

STUDY_QUEUE = "study"
QUEUES = {CLOSE: STUDY_QUEUE, ROUTE: STUDY_QUEUE, ANALYSE: ANALYSE, ENCODE: ENCODE, NOTIFY: NOTIFY}
PRIORITIES = {Priority.URGENT: 10, Priority.ROUTINE: 50}


def deliver_stage(destination: str) -> str:
    """Return the stage, and queue, of a destination."""
    return f"{DELIVER}{destination}"


def task_id(stage: str, row_id: int, attempt: int) -> str:
    """Return the name of one task: the same for the same work, so that enqueueing it twice changes nothing."""
    return f"{stage}-{row_id}-{attempt}"


def task(stage: str, row_id: int, *, attempt: int, priority: Priority, delay_seconds: float = 0.0) -> Task:
    """Return a task of a stage for a row of the ledger."""
    return Task(
        handler=stage,
        row_id=row_id,
        task_id=task_id(stage, row_id, attempt),
        queue=QUEUES.get(stage, stage),
        priority=PRIORITIES[priority],
        delay_seconds=max(0.0, delay_seconds),
    )
