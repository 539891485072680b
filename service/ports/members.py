# SPDX-License-Identifier: Apache-2.0
"""The seam to the other processes that share a ledger."""

from collections.abc import Collection
from typing import Protocol

from service.domain.member import Member


class Members(Protocol):
    """Who else works on the ledger; one of all members leads, and does what must not be done twice at a time."""

    def leads(self) -> bool:
        """Say whether this process keeps house now. Two may believe it for a moment: each step must bear that."""

    def lives(self, name: str) -> bool:
        """Say whether another member is there, so that what it has begun is in its hands."""

    def present(self) -> Collection[Member]:
        """Return all members that are there, this one among them; none for a node that is alone."""


class Alone:
    """A node that has its ledger to itself."""

    def leads(self) -> bool:
        """Always: there is nobody else."""
        return True

    def lives(self, name: str) -> bool:  # noqa: ARG002 - the form of `Members`
        """Nobody else."""
        return False

    def present(self) -> Collection[Member]:
        """No members."""
        return ()
