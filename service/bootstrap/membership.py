# SPDX-License-Identifier: Apache-2.0
"""How a process comes to its ledger: alone, or as one of several members (`dokuei run --role`)."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from service import __version__
from service.domain.errors import ConfigurationError
from service.domain.member import MEMBER_NAME, Member, Role
from service.engine.dbos_engine import EXECUTOR_ID
from service.ports.members import Alone, Members
from service.settings import Settings, shared_digest
from service.storage.database import migrate, newest_revision, revision_of
from service.storage.folder import FolderLock
from service.storage.members import SqlMembers
from service.storage.postgresql import DatabaseLock, starting_alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a process stands among those that share its ledger.

    `name` is "" for a node that has it to itself; `lock` is None on SQLite, where the data folder's lock does.
    """

    name: str
    executor_id: str
    members: Members
    lock: DatabaseLock | None


def member_name(role: Role, name: str | None) -> str:
    """Return the name of a member: that which was asked for, else host and role; "" for a node that is alone.

    Raises
    ------
    ConfigurationError
        The name could not be one of a folder, or is given to a node that is alone.
    """
    if role is Role.ALL:
        if name is not None:
            raise ConfigurationError(
                "--name is for one of several processes; give --role receiver, worker or sender too"
            )
        return ""
    chosen = name or f"{socket.gethostname()}-{role.value}"
    if MEMBER_NAME.fullmatch(chosen) is None:
        raise ConfigurationError(
            f"--name {chosen!r}: up to 100 letters, digits, '.', '_' and '-', the first and the last no sign; names of "
            "hosts are such"
        )
    return chosen


def role_problems(settings: Settings, role: Role) -> list[str]:
    """Return what keeps a process of this role from starting with these settings."""
    if role is not Role.ALL and settings.storage.database_url is None:
        problem = (
            f"storage.database_url: --role {role.value} shares the ledger with other processes, which SQLite cannot"
        )
        return [f"{problem}; name a PostgreSQL database, or run the node without --role"]
    return []


def own_settings(settings: Settings, role: Role) -> Settings:
    """Return the settings without pipelines for a role that has no packages."""
    return settings if role.analyses else settings.model_copy(update={"pipelines": {}})


def take_folder(settings: Settings, role: Role, parts: ExitStack) -> None:
    """Use the data folder until `parts` end: alone, or beside other members."""
    parts.callback(FolderLock(settings.storage.folder, shared=role is not Role.ALL).release)


def take_ledger(settings: Settings, database: sa.Engine, parts: ExitStack, *, role: Role, name: str) -> Place:
    """Use the ledger until `parts` end, with tables of the newest form.

    Raises
    ------
    ConfigurationError
        The ledger is in use otherwise, or would have to be changed under members that use it.
    """
    if role is Role.ALL:
        lock = DatabaseLock(database) if settings.storage.database_url else None
        if lock is not None:
            parts.callback(lock.release)
        migrate(database)
        return Place(name="", executor_id=EXECUTOR_ID, members=Alone(), lock=lock)
    with starting_alone(database):
        _migrate_for_all(database)
        lock = DatabaseLock(database, shared=True)
        parts.callback(lock.release)
    members = SqlMembers(database, _member(settings, role, name))
    members.join()
    parts.callback(members.leave)
    return Place(name=name, executor_id=name, members=members, lock=lock)


@contextmanager
def one_at_a_time(place: Place, database: sa.Engine) -> Iterator[None]:
    """Keep other members from starting while the block runs: the engine makes and changes tables of its own."""
    if not place.name:
        yield
        return
    with starting_alone(database):
        yield


def _migrate_for_all(database: sa.Engine) -> None:
    """Change the tables where that is needed, which takes all members away from them."""
    if revision_of(database) == newest_revision():
        return
    try:
        lock = DatabaseLock(database)
    except ConfigurationError as error:
        raise ConfigurationError(
            "the ledger has an older form, and is changed only while nobody uses it: stop all members, then start them "
            f"with this version ({error})"
        ) from error
    try:
        migrate(database)
    finally:
        lock.release()


def _member(settings: Settings, role: Role, name: str) -> Member:
    return Member(name=name, role=role, joined=0, version=__version__, config_sha256_8=shared_digest(settings))
