# SPDX-License-Identifier: Apache-2.0
"""A keeper: the thread that owns one child for the life of the pool, feeds it and replaces it."""

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

from service.domain.errors import DokueiError, WorkerTimeoutError, WorkerUnavailableError
from service.domain.event import WorkerRestarted
from service.inference.worker_process import WorkerOrder, WorkerProcess
from service.ports import Observer

STOP_NOW: Final = -1
"""Sorts before every waiting job."""
STOP_AFTER_ALL: Final = 1000
"""Sorts after every waiting job, so that closing drains."""
_IDLE_CHECK_SECONDS: Final = 2.0
_RESTART_PAUSE_SECONDS: Final = 2.0


@dataclass(order=True, slots=True)
class Job:
    """A task that waits for a child: lower orders first, then by arrival."""

    order: int
    number: int
    task: dict[str, Any] = field(compare=False, default_factory=dict)
    reply: "Future[dict[str, Any]]" = field(compare=False, default_factory=Future)


Report = dict[str, Any]


class Keeper:
    """Runs jobs of a shared queue in its own child, one at a time; errands are for this child alone, and go first."""

    def __init__(
        self,
        jobs: "queue.PriorityQueue[Job]",
        order: WorkerOrder,
        *,
        start_seconds: float,
        deadline_seconds: float,
        observer: Observer,
        on_start: Callable[[Report], None],
    ) -> None:
        self._jobs, self._order, self._observer, self._on_start = jobs, order, observer, on_start
        self._errands: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._start_seconds, self._deadline_seconds = start_seconds, deadline_seconds
        self._process: WorkerProcess | None = None
        self._warm = False
        self._lost = ""
        self._stopping = threading.Event()
        self._tried = threading.Event()
        self._start_error: DokueiError | None = None
        self._retry_at = 0.0
        # Daemon: a forgotten pool must not keep the interpreter from ending.
        self._thread = threading.Thread(target=self._run, name="worker-keeper", daemon=True)
        self._thread.start()

    @property
    def ready(self) -> bool:
        """The child is warm."""
        process = self._process
        return self._warm and process is not None and process.alive

    @property
    def process_id(self) -> int | None:
        """The process of the child, if there is one."""
        process = self._process
        return None if process is None else process.process_id

    @property
    def problem(self) -> str:
        """ "" while the child is warm, else why it is not."""
        if self.ready:
            return ""
        return str(self._start_error or "the child process is still loading its packages")

    def wait_ready(self, seconds: float) -> None:
        """Wait for the first start to succeed; raise what it failed with."""
        if not self._tried.wait(max(0.0, seconds)):
            raise WorkerTimeoutError("the child process was not warm in time; the machine may be overloaded")
        if self._start_error is not None:
            raise self._start_error

    def errand(self, task: dict[str, Any]) -> "Future[dict[str, Any]]":
        """Have this child answer a task when it has answered the one that it is at, or within seconds when idle."""
        job = Job(0, 0, task)
        self._errands.put(job)
        if self._stopping.is_set():
            self._refuse_errands()
        return job.reply

    def join(self) -> None:
        """Wait for the thread to end."""
        self._thread.join()

    def kill(self) -> None:
        """End the child at once, for good."""
        self._stopping.set()
        process = self._process
        if process is not None:
            process.kill()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._ensure_warm()
            self._run_errands()
            try:
                job = self._jobs.get(timeout=_IDLE_CHECK_SECONDS)
            except queue.Empty:
                continue
            if job.order in (STOP_NOW, STOP_AFTER_ALL):
                break
            self._settle(job)
        self._stopping.set()
        self._refuse_errands()
        self._discard()

    def _run_errands(self) -> None:
        while not self._stopping.is_set() and not self._errands.empty():
            self._settle(self._errands.get())

    def _refuse_errands(self) -> None:
        while True:
            try:
                job = self._errands.get_nowait()
            except queue.Empty:
                return
            job.reply.set_exception(WorkerUnavailableError("the worker pool is closed"))

    def _settle(self, job: Job) -> None:
        try:
            job.reply.set_result(self._answer(job.task))
        except Exception as error:  # noqa: BLE001 - an outermost loop: every caller gets an answer
            job.reply.set_exception(error)

    def _answer(self, task: dict[str, Any]) -> dict[str, Any]:
        self._ensure_warm()
        if self._process is None:
            raise WorkerUnavailableError(f"no child process: {self._start_error or 'the node is stopping'}")
        return self._process.ask(task, seconds=self._deadline_seconds)

    def _ensure_warm(self) -> None:
        """Start the child if there is none, but not again at once after a start that failed."""
        if self.ready or self._stopping.is_set() or time.monotonic() < self._retry_at:
            return
        self._discard()
        try:
            self._process = WorkerProcess(self._order)
            if self._stopping.is_set():  # kill() came too early to see this child
                self._process.kill()
            report = self._process.warm(seconds=self._start_seconds)
            self._on_start(report)
            self._warm, self._start_error = True, None
            self._report()
        except DokueiError as error:
            self._start_error = error
            self._retry_at = time.monotonic() + _RESTART_PAUSE_SECONDS
            self._discard()
        self._tried.set()

    def _report(self) -> None:
        lost, self._lost = self._lost, ""
        if lost:
            self._observer(WorkerRestarted(reason=lost))

    def _discard(self) -> None:
        process, warm = self._process, self._warm
        self._process, self._warm = None, False
        if process is not None:
            self._lost = process.end if warm else self._lost
            process.stop()
