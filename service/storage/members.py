# SPDX-License-Identifier: Apache-2.0
"""The processes that share a PostgreSQL ledger: each says every few seconds that it is there, by the database's clock.

A lease and no session lock: a session outlives a machine that lost its network by hours, and lives on while its
process is stopped.
"""

import secrets
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.domain.errors import ConfigurationError, StorageError
from service.domain.member import Member, Role
from service.storage import schema
from service.storage.dialect import SQLITE

BEAT_SECONDS = 3.0
LEASE_SECONDS = 15.0
"""A member that has not said so for this long is not there: others take over what it had begun."""
FORGET_SECONDS = 86_400.0
"""Names of pods never come back: their rows go after a day."""
LOOK_SECONDS = 0.5
FAULTS = (DBAPIError, PoolTimeoutError, ConfigurationError)

MEMBER = schema.member
NOW = sa.extract("epoch", sa.func.clock_timestamp())


def members_of(engine: sa.Engine, *, lease_seconds: float = LEASE_SECONDS) -> tuple[Member, ...]:
    """Return who shares a ledger now, the one that leads first; nobody where a node has it to itself.

    Raises
    ------
    StorageError
        The ledger cannot be read.
    """
    if engine.dialect.name == SQLITE:
        return ()
    try:
        with engine.connect() as connection:
            return _read(connection, lease_seconds)
    except FAULTS as error:
        raise StorageError(f"the members cannot be read: {type(error).__name__}") from error


def _read(connection: sa.Connection, lease_seconds: float) -> tuple[Member, ...]:
    query = sa.select(MEMBER).where(MEMBER.c.beat_at >= NOW - lease_seconds).order_by(MEMBER.c.id)
    return tuple(
        Member(
            name=row.name,
            role=Role(row.role),
            joined=row.id,
            version=row.version,
            config_sha256_8=row.config_sha256_8,
        )
        for row in connection.execute(query)
    )


class SqlMembers:
    """`ports.Members` for one process; a thread of its own says that it is there.

    Parameters
    ----------
    engine
        A PostgreSQL database whose tables have the newest form.
    member
        This process; its `joined` is drawn by the database.
    """

    def __init__(
        self,
        engine: sa.Engine,
        member: Member,
        *,
        beat_seconds: float = BEAT_SECONDS,
        lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._engine = engine
        self._member = member
        self._beat_seconds, self._lease_seconds = beat_seconds, lease_seconds
        self._incarnation = secrets.token_hex(16)
        self._there: tuple[Member, ...] = ()
        self._beat_at = float("-inf")
        self._name_lost = False
        self._gone: Callable[[], None] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="member", daemon=True)

    def join(self) -> None:
        """Take the name and begin to say that this process is there.

        Waits a lease long for a process of the same name that has ended without a word.

        Raises
        ------
        ConfigurationError
            A process of this name is there.
        StorageError
            The database cannot be asked.
        """
        ends = time.monotonic() + self._lease_seconds + self._beat_seconds
        while not self._took_name():
            if time.monotonic() > ends:
                name = self._member.name
                raise ConfigurationError(
                    f"another process works as member {name!r} on this database; end it, or give this one another "
                    "name with --name"
                )
            self._stopping.wait(LOOK_SECONDS)
        self.beat()
        self._thread.start()

    def leave(self) -> None:
        """Say that this process is no longer there: others need not wait for its lease to end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        own = (MEMBER.c.name == self._member.name, MEMBER.c.incarnation == self._incarnation)
        with suppress(*FAULTS), self._engine.begin() as connection:
            connection.execute(sa.delete(MEMBER).where(*own))

    def when_one_goes(self, tell: Callable[[], None]) -> None:
        """Have `tell` called whenever a member is no longer there: what it had begun is to be taken over."""
        self._gone = tell

    def leads(self) -> bool:
        """See `ports.Members`: of those that are there, the one that came first, while it can say so itself."""
        recent = time.monotonic() - self._beat_at < self._lease_seconds
        return recent and bool(self._there) and self._there[0].name == self._member.name

    def lives(self, name: str) -> bool:
        """See `ports.Members`."""
        return any(member.name == name for member in self._there)

    def present(self) -> Collection[Member]:
        """See `ports.Members`."""
        return self._there

    def problem(self) -> str:
        """Return "" while the name is this process's own, else what only its end mends."""
        if not self._name_lost:
            return ""
        return f"another process has taken over the member name {self._member.name!r}; this one is to end"

    def notes(self) -> str:
        """Return what members do not have in common; "" when all have the same version and configuration."""
        others = [item for item in self._there if item.name != self._member.name]
        texts = [f"{item.name} has another config.yaml" for item in others if self._differs(item, "config_sha256_8")]
        texts += [f"{item.name} is version {item.version}" for item in others if self._differs(item, "version")]
        return "; ".join(texts)

    def beat(self) -> None:
        """Say once that this process is there, and see who else is.

        Raises
        ------
        StorageError
            The database cannot be asked.
        """
        own = (MEMBER.c.name == self._member.name, MEMBER.c.incarnation == self._incarnation)
        try:
            with self._engine.begin() as connection:
                kept = connection.execute(sa.update(MEMBER).where(*own).values(beat_at=NOW)).rowcount
                there = _read(connection, self._lease_seconds)
                connection.execute(sa.delete(MEMBER).where(MEMBER.c.beat_at < NOW - FORGET_SECONDS))
        except FAULTS as error:
            raise StorageError(f"the members cannot be read: {type(error).__name__}") from error
        if not kept:
            self._name_lost = self._name_lost or not self._took_name()
            return
        gone = {member.joined for member in self._there} - {member.joined for member in there}
        self._there, self._beat_at = there, time.monotonic()
        if gone and self._gone is not None:
            self._gone()

    def _run(self) -> None:
        while not self._stopping.wait(self._beat_seconds):
            with suppress(StorageError):  # told by /readyz; while it lasts this process does not lead
                self.beat()

    def _took_name(self) -> bool:
        """Take the name unless somebody has it; whoever takes it over keeps no rank of the one before."""
        name = MEMBER.c.name == self._member.name
        values = {
            "name": self._member.name,
            "role": self._member.role.value,
            "incarnation": self._incarnation,
            "version": self._member.version,
            "config_sha256_8": self._member.config_sha256_8,
            "beat_at": NOW,
        }
        try:
            with self._engine.begin() as connection:
                # Members come and go rarely: that one at a time does makes this readable.
                connection.execute(sa.text("LOCK TABLE member IN SHARE ROW EXCLUSIVE MODE"))
                connection.execute(sa.delete(MEMBER).where(name, MEMBER.c.beat_at < NOW - self._lease_seconds))
                if connection.execute(sa.select(MEMBER.c.id).where(name)).first() is not None:
                    return False
                connection.execute(sa.insert(MEMBER).values(values))
        except FAULTS as error:
            raise StorageError(f"the members cannot be read: {type(error).__name__}") from error
        return True

    def _differs(self, other: Member, what: str) -> bool:
        return bool(getattr(other, what) != getattr(self._member, what))
