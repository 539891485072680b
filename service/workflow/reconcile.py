# SPDX-License-Identifier: Apache-2.0
"""Finds work in the ledger that no task drives any more, and starts it again: no engine fault can strand a study."""

from collections import Counter
from collections.abc import Iterable

from service.domain.entry import Stranded
from service.domain.event import JobsReconciled
from service.ports.engine import Engine
from service.workflow.context import FlowParts
from service.workflow.stages import task

STEP_SECONDS = 5.0
"""A wall clock that moved by more than this against the steady one between two passes was set."""


class Reconcile:
    """One pass over everything unfinished."""

    def __init__(self, parts: FlowParts, engine: Engine, *, stages: Iterable[str]) -> None:
        self._parts = parts
        self._engine = engine
        self._stages = frozenset(stages)
        self._stepped_by = parts.now() - parts.steady()
        self._passed_at = parts.steady()

    def __call__(self, *, leads: bool = True) -> int:
        """Enqueue again, under a new name, whatever has no living task; return the number.

        A member that does not lead sees to what it has begun itself and does not run: nobody else can know that.
        """
        with self._parts.ledger.reading() as view:
            rows = [row for row in view.unfinished() if row.stage in self._stages]
        known, misled = {row.task_id for row in rows if row.task_id}, self._misled(rows)
        live = self._engine.live(known) - misled if leads else {"", *known} - self._engine.dropped(known)
        restarted = Counter(row.stage for row in rows if row.task_id not in live and self._restart(row))
        for stage, count in restarted.items():
            self._parts.observer(JobsReconciled(stage=stage, count=count))
        return restarted.total()

    def _misled(self, rows: Iterable[Stranded]) -> frozenset[str]:
        """Return the delayed tasks that a step of the wall clock has misled, by which the engine counts delays."""
        stepped_by, passed_at = self._parts.now() - self._parts.steady(), self._passed_at
        stepped = abs(stepped_by - self._stepped_by) > STEP_SECONDS
        self._stepped_by, self._passed_at = stepped_by, self._parts.steady()
        return frozenset(row.task_id for row in rows if stepped and row.due_at > passed_at)

    def _restart(self, row: Stranded) -> bool:
        """Restart the row unless it has moved on since it was read.

        Some rows are due by the wall clock and some by the steady one. Whatever begins too early waits on by itself.
        """
        delay_seconds = row.due_at - max(self._parts.steady(), self._parts.now())
        again = task(row.stage, row.row_id, attempt=row.attempt + 1, priority=row.priority, delay_seconds=delay_seconds)
        with self._parts.ledger.transaction() as transaction:
            if not transaction.reassign(row, task_id=again.task_id):
                return False
            transaction.enqueue(again)
        return True
