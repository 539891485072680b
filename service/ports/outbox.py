# SPDX-License-Identifier: Apache-2.0
"""The seam to the part of the ledger that storage commitment and the circuits of destinations live in."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from service.domain.entry import (
    CircuitRecord,
    CommitmentRecord,
    CommitmentState,
    HeldInstance,
    OrderRecord,
    Waiting,
)
from service.ports.commitment import CommitmentRequest


class CommitmentLedger(Protocol):
    """Our storage commitment transactions, within one transaction of the ledger."""

    def add(
        self,
        job_id: int,
        destination: str,
        *,
        delivery_ids: Sequence[int],
        transaction_uid: Callable[[int], str],
        unanswered: int,
        due_at: float,
        at: float,
    ) -> CommitmentRecord:
        """Insert the next transaction of a job with a destination; its UID follows from its number."""

    def get(self, commitment_id: int) -> CommitmentRecord:
        """Return a transaction."""

    def find(self, transaction_uid: str) -> CommitmentRecord | None:
        """Return the transaction with this UID."""

    def latest(self, job_id: int, destination: str) -> CommitmentRecord | None:
        """Return the newest transaction of a job with a destination."""

    def assign(self, commitment_id: int, *, task_id: str, due_at: float) -> None:
        """Name the task that goes on with the transaction at `due_at`."""

    def asked(self, commitment_id: int, *, at: float) -> None:
        """Note that the destination took the request."""

    def end(self, commitment_id: int, state: CommitmentState, *, at: float) -> None:
        """Note that nothing more follows from this transaction, except for a late report."""

    def park(self, destination: str, *, commitment_id: int | None = None) -> None:
        """Take the tasks away from what has yet to be asked of a destination that is not there, or from one row."""

    def release(self, destination: str, *, limit: int) -> tuple[Waiting, ...]:
        """Return so many of the parked, urgent first; each must be assigned."""


class CircuitLedger(Protocol):
    """Whether destinations are reachable, within one transaction of the ledger."""

    def get(self, destination: str) -> CircuitRecord:
        """Return a destination's circuit; a closed one when it never failed."""

    def lock(self, destination: str) -> CircuitRecord:
        """Return it, and keep others from changing it until the transaction ends. Asked first in a transaction."""

    def save(self, circuit: CircuitRecord) -> None:
        """Keep the circuit as it is now."""

    def follow(self, destinations: Collection[str]) -> None:
        """Make a circuit for each destination that has none, and forget those of others."""


class OrderLedger(Protocol):
    """Requests of peers that we commit ourselves, within one transaction of the ledger."""

    def add(self, request: CommitmentRequest, *, due_at: float, at: float) -> OrderRecord:
        """Insert the request; one that is known already is to be reported again."""

    def get(self, order_id: int) -> OrderRecord:
        """Return a request."""

    def find(self, peer: str, transaction_uid: str) -> OrderRecord | None:
        """Return a peer's request."""

    def assign(self, order_id: int, *, task_id: str, due_at: float) -> None:
        """Name the task that makes the next attempt."""

    def settle(self, order_id: int, *, reported: bool, at: float) -> None:
        """Note the outcome of one attempt."""

    def held(self, sop_instance_uids: Collection[str]) -> Mapping[str, HeldInstance]:
        """Return what the ledger says of those instances that are stored here, by SOP Instance UID."""
