# SPDX-License-Identifier: Apache-2.0
"""Members of a ledger know each other by leases of the database's clock, on a real PostgreSQL server."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from harness.postgres import PostgresServer
from harness.processes import wait_until
from service.bootstrap.membership import member_name, role_problems, take_ledger
from service.domain.errors import ConfigurationError, StorageError
from service.domain.member import Member, Role
from service.settings import Settings, shared_digest
from service.storage import DatabaseLock, FolderLock, create_database, migrate, open_folder, site_key
from service.storage.database import change_revision
from service.storage.folder import is_shared, lock_owner
from service.storage.members import SqlMembers
from service.storage.postgresql import starting_alone

BEAT_SECONDS, LEASE_SECONDS = 0.1, 0.8
Join = Callable[..., SqlMembers]


@pytest.fixture
def database(postgres: PostgresServer, tmp_path: Path) -> Iterator[sa.Engine]:
    engine = create_database(tmp_path, url=postgres.database())
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def join(database: sa.Engine) -> Iterator[Join]:
    joined: list[SqlMembers] = []

    def joined_member(name: str, role: Role = Role.WORKER, **changes: str) -> SqlMembers:
        values = {"version": "1", "config_sha256_8": "0" * 8, **changes}
        members = SqlMembers(
            database,
            Member(name=name, role=role, joined=0, **values),
            beat_seconds=BEAT_SECONDS,
            lease_seconds=LEASE_SECONDS,
        )
        members.join()
        joined.append(members)
        return members

    yield joined_member
    for members in joined:
        members.leave()


def die(members: SqlMembers) -> None:
    """End it as a kill would: without a word."""
    members._stopping.set()
    members._thread.join()


def names(members: SqlMembers) -> list[str]:
    return [member.name for member in members.present()]


def test_the_first_to_come_leads_and_the_next_after_it(join: Join) -> None:
    first = join("a", Role.RECEIVER)
    second = join("b")
    assert (first.leads(), second.leads()) == (True, False)
    wait_until(lambda: names(first) == ["a", "b"], seconds=5, what="the first does not see the second")
    assert [member.role for member in first.present()] == [Role.RECEIVER, Role.WORKER]
    assert (first.lives("b"), first.lives("c")) == (True, False)
    first.leave()
    wait_until(second.leads, seconds=5, what="nobody leads")
    assert not second.lives("a")


def test_a_member_that_ends_without_a_word_is_gone_after_its_lease(join: Join) -> None:
    first, second = join("a"), join("b")
    gone = threading.Event()
    second.when_one_goes(gone.set)
    wait_until(lambda: second.lives("a"), seconds=5, what="not seen")
    died_at = time.monotonic()
    die(first)
    assert not second.leads()
    wait_until(second.leads, seconds=5, what="nobody leads")
    assert time.monotonic() - died_at > LEASE_SECONDS / 2
    assert gone.wait(1)
    assert not first.leads(), "one that cannot say that it is there leads no more"


def test_a_name_belongs_to_one_process_and_comes_back_after_a_kill(join: Join) -> None:
    first = join("a")
    with pytest.raises(ConfigurationError, match=r"another process works as member 'a'.*--name"):
        join("a")
    die(first)
    again = join("a")
    assert names(again) == ["a"]
    assert again.problem() == ""
    first.beat()
    assert "taken over the member name 'a'" in first.problem()
    assert names(again) == ["a"]


def test_whoever_comes_back_does_not_lead_before_those_that_stayed(join: Join) -> None:
    first, second = join("a"), join("b")
    die(first)
    again = join("a")
    wait_until(second.leads, seconds=5, what="nobody leads")
    assert not again.leads()


def test_members_that_differ_are_named(join: Join) -> None:
    first = join("a")
    join("b", config_sha256_8="1" * 8)
    join("c", version="2")
    wait_until(lambda: len(names(first)) == 3, seconds=5, what="not seen")
    assert first.notes() == "b has another config.yaml; c is version 2"


def test_nobody_leads_while_the_database_is_away(
    join: Join, postgres: PostgresServer, database: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = join("a")
    die(first)

    def refused(*_: object) -> None:
        raise sa.exc.OperationalError("", None, psycopg.OperationalError())

    monkeypatch.setattr("service.storage.members._read", refused)
    with pytest.raises(StorageError, match="the members cannot be read"):
        first.beat()
    time.sleep(LEASE_SECONDS)
    assert not first.leads()


def test_what_members_must_have_in_common_is_not_where_they_listen() -> None:
    plain = Settings()
    moved = Settings.model_validate({"node": {"port": 104}, "http": {"port": 9999}, "log": {"level": "debug"}})
    other = Settings.model_validate({"close": {"quiet_seconds": 99}})
    titled = Settings.model_validate({"node": {"ae_title": "OTHER"}})
    assert shared_digest(plain) == shared_digest(moved)
    assert len({shared_digest(settings) for settings in (plain, other, titled)}) == 3


def test_members_and_a_node_keep_out_of_each_others_database(database: sa.Engine) -> None:
    one, two = DatabaseLock(database, shared=True), DatabaseLock(database, shared=True)
    assert (one.problem(), two.problem()) == ("", "")
    with pytest.raises(ConfigurationError, match=r"or by members \(--role\)"):
        DatabaseLock(database)
    one.release()
    two.release()
    node = DatabaseLock(database)
    with pytest.raises(ConfigurationError, match="a node that runs without --role"):
        DatabaseLock(database, shared=True)
    node.release()


def test_members_and_a_node_keep_out_of_each_others_folder(tmp_path: Path) -> None:
    assert not is_shared(tmp_path)
    one, two = FolderLock(tmp_path, shared=True), FolderLock(tmp_path, shared=True)
    assert is_shared(tmp_path)
    assert lock_owner(tmp_path) is None
    with pytest.raises(ConfigurationError, match=r"or by members \(--role\)"):
        FolderLock(tmp_path)
    one.release()
    two.release()
    node = FolderLock(tmp_path)
    assert not is_shared(tmp_path)
    with pytest.raises(ConfigurationError, match="a node that runs without --role"):
        FolderLock(tmp_path, shared=True)
    node.release()


def test_members_start_one_after_the_other(database: sa.Engine) -> None:
    inside, most = 0, 0

    def start() -> None:
        nonlocal inside, most
        with starting_alone(database):
            inside += 1
            most = max(most, inside)
            time.sleep(0.05)
            inside -= 1

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_ledger_of_before_is_changed_only_while_nobody_uses_it(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.database()
    settings = Settings.model_validate({"storage": {"folder": str(tmp_path), "database_url": url}})
    engine = create_database(tmp_path, url=url)
    migrate(engine)
    change_revision(engine, "0010")
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE ledger_version SET version_num = '0009'"))
        connection.execute(sa.text("DROP TABLE member"))
    old = DatabaseLock(engine, shared=True)
    with ExitStack() as parts, pytest.raises(ConfigurationError, match="stop all members"):
        take_ledger(settings, engine, parts, role=Role.WORKER, name="w")
    old.release()
    with ExitStack() as parts:
        place = take_ledger(settings, engine, parts, role=Role.WORKER, name="w")
        assert place.members.leads()
    engine.dispose()


def test_what_a_role_needs_is_said() -> None:
    (problem,) = role_problems(Settings(), Role.SENDER)
    assert problem.startswith("storage.database_url: --role sender")
    assert role_problems(Settings(), Role.ALL) == []
    assert member_name(Role.WORKER, None).endswith("-worker")
    assert member_name(Role.ALL, None) == ""
    with pytest.raises(ConfigurationError, match="give --role"):
        member_name(Role.ALL, "x")
    for bad in ("../x", "a/b", "a b", ".", "x" * 101):
        with pytest.raises(ConfigurationError, match="--name"):
            member_name(Role.WORKER, bad)


def test_members_that_start_together_agree_on_the_key_of_the_site(tmp_path: Path) -> None:
    open_folder(tmp_path)
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(site_key(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(keys)) == 1
    assert not list(tmp_path.glob("*.part"))
