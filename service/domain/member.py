# SPDX-License-Identifier: Apache-2.0
"""The processes that share a ledger: what each is there for, and how they know each other."""

import re
from dataclasses import dataclass
from enum import StrEnum

MEMBER_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
"""A host name does: it also names a folder, and a process in logs."""


class Role(StrEnum):
    """What a process does; several of each of the last three may share a PostgreSQL database and the data folder."""

    ALL = "all"
    """Everything, alone: the usual node."""
    RECEIVER = "receiver"
    """Takes studies in."""
    WORKER = "worker"
    """Closes, routes and analyses studies, and writes their results."""
    SENDER = "sender"
    """Delivers results, asks for their commitment, reports ours and notifies."""

    @property
    def receives(self) -> bool:
        """Whether the process opens the ports that take studies in."""
        return self in {Role.ALL, Role.RECEIVER}

    @property
    def analyses(self) -> bool:
        """Whether the process has model packages."""
        return self in {Role.ALL, Role.WORKER}

    @property
    def sends(self) -> bool:
        """Whether the process calls destinations."""
        return self in {Role.ALL, Role.SENDER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A process that shares the ledger.

    `joined` orders members by when they came. `config_sha256_8` are the first digits of the digest of what all
    are to have in common of the settings (settings.shared_digest).
    """

    name: str
    role: Role
    joined: int
    version: str
    config_sha256_8: str
