# SPDX-License-Identifier: Apache-2.0
"""The seam to the ledger's counts, for metrics and for the status command."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """How much waits where, at one moment; times are seconds since the epoch.

    Stages: close, route, analyse, encode, deliver, commit, notify. `oldest_received_at` is when the oldest study that
    waits in a stage arrived; stages in which nothing waits are absent there and 0 in `pending`.
    """

    pending: Mapping[str, int]
    oldest_received_at: Mapping[str, float]
    deliveries_pending: Mapping[str, int]
    deliveries_refused: Mapping[str, int]
    last_delivered_at: Mapping[str, float]
    conflicts: int
    failed_jobs: int
    deliveries_abandoned: Mapping[str, int] = field(default_factory=dict)
    audit_pending: int = 0
    quarantined: int = 0
    quarantined_bytes: int = 0
    commitments_pending: Mapping[str, int] = field(default_factory=dict)
    """Objects that a destination has stored and has yet to commit itself to."""
    circuits: Mapping[str, int] = field(default_factory=dict)
    """0 closed, 1 half-open, 2 open, 3 held by a person."""
    oldest_delivery_at: Mapping[str, float] = field(default_factory=dict)
    """When the oldest object was made that a destination has yet to take or to commit itself to."""
    deliveries_declined: Mapping[str, int] = field(default_factory=dict)
    """Objects of a kind that a destination does not take, and that it has the result without."""
    held: int = 0
    """Result objects that failed the checks before sending, or could not be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """The child processes of one role, "active" or "shadow", at one moment."""

    warm: int
    starting: int
    process_ids: tuple[int, ...]


class QueueStatistics(Protocol):
    """Asks the ledger; called at each scrape, so it is a handful of indexed counts."""

    def counts(self) -> QueueCounts:
        """Return what waits now.

        Raises
        ------
        StorageError
            The ledger cannot be read.
        """

    def spool_bytes(self) -> int:
        """Return the bytes of all instances of studies that have something left to do; looks at each of them.

        Raises
        ------
        StorageError
            The ledger cannot be read.
        """
