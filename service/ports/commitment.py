# SPDX-License-Identifier: Apache-2.0
"""The seam to storage commitment (PS3.4 annex J), in both roles: we ask archives, and modalities ask us."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ObjectReference:
    """One SOP instance, as Referenced SOP Sequence names it."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentFailure:
    """An instance that is not committed; `reason` is Failure Reason (0008,1197), for example 0x0112 no such object."""

    reference: ObjectReference
    reason: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentReport:
    """What an N-EVENT-REPORT says of one transaction (PS3.4 J.3.3): of each instance, whether it is committed."""

    transaction_uid: str
    committed: tuple[ObjectReference, ...] = ()
    failed: tuple[CommitmentFailure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentRequest:
    """What an N-ACTION asks of us (PS3.4 J.3.2); `peer` is the caller's name in config.yaml."""

    peer: str
    calling_ae: str
    transaction_uid: str
    references: tuple[ObjectReference, ...]


class CommitmentListener(Protocol):
    """Takes in the reports of archives, on whichever association they come."""

    def __call__(self, peer: str, report: CommitmentReport) -> bool:
        """Note the report durably; False when nobody asked for this transaction. Twice the same changes nothing.

        Raises
        ------
        StorageError
            It could not be noted: the archive is told so and may send it again.
        """


class CommitmentService(Protocol):
    """Takes in the requests of modalities; the report goes out later, on an association of ours."""

    def __call__(self, request: CommitmentRequest) -> None:
        """Note the request durably; the report follows on an association of ours, unless `reported` comes before.

        Raises
        ------
        CommitmentUnsupportedError
            The peer has no `commitment_port`: it is told 0x0124, not authorised.
        StorageError
            It could not be noted: the modality is told 0x0213, resource limitation.
        """

    def report(self, request: CommitmentRequest) -> CommitmentReport:
        """Return what is to be reported now, for an association that is still open (PS3.4 J.3.3).

        Raises
        ------
        StorageError
            The ledger cannot be read.
        """

    def reported(self, request: CommitmentRequest) -> None:
        """Note that the peer took the report on its own association, so that none goes out on one of ours."""


class CommitmentPeer(Protocol):
    """An archive that can be asked what it keeps, or a modality that asked us."""

    def request_commitment(
        self, transaction_uid: str, references: Sequence[ObjectReference]
    ) -> CommitmentReport | None:
        """N-ACTION: ask the archive to commit itself to keep the instances (PS3.4 J.3.2).

        Returns the report when it comes on the same association, None when it will come on another.

        Raises
        ------
        CommitmentUnsupportedError
            The archive does not offer storage commitment, or refuses this request for good.
        DestinationUnreachableError
            No association could be made, or it broke before the answer.
        """

    def find_stored(self, study_instance_uid: str, references: Sequence[ObjectReference]) -> frozenset[str]:
        """C-FIND: return the SOP Instance UIDs of those instances that the archive says it has.

        Raises
        ------
        QueryUnsupportedError
            The archive does not answer queries.
        DestinationUnreachableError
            No association could be made, or it broke before the answer.
        """

    def report_commitment(self, report: CommitmentReport) -> None:
        """N-EVENT-REPORT: tell a modality that asked us; raises DeliveryError when it did not take it."""

    def interrupt(self) -> None:
        """Break what is under way, now and from now on: the node stops, and does it again after its next start."""
