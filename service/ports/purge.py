# SPDX-License-Identifier: Apache-2.0
"""The seam to the part of the ledger that deleting lives in."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from service.domain.purge import DueJob, NewPurge, PurgeRecord


class PurgeLedger(Protocol):
    """Purges within one transaction: begun before anything is deleted, ended when everything is."""

    def due_inputs(self, *, before: float, limit: int) -> tuple[int, ...]:
        """Return studies whose images nobody needs any more, and of which nothing has happened since `before`."""

    def due_results(self, *, before: float, limit: int) -> tuple[DueJob, ...]:
        """Return jobs whose result nobody needs any more and that ended before this."""

    def begin(self, new: NewPurge, *, at: float) -> PurgeRecord:
        """Keep the proof of what is about to be deleted."""

    def take_inputs(self, purge_id: int, study_id: int) -> None:
        """Give the files that a study has to a purge."""

    def take_result(
        self, purge_id: int, job_id: int, *, kept: Mapping[str, Any] | None, series: Mapping[str, str]
    ) -> None:
        """Give a job's folder to a purge; keep its values, and the series of its objects by SOP Instance UID."""

    def result_files(self, job_id: int) -> Mapping[str, Path]:
        """Return the files of a job's objects by SOP Instance UID."""

    def open(self) -> tuple[PurgeRecord, ...]:
        """Return the purges that have begun and not ended, the oldest first."""

    def files(self, purge_id: int, *, limit: int) -> Mapping[int, Path]:
        """Return so many of the image files that a purge has yet to delete, by instance."""

    def job_key(self, purge_id: int) -> str | None:
        """Return the key of the job whose folder a purge has yet to delete; None when there is none."""

    def deleted(self, instance_ids: Sequence[int]) -> None:
        """Note that the files of these instances are gone."""

    def end(self, purge_id: int, *, at: float) -> None:
        """Note that all that a purge had to delete is gone."""

    def latest(self, *, limit: int) -> tuple[PurgeRecord, ...]:
        """Return the last purges, the latest first."""
