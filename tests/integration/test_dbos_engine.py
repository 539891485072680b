# SPDX-License-Identifier: Apache-2.0
"""The engine port on the real DBOS and a real file."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from dbos._dbos import _get_dbos_instance

from harness.postgres import PostgresServer
from service.domain.member import Member
from service.engine import DbosEngine, dbos_engine
from service.engine.disk_full import retry_when_disk_is_full
from service.engine.looking import LOOK_ANYWAY_SECONDS, Looking
from service.ports import Task, TaskHandler
from service.storage import create_database


class Bench:
    """An engine with one queue of one."""

    def __init__(self, root: Path, handler: TaskHandler, *, url: str | None = None) -> None:
        self.database = create_database(root, url=url)
        self.engine = DbosEngine(self.database)
        self.engine.register("work", handler)
        self.engine.declare_queue("one", concurrency=1)

    def enqueue(self, name: str, *, priority: int = 50, row_id: int = 0, delay_seconds: float = 0.0) -> None:
        task = Task(
            handler="work", row_id=row_id, task_id=name, queue="one", priority=priority, delay_seconds=delay_seconds
        )
        with self.database.begin() as connection:
            self.engine.enqueue(connection, task)


@contextmanager
def bench(root: Path, handler: TaskHandler, *, url: str | None = None) -> Iterator[Bench]:
    made = Bench(root, handler, url=url)
    made.engine.launch()
    try:
        yield made
    finally:
        made.engine.shutdown(drain_seconds=2)
        made.database.dispose()


def nothing(row_id: int, task_id: str) -> None:
    """Do nothing."""


def wait(condition: Any, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_urgent_tasks_run_first_and_each_runs_once(tmp_path: Path, database_url: str | None) -> None:
    order: list[str] = []
    gate = threading.Event()

    def work(row_id: int, task_id: str) -> None:
        gate.wait(10)
        order.append(task_id)

    with bench(tmp_path, work, url=database_url) as made:
        made.enqueue("first")
        time.sleep(2)
        for name, priority in (("routine", 50), ("urgent", 10), ("urgent", 10)):
            made.enqueue(name, priority=priority)
        gate.set()
        wait(lambda: len(order) == 3)
        time.sleep(0.5)
        assert order == ["first", "urgent", "routine"]


def test_a_priority_of_zero_is_refused(tmp_path: Path, database_url: str | None) -> None:
    with bench(tmp_path, nothing, url=database_url) as made, pytest.raises(ValueError, match="priority 0"):
        made.enqueue("x", priority=0)


def test_a_rolled_back_transaction_enqueues_nothing(tmp_path: Path, database_url: str | None) -> None:
    seen: list[str] = []
    with bench(tmp_path, lambda _, task_id: seen.append(task_id), url=database_url) as made:
        task = Task(handler="work", row_id=1, task_id="gone", queue="one", priority=50)
        with made.database.connect() as connection:
            transaction = connection.begin()
            made.engine.enqueue(connection, task)
            transaction.rollback()
        made.enqueue("kept")
        wait(lambda: seen == ["kept"])


def test_live_tells_waiting_and_running_from_ended_and_unknown(tmp_path: Path, database_url: str | None) -> None:
    gate = threading.Event()

    def work(row_id: int, task_id: str) -> None:
        if task_id == "fails":
            raise ZeroDivisionError
        if task_id == "runs":
            gate.wait(10)

    with bench(tmp_path, work, url=database_url) as made:
        made.enqueue("fails")
        made.enqueue("ends")
        wait(lambda: not made.engine.live({"fails", "ends"}))
        made.enqueue("runs")
        made.enqueue("waits", delay_seconds=60)
        assert made.engine.live({"fails", "ends", "runs", "waits", "unknown"}) == {"runs", "waits"}
        gate.set()
        wait(lambda: made.engine.live({"runs", "waits"}) == {"waits"})
        assert made.engine.forget(older_than_seconds=0) == 3
        assert made.engine.forget(older_than_seconds=0) == 0


def test_a_task_of_an_unknown_process_is_nobodys_after_a_while(tmp_path: Path, database_url: str | None) -> None:
    with bench(tmp_path, nothing, url=database_url) as made:
        made.enqueue("lost", delay_seconds=60)
        table = "workflow_status" if database_url is None else "dbos.workflow_status"
        stuck = f"update {table} set status='PENDING', updated_at=0 where workflow_uuid='lost'"  # noqa: S608
        with made.database.begin() as connection:
            connection.exec_driver_sql(stuck)
        assert made.engine.live({"lost"}) == frozenset()


def test_a_full_disk_looks_busy_so_that_dbos_waits(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    retry_when_disk_is_full(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("create table t (x)")
        connection.exec_driver_sql("pragma max_page_count=2")
        with pytest.raises(sa.exc.OperationalError) as raised:
            connection.exec_driver_sql("insert into t values (zeroblob(100000))")
    assert "database is locked" in str(raised.value.orig)
    assert "disk is full" in str(raised.value.orig)
    engine.dispose()


def test_tasks_wait_out_a_full_disk_without_a_restart(tmp_path: Path) -> None:
    seen: list[str] = []
    with bench(tmp_path, lambda _, task_id: seen.append(task_id)) as made:
        pages = "pragma page_count"
        with made.database.begin() as connection:
            full = connection.exec_driver_sql(pages).scalar_one()
        sa.event.listen(made.database, "checkout", limit := _Limit(full))
        time.sleep(0.3)
        with pytest.raises(sa.exc.OperationalError):
            _enqueue_many(made)
        limit.pages = 1 << 30
        made.enqueue("after")
        wait(lambda: "after" in seen, 60)
        assert len(set(seen)) == len(seen)
        with made.database.connect() as connection:
            ended = "select count(*) from workflow_status where status <> 'SUCCESS'"
            wait(lambda: connection.exec_driver_sql(ended).scalar_one() == 0, 60)


def _enqueue_many(made: Bench) -> None:
    for number in range(10_000):
        made.enqueue(f"t{number}")


class _Limit:
    """Sets SQLite's own limit of pages on every connection that is taken from the pool."""

    def __init__(self, pages: int) -> None:
        self.pages = pages

    def __call__(self, connection: Any, *_: Any) -> None:
        connection.execute(f"pragma max_page_count={self.pages}")


def test_work_that_waited_runs_only_when_all_is_there_for_it(
    tmp_path: Path, database_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a second launch DBOS has tasks before the engine can take new ones, which tasks are bound to add."""
    with bench(tmp_path, nothing, url=database_url) as made:
        made.enqueue("later", delay_seconds=4)
    client, failed, done = dbos_engine.DBOSClient, [], []

    def slow_client(**options: Any) -> Any:
        time.sleep(5)
        return client(**options)

    def work(row_id: int, task_id: str) -> None:
        if task_id == "later":
            try:
                again.enqueue("follow-up")
            except RuntimeError as error:
                failed.append(error)
        done.append(task_id)

    monkeypatch.setattr(dbos_engine, "DBOSClient", slow_client)
    again = Bench(tmp_path, work, url=database_url)
    again.engine.launch()
    wait(lambda: "follow-up" in done or failed)
    again.engine.shutdown(drain_seconds=2)
    again.database.dispose()
    assert not failed


class Others:
    """Members that are there, by name; this process is none of them."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)

    def leads(self) -> bool:
        return True

    def lives(self, name: str) -> bool:
        return name in self.names

    def present(self) -> tuple[Member, ...]:
        return ()


def test_what_another_member_runs_is_live_while_it_is_there(tmp_path: Path, postgres: PostgresServer) -> None:
    database, others = create_database(tmp_path, url=postgres.database()), Others("other")
    engine = DbosEngine(database, executor_id="mine", members=others)
    engine.register("work", nothing)
    engine.declare_queue("served", concurrency=1)
    engine.launch()
    try:
        with database.begin() as connection:
            for name in ("theirs", "mine", "waiting"):
                engine.enqueue(connection, Task(handler="work", row_id=1, task_id=name, queue="elsewhere", priority=1))
        change(database, "theirs", executor="other", age_seconds=600)
        change(database, "mine", executor="mine", age_seconds=600)
        assert engine.live({"theirs", "mine", "waiting"}) == {"theirs", "waiting"}
        assert engine.dropped({"theirs", "mine", "waiting"}) == {"mine"}
        others.names.clear()
        assert engine.live({"theirs"}) == frozenset()
        assert engine.dropped({"theirs"}) == frozenset(), "nobody but the one that leads takes it over"
        change(database, "theirs", executor="other", age_seconds=1)
        assert engine.live({"theirs"}) == {"theirs"}, "it may be a member of which this one has not heard yet"
        time.sleep(1)
        assert engine.live({"waiting"}) == {"waiting"}, "a queue that this process does not serve"
    finally:
        engine.shutdown(drain_seconds=2)
        database.dispose()


def change(database: sa.Engine, task_id: str, *, executor: str, age_seconds: float) -> None:
    """Have a task be one that an executor has begun so long ago."""
    begun_ms = int((time.time() - age_seconds) * 1000)
    with database.begin() as connection:
        values = "status = 'PENDING', executor_id = :who, updated_at = :at"
        text = f"update dbos.workflow_status set {values} where workflow_uuid = :name"  # noqa: S608
        connection.execute(sa.text(text), {"who": executor, "at": begun_ms, "name": task_id})


def test_more_tasks_than_one_statement_takes_can_be_asked_for(tmp_path: Path, database_url: str | None) -> None:
    with bench(tmp_path, nothing, url=database_url) as made:
        made.enqueue("last", delay_seconds=60)
        names = [f"absent-{number}" for number in range(300_000)]
        assert made.engine.live([*names, "last"]) == {"last"}


def test_an_engine_whose_queues_nobody_serves_has_a_problem(
    tmp_path: Path, database_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbos_engine, "STARTING_SECONDS", 0.0)
    with bench(tmp_path, nothing, url=database_url) as made:
        wait(lambda: made.engine.problem() == "")
        made.engine.declare_queue("another", concurrency=1)  # after launch: nobody serves it
        assert "'another'" in made.engine.problem()


def test_dbos_asks_the_database_only_where_something_is_expected(tmp_path: Path) -> None:
    """Fails with a DBOS that asks in another way: an idle node would then cost a sixth of a core again."""
    done = threading.Event()
    with bench(tmp_path, lambda *_: done.set()) as made:
        asked = _count_looks()
        time.sleep(LOOK_ANYWAY_SECONDS + 1)
        idle = len(asked)
        assert 1 <= idle <= 4
        started = time.monotonic()
        made.enqueue("expected")
        assert done.wait(LOOK_ANYWAY_SECONDS), "it waited for the look that each queue gets anyway"
        time.sleep(1.5 - min(1.0, time.monotonic() - started))
        assert len(asked) - idle >= 2


def test_a_task_that_nobody_expects_is_found(tmp_path: Path) -> None:
    done = threading.Event()
    with bench(tmp_path, lambda *_: done.set()) as made:
        made.engine._looking = Looking(time.monotonic)
        made.engine._looking.worthwhile("one")
        expect, made.engine._looking.expect = made.engine._looking.expect, lambda *_, **__: None  # type: ignore[method-assign]
        made.enqueue("unexpected")
        made.engine._looking.expect = expect  # type: ignore[method-assign]
        assert done.wait(LOOK_ANYWAY_SECONDS + 5)


def test_what_an_earlier_process_left_is_done_one_after_the_other_without_a_pause(tmp_path: Path) -> None:
    """Each waited for the look that a queue gets anyway: fifty studies took two minutes after a start."""
    gate = threading.Event()

    def held(row_id: int, task_id: str) -> None:
        gate.wait(10)

    with bench(tmp_path, held) as made:
        for number in range(12):
            made.enqueue(f"left-{number}")
        gate_opens = threading.Timer(0.5, gate.set)
        gate_opens.start()
        made.engine.shutdown(drain_seconds=0)
        gate_opens.join()
    done: list[str] = []
    with bench(tmp_path, lambda _, task_id: done.append(task_id)):
        wait(lambda: len(done) >= 10, seconds=LOOK_ANYWAY_SECONDS * 5)


def _count_looks() -> list[str]:
    """Note the queue of every statement that takes tasks out of it."""
    asked: list[str] = []
    database: Any = _get_dbos_instance()._sys_db
    original = database.start_queued_workflows

    def noting(queue: Any, *arguments: Any, **options: Any) -> Any:
        asked.append(queue.name)
        return original(queue, *arguments, **options)

    database.start_queued_workflows = noting  # type: ignore[method-assign]
    return asked
