# SPDX-License-Identifier: Apache-2.0
"""The seam to the durable engine, which only drives what the ledger knows."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One piece of durable work: `handler` is called with `row_id` and `task_id`.

    `task_id` is chosen by us and names the work once and for all: enqueueing it a second time changes nothing.
    A lower `priority` number runs first. Tasks carry row numbers only, never anything of a patient.
    """

    handler: str
    row_id: int
    task_id: str
    queue: str
    priority: int
    delay_seconds: float = 0.0


TaskHandler = Callable[[int, str], None]


class Engine(Protocol):
    """Runs tasks at least once, urgent ones first, through crashes and restarts."""

    def register(self, handler: str, function: TaskHandler) -> None:
        """Bind a handler's name to its function; before `launch`."""

    def declare_queue(self, name: str, *, concurrency: int) -> None:
        """Make a queue of which this process runs at most `concurrency` tasks at once; before `launch`.

        Tasks of queues that it does not declare are enqueued for other members.
        """

    def enqueue(self, connection: Any, task: Task) -> None:
        """Add the task within the transaction of `connection`."""

    def live(self, task_ids: Collection[str]) -> frozenset[str]:
        """Return those of the tasks that will still run, or are running, without anybody's help."""

    def dropped(self, task_ids: Collection[str]) -> frozenset[str]:
        """Return those of the tasks that this process has begun and does not run: nobody else can know that."""

    def problem(self) -> str:
        """Return "" while tasks are being run, else what is wrong and what to do."""

    def launch(self) -> None:
        """Recover what an earlier process left and start to run tasks."""

    def shutdown(self, *, drain_seconds: float) -> None:
        """Take no further tasks, give the running ones this long, and stop; the rest is recovered at next launch."""

    def forget(self, *, older_than_seconds: float) -> int:
        """Delete finished tasks that ended longer ago than this; return their number."""
