# SPDX-License-Identifier: Apache-2.0
"""Which queues are worth asking the database about: a look costs 4 ms of CPU, and most queues are empty nearly always.

Every task of a node that is alone is enqueued by this process, so that it knows when there is something to find. What
it does not know (a task that an earlier process left, or another member) is found by the look that each queue gets now
and then anyway.
"""

import heapq
import threading
from collections.abc import Callable

LOOKS_AFTER_SECONDS = 4.0
"""So long is a queue asked in full after a task fell due: its transaction may still be open, the engine moves delayed
tasks into their queue once a second, and one that waits for room is taken when another has ended."""
LOOK_ANYWAY_SECONDS = 2.0
LOOK_FOR_OTHERS_SECONDS = 0.4
"""The same where members enqueue for each other."""


class Looking:
    """Says which queues are to be asked; safe in any thread.

    Parameters
    ----------
    clock
        A clock that never steps, in seconds.
    anyway_seconds
        How often a queue is asked of which nothing is expected.
    """

    def __init__(self, clock: Callable[[], float], *, anyway_seconds: float = LOOK_ANYWAY_SECONDS) -> None:
        self._clock = clock
        self._anyway_seconds = anyway_seconds
        self._lock = threading.Lock()
        self._due: dict[str, list[float]] = {}
        self._until: dict[str, float] = {}
        self._looked: dict[str, float] = {}

    def expect(self, queue: str, *, delay_seconds: float = 0.0) -> None:
        """Note that a task of this queue falls due."""
        due_at = self._clock() + delay_seconds
        with self._lock:
            heapq.heappush(self._due.setdefault(queue, []), due_at)

    def worthwhile(self, queue: str) -> bool:
        """Say whether the queue is to be asked now."""
        now = self._clock()
        with self._lock:
            self._fall_due(queue, now)
            expects = now < self._until.get(queue, now)
            if not expects and now - self._looked.get(queue, float("-inf")) < self._anyway_seconds:
                return False
            self._looked[queue] = now
            return True

    def _fall_due(self, queue: str, now: float) -> None:
        due = self._due.get(queue, [])
        while due and due[0] <= now:
            self._until[queue] = max(self._until.get(queue, 0.0), heapq.heappop(due) + LOOKS_AFTER_SECONDS)
