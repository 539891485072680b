# SPDX-License-Identifier: Apache-2.0
"""The seam to what the ledger keeps of shadow packages."""

from collections.abc import Callable
from typing import Protocol

from service.domain.result import PackageIdentity
from service.domain.shadow import ShadowRun, ShadowSummary, Verdict


class ShadowLedger(Protocol):
    """Runs of shadow packages within one transaction."""

    def add(
        self, job_id: int, package: PackageIdentity, *, active: Verdict, task_id: Callable[[int], str], at: float
    ) -> ShadowRun:
        """Insert a run that is to come."""

    def get(self, run_id: int) -> ShadowRun:
        """Return a run."""

    def waiting(self) -> int:
        """Return how many runs are to come."""

    def count_try(self, run_id: int) -> None:
        """Count that the run begins."""

    def compared(self, run_id: int, verdict: Verdict, *, headline: str, seconds: float, at: float) -> None:
        """Keep what the package said."""

    def failed(self, run_id: int, *, error: str, at: float) -> None:
        """Note that the package says nothing of the study; `error` is a type, never a text about a study."""

    def summaries(self) -> tuple[ShadowSummary, ...]:
        """Return how each shadow package compares."""
