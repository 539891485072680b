# SPDX-License-Identifier: Apache-2.0
"""Several processes of `dokuei run --role` on one PostgreSQL database and one data folder."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.node import NodeProgram
from service.domain.member import Role


class MemberProgram(NodeProgram):
    """One member; all that have the same `folder` share its data folder."""

    def __init__(
        self,
        folder: Path,
        role: Role,
        name: str,
        *,
        pacs: tuple[str, int],
        database_url: str,
        changes: dict[str, Any] | None = None,
    ) -> None:
        self._shared = folder / "data"
        super().__init__(folder / name, pacs=pacs, changes=changes, database_url=database_url)
        self.role, self.name = role, name
        self.options = ("--role", role.value, "--name", name)

    @property
    def waits_for(self) -> int:
        return self.port if self.role.receives else self.http_port

    def storage_section(self, **changes: Any) -> dict[str, Any]:
        """Section `storage`, with changes."""
        return {**super().storage_section(), "folder": str(self._shared), **changes}


class Cluster:
    """Members by name; `start` starts those that do not run."""

    def __init__(self, members: Iterable[MemberProgram]) -> None:
        self.members = {member.name: member for member in members}

    def __getitem__(self, name: str) -> MemberProgram:
        return self.members[name]

    def of(self, role: Role) -> list[MemberProgram]:
        """The members of a role."""
        return [member for member in self.members.values() if member.role is role]

    def start(self) -> None:
        """Start all at once, as after a power cut, and wait until each listens."""
        for member in self.members.values():
            member.start(wait=False)
        for member in self.members.values():
            member.wait_until_it_listens()

    def stop(self) -> None:
        for member in self.members.values():
            member.stop()

    @property
    def log(self) -> str:
        return "".join(f"--- {member.name}\n{member.log[-3000:]}" for member in self.members.values())


@contextmanager
def running_cluster(
    folder: Path,
    *,
    pacs: tuple[str, int],
    database_url: str,
    receivers: int = 2,
    workers: int = 2,
    senders: int = 1,
    changes: dict[str, Any] | None = None,
) -> Iterator[Cluster]:
    """Run so many of each role."""
    numbers = {Role.RECEIVER: receivers, Role.WORKER: workers, Role.SENDER: senders}
    cluster = Cluster(
        MemberProgram(folder, role, f"{role.value}-{number}", pacs=pacs, database_url=database_url, changes=changes)
        for role, count in numbers.items()
        for number in range(count)
    )
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
