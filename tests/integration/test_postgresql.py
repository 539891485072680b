# SPDX-License-Identifier: Apache-2.0
"""The ledger on a real PostgreSQL server: one writer at a time, one node at a time, and nothing lost when it goes."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from fakes import ct_dataset, incoming
from harness.dcmtk import dcmsend, storescu
from harness.node import NodeProgram
from harness.orthanc import Orthanc
from harness.phantom import PhantomStudy
from harness.postgres import PostgresServer, postgres_program
from harness.processes import wait_until
from node import Node, running
from service.domain.errors import ConfigurationError, StorageError
from service.ports import StoreOutcome
from service.storage import DatabaseLock, SqlLedger, audit_storage, create_database, migrate, open_folder


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """A server that the test may stop."""
    if postgres_program("pg_ctl") is None:
        pytest.skip("PEERS MISSING: postgresql; run tests/install_peers.sh")
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


def test_a_second_node_is_refused(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.database()
    first, second = create_database(tmp_path, url=url), create_database(tmp_path, url=url)
    lock = DatabaseLock(first)
    with pytest.raises(ConfigurationError, match="in use by another node"):
        DatabaseLock(second)
    lock.release()
    DatabaseLock(second).release()
    first.dispose()
    second.dispose()


def test_a_node_that_lost_its_database_to_another_writes_nothing(postgres: PostgresServer, tmp_path: Path) -> None:
    engine = create_database(tmp_path, url=postgres.database())
    migrate(engine)
    lock = DatabaseLock(engine)
    ledger = SqlLedger(engine, root=tmp_path, enqueue=lambda connection, task: None, check=lock.check)  # noqa: ARG005
    with ledger.transaction() as transaction:
        assert transaction.unfinished() == ()
    end_session(postgres, lock._pid)
    with ledger.transaction():  # the lock was free: it is taken again
        pass
    assert lock.problem() == ""
    end_session(postgres, lock._pid)
    other = DatabaseLock(engine)
    with pytest.raises(StorageError, match="another node has taken"), ledger.transaction():
        pass
    assert "lost" in lock.problem()
    other.release()
    with ledger.transaction():
        pass
    lock.release()
    engine.dispose()


def end_session(server: PostgresServer, pid: int) -> None:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("select pg_terminate_backend(%s, 5000)", (pid,))


def test_writers_come_one_after_the_other_and_readers_see_one_moment(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.database()
    ledgers = []
    for _ in range(2):  # two ledgers, as of two processes: only the server can keep them apart
        engine = create_database(tmp_path, url=url)
        migrate(engine)
        ledgers.append(SqlLedger(engine, root=tmp_path, enqueue=lambda connection, task: None))  # noqa: ARG005
    order: list[str] = []

    def write_second() -> None:
        with ledgers[1].transaction():
            order.append("second begins")

    with ledgers[0].transaction() as transaction:
        thread = threading.Thread(target=write_second)
        thread.start()
        time.sleep(0.5)
        transaction._connection.execute(study_row())
        order.append("first ends")
        with ledgers[1].reading() as view:
            assert view.unfinished() == ()
    thread.join(10)
    assert order == ["first ends", "second begins"]
    with ledgers[1].reading() as view, pytest.raises(sa.exc.DBAPIError, match="read-only"):
        view._connection.execute(study_row("2"))
    for ledger in ledgers:
        ledger._engine.dispose()


def study_row(uid: str = "1") -> sa.TextClause:
    columns = "study_instance_uid, first_seen_at, last_seen_at, evaluated_at, unclosed"
    return sa.text(f"insert into study ({columns}) values ('{uid}', 0, 0, 0, 1)")  # noqa: S608


def test_a_server_that_does_not_flush_is_refused(own_server: PostgresServer, tmp_path: Path) -> None:
    url = own_server.database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("alter database test1 set synchronous_commit = off")
    engine = create_database(tmp_path, url=url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("show synchronous_commit").scalar_one() == "on"
    engine.dispose()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("alter system set fsync = off")
        connection.execute("select pg_reload_conf()")
    wait_for_setting(url, "fsync", "off")
    engine = create_database(tmp_path, url=url)
    with pytest.raises(ConfigurationError, match="fsync = off"):
        DatabaseLock(engine)
    engine.dispose()


def wait_for_setting(url: str, name: str, value: str) -> None:
    for _ in range(100):
        with psycopg.connect(url) as connection:
            row = connection.execute(f"show {name}").fetchone()
        if row == (value,):
            return
        time.sleep(0.05)
    raise AssertionError(f"{name} never became {value}")


def test_the_password_comes_from_a_file_and_is_read_anew(own_server: PostgresServer, tmp_path: Path) -> None:
    with psycopg.connect(own_server.url(), autocommit=True) as connection:
        connection.execute("create role node login password 'right'")
    access = own_server.folder / "cluster" / "pg_hba.conf"
    access.write_text("host all node 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n")
    with psycopg.connect(own_server.url(), autocommit=True) as connection:
        connection.execute("select pg_reload_conf()")
    time.sleep(0.5)
    file = tmp_path / "password"
    url = own_server.url().replace("dokuei@", "node@")
    engine = create_database(tmp_path, url=url, password_file=file)
    with pytest.raises(ConfigurationError, match="database_password_file"):
        engine.connect()
    file.write_text("wrong\n")
    with pytest.raises(sa.exc.OperationalError) as refused:
        engine.connect()
    assert "wrong" not in str(refused.value)
    file.write_text("right\n")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("select 1").scalar_one() == 1
    engine.dispose()


def test_without_its_database_the_node_refuses_at_once(own_server: PostgresServer, tmp_path: Path) -> None:
    with running(tmp_path, database_url=own_server.database()) as node:
        assert node.receive(incoming(ct_dataset(1, 1))) is StoreOutcome.STORED
        own_server.stop("immediate")
        for number in (2, 3):
            started = time.monotonic()
            assert node.receive(incoming(ct_dataset(1, number))) is StoreOutcome.OUT_OF_RESOURCES
            assert time.monotonic() - started < 3
        own_server.start()
        for number in (2, 3):
            assert node.receive(incoming(ct_dataset(1, number))) is StoreOutcome.STORED


def test_a_server_that_nobody_answers_for_is_given_up(tmp_path: Path) -> None:
    """It accepts connections and says nothing: a host that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none"
        engine = create_database(tmp_path, url=url)
        ledger = SqlLedger(engine, root=tmp_path, enqueue=lambda connection, task: None)  # noqa: ARG005
        started = time.monotonic()
        with pytest.raises(StorageError), ledger.transaction():
            pass
        assert time.monotonic() - started < 15


def test_a_crash_of_the_server_loses_nothing_and_the_work_goes_on(own_server: PostgresServer, tmp_path: Path) -> None:
    """What was acknowledged before, between and after three crashes ends delivered, once."""
    acknowledged: set[str] = set()
    with running(tmp_path, database_url=own_server.database(), reconcile_seconds=1.0) as node:
        stop = threading.Event()
        sender = threading.Thread(target=send_until, args=(node, stop, acknowledged))
        sender.start()
        for crashes in range(1, 4):
            wait_until(lambda: len(acknowledged) >= 8 * crashes, seconds=60, what="too little is acknowledged")  # noqa: B023
            own_server.stop("immediate")
            time.sleep(0.5)
            own_server.start()
        wait_until(lambda: len(acknowledged) >= 32, seconds=60, what="too little is acknowledged after the crashes")
        stop.set()
        sender.join(60)
        node.wait(lambda: quiet(node), seconds=200)
        stored = {row[0] for row in node.rows("select sop_instance_uid from instance")}
        assert acknowledged <= stored
        assert set(node.rows("select distinct state from delivery")) == {("delivered",)}
        wanted = {row[0] for row in node.rows("select sop_instance_uid from result_object")}
        assert set(node.destination.stored()) == wanted
        assert audit_storage(node.database, open_folder(tmp_path / "data")).missing == []


def quiet(node: Node) -> bool:
    try:
        return not node.unfinished()
    except StorageError:
        return False


def send_until(node: Node, stop: threading.Event, acknowledged: set[str]) -> None:
    study = 0
    while not stop.is_set():
        study += 1
        for number in (1, 2):
            dataset = ct_dataset(study, number)
            while node.receive(incoming(dataset)) not in {StoreOutcome.STORED, StoreOutcome.DUPLICATE}:
                time.sleep(0.1)
            acknowledged.add(str(dataset.SOPInstanceUID))
        time.sleep(0.03)


def dokuei(command: str, node: NodeProgram, *options: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "service", command, str(node.config), *options]
    return subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=120)


@pytest.mark.peers
def test_a_node_on_postgresql_end_to_end(
    own_server: PostgresServer, start_node: Callable[..., NodeProgram], orthanc: Orthanc, phantom_study: PhantomStudy
) -> None:
    node = start_node(orthanc, database_url=own_server.database())
    films = ("1-chest-film-with-dust-opacities", "2-chest-film-normal")
    first, second = (sorted(phantom_study(name).glob("*.dcm")) for name in films)
    assert dcmsend(node.called, first).returncode == 0
    assert [row.state for row in node.wait_for_results(1).values()] == ["finished"]
    assert not (node.folder / "data" / "dokuei.db").exists()

    with pytest.raises(RuntimeError, match="in use by another node"):
        start_node(orthanc, database_url=node.database_url)
    assert dokuei("status", node).returncode == 0
    assert "0 held object(s)" in dokuei("retry", node).stdout
    assert "ledger: PostgreSQL" in dokuei("doctor", node).stdout
    assert dokuei("check", node).returncode == 0

    own_server.stop("immediate")
    refused = storescu(node.called, second)
    assert "Refused: OutOfResources" in refused.stdout + refused.stderr  # 0xA700
    status, body = node.http("/readyz")
    assert status == 503
    assert "ledger" in body
    assert dokuei("status", node).returncode != 0
    own_server.start()
    assert dcmsend(node.called, second).returncode == 0
    node.wait_for_results(2)
    assert len(node.events("storage_audited")) == 1
    assert own_server.url() not in node.log
