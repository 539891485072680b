# SPDX-License-Identifier: Apache-2.0
"""A pool of child processes that decode and infer: urgent work first, deadlines kept, crashes contained."""

import itertools
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, Self

from service.domain.errors import DokueiError, WorkerUnavailableError
from service.domain.result import Priority
from service.inference.worker_keeper import STOP_AFTER_ALL, STOP_NOW, Job, Keeper
from service.inference.worker_process import WorkerOrder
from service.ports import Observer

_ORDERS: Final = {Priority.URGENT: 0, Priority.ROUTINE: 1}


class WorkerPool:
    """Child processes, warmed once by `entry`, that answer one task at a time each.

    Parameters
    ----------
    entry
        "module:function"; called once in each child with `initial`, it returns a handler from task to answer. Tasks,
        answers and `initial` are JSON objects.
    deadline_seconds
        Longest that one task may take; its child is killed then. Waiting for a free child does not count.
    memory_bytes
        Address space of one child; None for no limit (CUDA reserves far more than it uses).
    start_seconds
        Longest that warming may take.
    observer
        Is told of every child that had to be replaced.
    on_start
        Is told of each child that became warm, also of those that replace another, what its handler's `report` says.
    idle
        The children take only processor time that nobody else wants.
    """

    def __init__(
        self,
        entry: str,
        *,
        size: int,
        deadline_seconds: float,
        memory_bytes: int | None,
        initial: dict[str, Any],
        start_seconds: float = 300.0,
        observer: Observer = lambda _event: None,
        on_start: Callable[[dict[str, Any]], None] = lambda _report: None,
        idle: bool = False,
    ) -> None:
        self._jobs: queue.PriorityQueue[Job] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._closed = False
        order = WorkerOrder(entry=entry, initial=initial, memory_bytes=memory_bytes, idle=idle)
        self._keepers = [
            Keeper(
                self._jobs,
                order,
                start_seconds=start_seconds,
                deadline_seconds=deadline_seconds,
                observer=observer,
                on_start=on_start,
            )
            for _ in range(size)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def ready(self) -> bool:
        """At least one child is warm."""
        return any(keeper.ready for keeper in self._keepers)

    @property
    def process_ids(self) -> tuple[int, ...]:
        """The process of each child that there is, warm or not."""
        return tuple(found for keeper in self._keepers if (found := keeper.process_id) is not None)

    @property
    def warm(self) -> int:
        """How many children are warm."""
        return sum(keeper.ready for keeper in self._keepers)

    @property
    def size(self) -> int:
        """How many children there are to be."""
        return len(self._keepers)

    @property
    def problem(self) -> str:
        """ "" while at least one child is warm, else why none is."""
        return "" if self.ready else "; ".join(sorted({keeper.problem for keeper in self._keepers} - {""}))

    def wait_ready(self, timeout_seconds: float) -> None:
        """Wait until every child is warm.

        Raises
        ------
        DokueiError
            What the start of a child failed with.
        WorkerTimeoutError
            A child was not warm in time.
        """
        deadline = time.monotonic() + timeout_seconds
        for keeper in self._keepers:
            keeper.wait_ready(deadline - time.monotonic())

    def call(self, task: dict[str, Any], *, priority: Priority = Priority.ROUTINE) -> dict[str, Any]:
        """Have a child answer the task; waits for a free one, urgent tasks first. Thread-safe.

        Raises
        ------
        WorkerTimeoutError
            The task passed its deadline; the child was killed and is replaced.
        WorkerCrashedError
            The child died or ran out of memory; it is replaced.
        WorkerError
            The handler failed with an error that is not ours.
        WorkerUnavailableError
            No child could be started, or the pool is closed.
        DokueiError
            What the handler raised, as the same class.
        """
        job = self._put(_ORDERS[priority], task)
        return job.reply.result()

    def call_each(self, task: dict[str, Any]) -> tuple[dict[str, Any] | DokueiError, ...]:
        """Have every child answer the task, before what waits for any of them; return each answer, or why none came."""
        return tuple(_outcome(reply) for reply in [keeper.errand(task) for keeper in self._keepers])

    def close(self) -> None:
        """Answer everything that waits, then end all children."""
        self._stop(STOP_AFTER_ALL)

    def kill(self) -> None:
        """End all children at once; running and waiting tasks fail."""
        for keeper in self._keepers:
            keeper.kill()
        self._stop(STOP_NOW)
        while not self._jobs.empty():
            self._jobs.get().reply.set_exception(WorkerUnavailableError("the worker pool was stopped"))

    def _put(self, order: int, task: dict[str, Any]) -> Job:
        with self._lock:
            if self._closed:
                raise WorkerUnavailableError("the worker pool is closed; the node is stopping")
            job = Job(order, next(self._numbers), task)
            self._jobs.put(job)
            return job

    def _stop(self, order: int) -> None:
        with self._lock:
            self._closed = True
            for _ in self._keepers:
                self._jobs.put(Job(order, next(self._numbers)))
        for keeper in self._keepers:
            keeper.join()


def _outcome(reply: "Future[dict[str, Any]]") -> dict[str, Any] | DokueiError:
    try:
        return reply.result()
    except DokueiError as error:
        return error
