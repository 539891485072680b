# SPDX-License-Identifier: Apache-2.0
"""The engine port in memory and in virtual time; like the real one it counts delays by the wall clock."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from service.ports import Task, TaskHandler
from simulation.clock import VirtualClock


class Killed(BaseException):
    """The process died here: what was running is run again."""


@dataclass
class _Waiting:
    task: Task
    due_at: float
    number: int


class VirtualEngine:
    """Runs one task at a time: urgent ones first, then in the order in which they were enqueued."""

    def __init__(self, database: sa.Engine, clock: VirtualClock) -> None:
        self._clock = clock
        self._handlers: dict[str, TaskHandler] = {}
        self._staged: dict[int, list[Task]] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._known: set[str] = set()
        self.runs: Counter[str] = Counter()
        self.crashes: list[str] = []
        sa.event.listen(database, "commit", self._committed)
        sa.event.listen(database, "rollback", self._rolled_back)

    def register(self, handler: str, function: TaskHandler) -> None:
        self._handlers[handler] = function

    def declare_queue(self, name: str, *, concurrency: int) -> None: ...

    def enqueue(self, connection: Any, task: Task) -> None:
        self._staged.setdefault(id(connection), []).append(task)

    def live(self, task_ids: Collection[str]) -> frozenset[str]:
        return frozenset(task_ids) & self._waiting.keys()

    def problem(self) -> str:
        return ""

    def launch(self) -> None: ...

    def shutdown(self, *, drain_seconds: float) -> None: ...

    def forget(self, *, older_than_seconds: float) -> int:  # noqa: ARG002 - the port's form
        return 0

    def lose_everything(self) -> None:
        """Forget all tasks, as no real engine should."""
        self._waiting.clear()

    def next_due(self) -> float | None:
        """Return the wall time at which the next task is due."""
        return min((item.due_at for item in self._waiting.values()), default=None)

    def run_one(self) -> bool:
        """Run the first of the tasks that are due; False when none is."""
        now = self._clock.wall()
        due = [item for item in self._waiting.values() if item.due_at <= now]
        if not due:
            return False
        first = min(due, key=lambda item: (item.task.priority, item.number))
        self._run(first.task)
        return True

    def _run(self, task: Task) -> None:
        self.runs[task.handler.split(".")[0]] += 1
        try:
            self._handlers[task.handler](task.row_id, task.task_id)
        except Killed:
            return  # still waiting: recovered by the next process
        except Exception as error:  # noqa: BLE001 - the real one marks the task as failed and goes on
            self.crashes.append(f"{task.task_id}: {type(error).__name__}: {error}")
        self._waiting.pop(task.task_id, None)

    def _committed(self, connection: sa.Connection) -> None:
        for task in self._staged.pop(id(connection), []):
            if task.task_id not in self._known:
                self._known.add(task.task_id)
                due_at = self._clock.wall() + task.delay_seconds
                self._waiting[task.task_id] = _Waiting(task, due_at, len(self._known))

    def _rolled_back(self, connection: sa.Connection) -> None:
        self._staged.pop(id(connection), None)
