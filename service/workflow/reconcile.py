# SPDX-License-Identifier: Apache-2.0
"""Finds work in the ledger that no task drives any more, and starts it again: no engine fault can strand a study."""

from collections import Counter
from collections.abc import Iterable

from service.domain.entry import Stranded
from service.domain.event import JobsReconciled
from service.ports.engine import Engine
from service.workflow.context import FlowParts
from service.workflow.stages import task


class Reconcile:
    """One pass over everything unfinished."""

    def __init__(self, parts: FlowParts, engine: Engine, *, stages: Iterable[str]) -> None:
        self._parts = parts
        self._engine = engine
        self._stages = frozenset(stages)

    def __call__(self) -> int:
        """Enqueue again, under a new name, whatever has no living task; return the number."""
        with self._parts.ledger.reading() as view:
            rows = [row for row in view.unfinished() if row.stage in self._stages]
        live = self._engine.live({row.task_id for row in rows if row.task_id})
        restarted = Counter(row.stage for row in rows if row.task_id not in live and self._restart(row))
        for stage, count in restarted.items():
            self._parts.observer(JobsReconciled(stage=stage, count=count))
        return restarted.total()

    def _restart(self, row: Stranded) -> bool:
        """Restart the row unless it has moved on since it was read."""
        delay_seconds = row.due_at - self._parts.now()
        again = task(row.stage, row.row_id, attempt=row.attempt + 1, priority=row.priority, delay_seconds=delay_seconds)
        with self._parts.ledger.transaction() as transaction:
            if not transaction.reassign(row, task_id=again.task_id):
                return False
            transaction.enqueue(again)
        return True
