# SPDX-License-Identifier: Apache-2.0
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.domain.errors import StorageError
from service.storage.commit_group import CommitGroup
from service.storage.database import create_database

Work = Callable[[sa.Connection], int]


class Table:
    """A real SQLite table with a unique column; the first transaction waits at a gate, so that a group gathers."""

    def __init__(self, root: Path) -> None:
        self.engine = create_database(root)
        self.sizes: list[int] = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.broken = False
        with self.engine.begin() as connection:
            connection.exec_driver_sql("create table t (x integer unique)")
        self.group: CommitGroup[sa.Connection] = CommitGroup(self.transaction)

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        if self.broken:
            raise StorageError("the disk is gone")
        with self.engine.begin() as connection:
            before = self.count(connection)
            yield connection
            self.sizes.append(self.count(connection) - before)

    def count(self, connection: sa.Connection) -> int:
        return int(connection.exec_driver_sql("select count(*) from t").scalar_one())

    def insert(self, number: int) -> Work:
        def work(connection: sa.Connection) -> int:
            connection.exec_driver_sql("insert into t values (?)", (number,))
            return number

        return work

    def wait_at_the_gate(self, connection: sa.Connection) -> int:
        self.entered.set()
        assert self.gate.wait(20)
        return self.insert(-1)(connection)

    def gather(self, works: list[Work], pool: ThreadPoolExecutor) -> list[Future[int]]:
        """Hand these over while a first transaction is under way, then let it go."""
        first = pool.submit(self.group, self.wait_at_the_gate)
        assert self.entered.wait(20)
        futures = [pool.submit(self.group, work) for work in works]
        while len(self.group._waiting) < len(works):
            pass
        self.gate.set()
        assert first.result(20) == -1
        return futures


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    table = Table(tmp_path)
    yield table
    table.engine.dispose()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def test_who_waits_at_the_same_time_shares_one_transaction(table: Table, pool: ThreadPoolExecutor) -> None:
    futures = table.gather([table.insert(number) for number in range(20)], pool)
    assert [future.result(20) for future in futures] == list(range(20))
    assert table.sizes == [1, 20]


def test_one_alone_commits_at_once_in_its_own_thread(table: Table) -> None:
    seen: list[int] = []
    table.group(lambda connection: seen.append(threading.get_ident()) or table.insert(1)(connection))
    assert seen == [threading.get_ident()]
    assert table.sizes == [1]


def test_the_mistake_of_one_is_nobody_elses(table: Table, pool: ThreadPoolExecutor) -> None:
    table.group(table.insert(7))
    futures = table.gather([table.insert(number) for number in (5, 6, 7, 8)], pool)
    assert isinstance(futures[2].exception(20), sa.exc.IntegrityError)
    assert [futures[index].result(20) for index in (0, 1, 3)] == [5, 6, 8]
    with table.engine.connect() as connection:
        rows = {row[0] for row in connection.exec_driver_sql("select x from t")}
    assert rows == {-1, 5, 6, 7, 8}


def test_a_disk_that_is_gone_is_told_to_everybody_and_forgotten(table: Table, pool: ThreadPoolExecutor) -> None:
    def break_the_disk(connection: sa.Connection) -> int:
        table.broken = True
        return table.wait_at_the_gate(connection)

    first = pool.submit(table.group, break_the_disk)
    assert table.entered.wait(20)
    futures = [pool.submit(table.group, table.insert(number)) for number in range(5)]
    table.gate.set()
    assert first.result(20) == -1
    assert {type(future.exception(20)) for future in futures} == {StorageError}
    table.broken = False
    assert table.group(table.insert(99)) == 99


def test_many_threads_for_long_lose_nothing(table: Table, pool: ThreadPoolExecutor) -> None:
    outcomes = list(pool.map(lambda number: table.group(table.insert(number)), range(500)))
    assert outcomes == list(range(500))
    assert sum(table.sizes) == 500
    assert len(table.sizes) <= 500
