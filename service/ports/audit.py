# SPDX-License-Identifier: Apache-2.0
"""The seams of the audit trail: the buffer in the ledger, and the collector."""

from collections.abc import Collection, Sequence
from typing import Protocol

from service.domain.audit import Arrival, AuditEntry, AuditText


class AuditLedger(Protocol):
    """Audit messages within one transaction of the ledger."""

    def add(self, message: AuditText, *, at: float) -> None:
        """Keep the message until the collector has it."""

    def oldest(self, limit: int) -> tuple[AuditEntry, ...]:
        """Return what has waited longest, in the order in which it was written."""

    def remove(self, ids: Collection[int]) -> None:
        """Forget messages that the collector has."""

    def count(self) -> int:
        """Return how many wait."""

    def drop_oldest(self, count: int) -> None:
        """Forget the oldest, because too many wait."""

    def arrivals(self, revision_id: int) -> tuple[Arrival, ...]:
        """Return what a revision of a study holds beyond the revision before it, by peer, patient and SOP class."""


class AuditCollector(Protocol):
    """Takes audit messages; connects when it is needed.

    Syslog over TLS knows no acknowledgement: what can be known is that the other side's TCP has everything and that the
    connection still stands.
    """

    def send(self, entries: Sequence[AuditEntry]) -> None:
        """Write the messages to the connection.

        Raises
        ------
        DeliveryError
            It broke: any of them may or may not have arrived.
        """

    def has_all(self) -> bool:
        """Say whether the other side's TCP has everything that was written; raises DeliveryError when it broke."""

    def close(self) -> bool:
        """End the connection in order; True when the other side read everything before it ended its own."""
