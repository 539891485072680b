# SPDX-License-Identifier: Apache-2.0
"""The engine port on DBOS Transact: tasks survive crashes, urgent ones run first, one handler call per task.

The settings here are the measured ones: see docs/decisions/0002.
"""

import logging
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, EnqueueOptions, WorkflowStatus

from service.engine.disk_full import retry_when_disk_is_full
from service.engine.looking import LOOK_ANYWAY_SECONDS, LOOK_FOR_OTHERS_SECONDS, Looking
from service.ports.engine import Task, TaskHandler
from service.ports.members import Alone, Members

APPLICATION_NAME = "dokuei"
APPLICATION_VERSION = "1"
"""Pinned: DBOS's default is a hash of the code, and a changed hash strands every queued task for ever."""
EXECUTOR_ID = "dokuei-1"
"""Of a node that is alone. Stable: a process recovers only its own tasks at its start. The data folder's lock sees to
it that there is one node; a member has its own name, which the members' table gives to one process at a time."""
MAX_RECOVERY_ATTEMPTS = 5
"""A task that took the process down this often is set aside; the reconciler brings it back under a new name."""
POLLING_SECONDS = 0.2
STUCK_SECONDS = 30.0
"""A task marked as running that this process has not run for this long is nobody's."""
NEW_MEMBER_SECONDS = 10.0
"""Whoever began a task so lately may be a member of which this process has not heard yet."""
TASK_WORKFLOW = "task"
FINISHED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
WAITING = {"ENQUEUED", "DELAYED"}
RUNNING = "PENDING"
"""What DBOS calls a task that somebody has begun."""
FORGET_BATCH = 500
ASK_BATCH = 1000
"""Tasks in one question: SQLite bounds the parameters of a statement, and a PACS that is down strands any number."""
STARTING_SECONDS = 30.0
"""Time that the queues' threads have to appear."""


class DbosEngine:
    """Runs tasks in this process's threads, with its state in `database`; one per process.

    Parameters
    ----------
    database
        The ledger's own SQLAlchemy engine, so that a task joins the ledger's transaction.
    executor_id
        Names this process among those that share the database; the same at its next start.
    members
        Who else shares it.
    """

    def __init__(
        self,
        database: sa.Engine,
        *,
        polling_seconds: float = POLLING_SECONDS,
        executor_id: str = EXECUTOR_ID,
        members: Members | None = None,
    ) -> None:
        self._database = database
        self._polling_seconds = polling_seconds
        self._executor_id = executor_id
        self._members = members or Alone()
        self._has_others = members is not None
        self._handlers: dict[str, TaskHandler] = {}
        self._queues: dict[str, int] = {}
        self._queue_of: dict[str, str] = {}
        anyway_seconds = LOOK_ANYWAY_SECONDS if members is None else LOOK_FOR_OTHERS_SECONDS
        self._looking = Looking(time.monotonic, anyway_seconds=anyway_seconds)
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._launched = threading.Event()
        self._launched_at = 0.0
        self._client: DBOSClient | None = None

    def register(self, handler: str, function: TaskHandler) -> None:
        """Bind a handler's name to its function."""
        self._handlers[handler] = function

    def declare_queue(self, name: str, *, concurrency: int) -> None:
        """Make a queue."""
        self._queues[name] = concurrency

    def enqueue(self, connection: Any, task: Task) -> None:
        """Add the task within the caller's transaction."""
        if task.priority < 1:
            raise ValueError(
                f"task {task.task_id!r} has priority {task.priority}; 0 would run before everything urgent"
            )
        options = EnqueueOptions(
            workflow_name=TASK_WORKFLOW,
            queue_name=task.queue,
            workflow_id=task.task_id,
            app_version=APPLICATION_VERSION,
            priority=task.priority,
        )
        if task.delay_seconds > 0:
            options["delay_seconds"] = task.delay_seconds
        self._launched_client().enqueue_in_transaction(connection, options, task.handler, task.row_id, task.task_id)
        self._queue_of[task.handler] = task.queue
        self._looking.expect(task.queue, delay_seconds=task.delay_seconds)

    def live(self, task_ids: Collection[str]) -> frozenset[str]:
        """Return the tasks that wait, or that this process or a member that is there is running."""
        return frozenset(row.workflow_id for row in self._states(task_ids) if self._is_live(row))

    def dropped(self, task_ids: Collection[str]) -> frozenset[str]:
        """Return the tasks that are marked as running here, and are not."""
        rows = self._states(task_ids)
        return frozenset(
            row.workflow_id
            for row in rows
            if row.status == RUNNING and row.executor_id == self._executor_id and not self._is_live(row)
        )

    def problem(self) -> str:
        """Return "" while somebody serves every queue, else what is wrong."""
        if time.monotonic() - self._launched_at < STARTING_SECONDS:
            return ""
        serving = {thread.name for thread in threading.enumerate()}  # dbos/_queue.py names them
        idle = [name for name in self._queues if f"queue-worker-{name}" not in serving]
        return f"nobody serves the queues {', '.join(map(repr, idle))}; restart the node" if idle else ""

    def launch(self) -> None:
        """Start DBOS on our database; it re-enqueues what this node left running."""
        retry_when_disk_is_full(self._database)
        _quiet_logging()
        dbos = DBOS(config=self._configuration())
        self._register_workflow()
        if self._has_others:
            DBOS.listen_queues(list(self._queues))
        DBOS.launch()
        self._look_less_often(dbos)
        self._client = DBOSClient(
            system_database_engine=self._database,
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION_NAME,
            retry_connection_errors=False,
        )
        for name, concurrency in self._queues.items():
            DBOS.register_queue(
                name,
                worker_concurrency=concurrency,
                polling_interval_sec=self._polling_seconds,
                on_conflict="always_update",
            )
        self._launched_at = time.monotonic()
        self._launched.set()

    def shutdown(self, *, drain_seconds: float) -> None:
        """Stop taking tasks, wait for the running ones, and stop."""
        self._launched.set()  # a task that waits for it must not outlast us
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=max(1, round(drain_seconds)))
        self._client = None

    def forget(self, *, older_than_seconds: float) -> int:
        """Delete finished tasks, a batch at a time."""
        before = (datetime.now(UTC) - timedelta(seconds=older_than_seconds)).isoformat()
        count = 0
        while True:
            finished = DBOS.list_workflows(
                status=FINISHED, completed_before=before, limit=FORGET_BATCH, load_input=False, load_output=False
            )
            if not finished:
                return count
            DBOS.delete_workflows([row.workflow_id for row in finished])
            count += len(finished)

    def _states(self, task_ids: Collection[str]) -> list[WorkflowStatus]:
        names = list(task_ids)
        batches = [names[start : start + ASK_BATCH] for start in range(0, len(names), ASK_BATCH)]
        return [
            row
            for batch in batches
            for row in DBOS.list_workflows(workflow_ids=batch, load_input=False, load_output=False)
        ]

    def _look_less_often(self, dbos: DBOS) -> None:
        """Let DBOS ask the database about a queue only when that is worthwhile.

        It asks for the scopes of a queue before each look, and looks into each of them (`queue_worker_thread`); a test
        shows that the version which is installed still does.
        """
        database: Any = dbos._sys_db  # it has no setting for this
        scopes = database.dequeue_scopes

        def worthwhile(queue: str) -> list[str | None]:
            return scopes(queue) if queue not in self._queues or self._looking.worthwhile(queue) else []

        database.dequeue_scopes = worthwhile

    def _register_workflow(self) -> None:
        def run(handler: str, row_id: int, task_id: str) -> None:  # DBOS writes on it, which a method does not take
            self._run(handler, row_id, task_id)

        DBOS.workflow(name=TASK_WORKFLOW, max_recovery_attempts=MAX_RECOVERY_ATTEMPTS)(run)

    def _run(self, handler: str, row_id: int, task_id: str) -> None:
        self._launched.wait()  # what an earlier process left begins before `launch` is through
        with self._marked_running(task_id):
            self._handlers[handler](row_id, task_id)
        # There is room for the next. Of what an earlier process left nobody has said in which queue it lies.
        for queue in (self._queue_of[handler],) if handler in self._queue_of else tuple(self._queues):
            self._looking.expect(queue)

    @contextmanager
    def _marked_running(self, task_id: str) -> Iterator[None]:
        with self._lock:
            self._running.add(task_id)
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(task_id)

    def _is_live(self, row: WorkflowStatus) -> bool:
        if row.status in WAITING:
            return True
        if row.status != RUNNING:
            return False
        age_seconds = time.time() - (row.updated_at or 0) / 1000
        if row.executor_id != self._executor_id:
            return self._members.lives(row.executor_id or "") or age_seconds < NEW_MEMBER_SECONDS
        with self._lock:
            running = row.workflow_id in self._running
        return running or age_seconds < STUCK_SECONDS

    def _configuration(self) -> DBOSConfig:
        return DBOSConfig(
            name=APPLICATION_NAME,
            system_database_engine=self._database,
            application_version=APPLICATION_VERSION,
            executor_id=self._executor_id,
            serializer=DBOSPortableJSONSerializer(),
            enable_otlp=False,
            use_listen_notify=False,
            log_level="WARNING",
        )

    def _launched_client(self) -> DBOSClient:
        if self._client is None:
            raise RuntimeError("the engine is not launched: nothing can be enqueued")
        return self._client


def _quiet_logging() -> None:
    # DBOS attaches a console handler of its own unless its logger has one: it shall speak through the node's log.
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    logger.propagate = True
