# SPDX-License-Identifier: Apache-2.0
"""The seams to what the ledger keeps of drift: the watch within a transaction, and its state for whoever shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from service.domain.drift import DriftKind, DriftState, Monitored, MonitoredStudy
from service.domain.result import PackageIdentity


class DriftLedger(Protocol):
    """The watch over drift within one transaction."""

    def add(self, study: MonitoredStudy, *, keep: int) -> bool:
        """Keep a study's numbers, and forget all but the newest `keep` of the package; False when it is there."""

    def state(self, pipeline: str, package: PackageIdentity) -> DriftState | None:
        """Return where the watch over a package stands; None before its first study."""

    def save(self, state: DriftState) -> None:
        """Keep where the watch over a package stands."""

    def states(self) -> tuple[DriftState, ...]:
        """Return every watch, the one that moved last first."""

    def studies(self, pipeline: str, package: PackageIdentity, *, since: float, until: float) -> tuple[Monitored, ...]:
        """Return what was measured in the studies of a period (seconds since the epoch, the end not included)."""

    def scores(
        self, pipeline: str, package: PackageIdentity, *, before: float, without: str, most: int
    ) -> tuple[float, ...]:
        """Return the scores of the latest studies that were wholly analysed, `most` at most.

        Parameters
        ----------
        before
            Only studies counted before this moment (seconds since the epoch).
        without
            Key of a study that does not count.
        """


class DriftMode(StrEnum):
    """What there is to say of the watch over a package."""

    LEARNING = "learning"
    """There is no reference: studies are collected, nothing is compared."""
    USUAL = "usual"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftStatus:
    """The watch over the package that a pipeline used last.

    Parameters
    ----------
    studies
        Studies since the watch, or the learning, began.
    since
        When the alarm was raised, or else when the watch began; seconds since the epoch, 0 where nothing came yet.
    channels, kinds
        What has shifted, while an alarm stands.
    psi
        Population stability index over the latest studies, by channel; that of the score is `score_psi`.
    acknowledged_by
        Who has seen the alarm; "" while nobody has.
    """

    pipeline: str
    model: str
    version: str
    mode: DriftMode
    studies: int
    since: float
    channels: tuple[str, ...] = ()
    kinds: tuple[DriftKind, ...] = ()
    psi: Mapping[str, float] = field(default_factory=dict)
    reference: str = ""
    acknowledged_by: str = ""
    acknowledged_at: float = 0.0

    @property
    def score_psi(self) -> float | None:
        """The index of the score; None while there is nothing to compare."""
        return self.psi.get("score")


class DriftReader(Protocol):
    """Asks the ledger for the state of every watch; a few rows, good for each scrape and each look at a page."""

    def statuses(self) -> tuple[DriftStatus, ...]:
        """Return one status for each pipeline and model: that of the version which was used last.

        Raises
        ------
        StorageError
            The ledger cannot be read.
        """
