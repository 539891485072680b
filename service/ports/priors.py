# SPDX-License-Identifier: Apache-2.0
"""The seams to older studies that are fetched: the archive that has them, and what the ledger knows of them."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain.entry import AskedStudy, FetchRecord
from service.domain.fetch import AskedState, FetchOutcome, FetchState, FoundSeries, FoundStudy, Moved, PriorQuery


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuery:
    """The identifier of a query, encoded, and in which SOP class and transfer syntax."""

    sop_class_uid: str
    transfer_syntax_uid: str
    identifier: bytes


class PriorSource(Protocol):
    """An archive that has older studies."""

    @property
    def name(self) -> str:
        """Name in config.yaml."""

    def wording(self, question: PriorQuery) -> AskedQuery:
        """Return how `find` asks, for the audit trail."""

    def find(self, question: PriorQuery) -> tuple[FoundStudy, ...]:
        """Ask for the studies of a patient; what it answers need not be what was asked for.

        Raises
        ------
        RetrieveRefusedError
            It refuses, does not offer this, or what it answers cannot be used.
        DestinationUnreachableError
            No association could be made, or it broke before the answer.
        """

    def series(self, study_instance_uid: str) -> tuple[FoundSeries, ...]:
        """Ask for the series of a study; raises as `find`."""

    def move(self, study_instance_uid: str, series: Sequence[str], *, seconds: float) -> tuple[Moved, ...]:
        """Have series of a study sent to this node, and wait for the end of that at most `seconds`.

        Returns what the archive says of each; raises as `find`.
        """

    def interrupt(self) -> None:
        """Break what is under way, now and from now on: the node stops, and asks again after its next start."""


class FetchLedger(Protocol):
    """Searches for older studies, and the studies that they asked for, within one transaction."""

    def add(self, job_id: int, *, task_id: Callable[[int], str], due_at: float, at: float) -> FetchRecord:
        """Insert the search for a job that waits for it until `due_at`."""

    def get(self, fetch_id: int) -> FetchRecord:
        """Return a search."""

    def of_job(self, job_id: int) -> FetchRecord | None:
        """Return the search for a job."""

    def asked(self, fetch_id: int) -> tuple[AskedStudy, ...]:
        """Return the studies that a search asked for, the newest first."""

    def ask(self, fetch_id: int, study_instance_uid: str, series: Sequence[str]) -> None:
        """Note that a study is about to be asked for."""

    def change(self, fetch_id: int, state: FetchState) -> None:
        """Note what the search has yet to do."""

    def end(self, fetch_id: int, outcome: FetchOutcome, *, at: float) -> bool:
        """Note what the job is told; False when it was told something before."""

    def mark(self, asked_ids: Collection[int], state: AskedState) -> None:
        """Note where studies stand that were asked for."""

    def is_asked(self, study_instance_uid: str, *, still: bool) -> bool:
        """Say whether a study was ever asked for, or (`still`) whether it is still to come."""

    def of_study(self, study_instance_uid: str) -> tuple[AskedStudy, ...]:
        """Return everything that asked for a study, the latest last."""

    def here(self, study_instance_uids: Collection[str]) -> frozenset[str]:
        """Return those of these studies that need not be asked for: the node has them, or all that can be had."""

    def count(self, study_instance_uid: str, series: Collection[str]) -> int:
        """Return how many instances of these series are here."""
