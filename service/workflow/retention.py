# SPDX-License-Identifier: Apache-2.0
"""Deletes what nobody needs any more, and proves it.

First a transaction says what is to be deleted (the proof, and the audit message); then files go, each batch in a
transaction that sees to it that none of them came in again; then the proof is closed. Whatever crashes in between,
every file is named by the ledger until it is gone, and the next pass goes on.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from service.dicom.header import read_attributes
from service.domain.errors import InputError, StorageError
from service.domain.event import DataDeleted
from service.domain.instance import Instance
from service.domain.purge import DueJob, NewPurge, Purged, PurgeRecord, digest_of
from service.domain.record import kept_values
from service.workflow.context import FlowParts

FILES_AT_ONCE = 25
"""Files deleted while the ledger is held: an image that arrives meanwhile waits for some milliseconds."""
DUE_AT_ONCE = 20
PASS_SECONDS = 30.0
"""After so long a pass leaves the rest to the next one: the reconciler waits behind it."""
SECONDS_PER_HOUR = 3600.0
SECONDS_PER_DAY = 86_400.0


class Retention:
    """One pass over what is due.

    Parameters
    ----------
    stopping
        Says whether to leave the rest to the next start.
    """

    def __init__(self, parts: FlowParts, *, stopping: Callable[[], bool] = lambda: False) -> None:
        self._parts = parts
        self._settings = parts.settings.retention
        self._stopping = stopping

    def __call__(self) -> int:
        """Delete what is due, and what an earlier pass did not finish; return the number of purges.

        While a backup is made nothing is deleted: it is due at the next pass.
        """
        with self._parts.store.purging() as may:
            if not may:
                return 0
            with self._parts.ledger.reading() as view:
                unfinished = view.purges.open()
            done = [self._finish(purge) for purge in unfinished]
            ends = self._parts.clock.monotonic() + PASS_SECONDS
            while self._goes_on(ends) and (begun := self._begin()):
                done += [self._finish(purge) for purge in begun]
        return sum(done)

    def _goes_on(self, ends: float) -> bool:
        return not self._stopping() and self._parts.clock.monotonic() < ends

    def _begin(self) -> list[PurgeRecord]:
        """Begin to delete some of what is due."""
        begun: list[PurgeRecord | None] = []
        if self._settings.input_hours is not None:
            before = self._parts.steady() - self._settings.input_hours * SECONDS_PER_HOUR
            begun += [self._begin_input(study_id, before) for study_id in self._due_inputs(before)]
        if self._settings.result_days is not None:
            before = self._parts.steady() - self._settings.result_days * SECONDS_PER_DAY
            begun += [self._begin_result(job, before) for job in self._due_results(before)]
        return [purge for purge in begun if purge is not None]

    def _due_inputs(self, before: float) -> tuple[int, ...]:
        with self._parts.ledger.reading() as view:
            return view.purges.due_inputs(before=before, limit=DUE_AT_ONCE)

    def _due_results(self, before: float) -> tuple[DueJob, ...]:
        with self._parts.ledger.reading() as view:
            return view.purges.due_results(before=before, limit=DUE_AT_ONCE)

    def _begin_input(self, study_id: int, before: float) -> PurgeRecord | None:
        """Write the proof and the audit message; None when something came of the study meanwhile."""
        at = self._parts.now()
        with self._parts.ledger.transaction() as transaction:
            if study_id not in transaction.purges.due_inputs(before=before, limit=DUE_AT_ONCE):
                return None
            here = [item for item in transaction.studies.instances(study_id) if not item.is_deleted]
            purge = transaction.purges.begin(self._of_images(study_id, here), at=at)
            self._parts.audit.deleted(transaction, study_id, at=at)
            transaction.purges.take_inputs(purge.id, study_id)
        return purge

    def _of_images(self, study_id: int, instances: Sequence[Instance]) -> NewPurge:
        return NewPurge(
            what=Purged.INPUT,
            rule=f"retention.input_hours: {self._settings.input_hours:g}",
            study_id=study_id,
            study_key=self._parts.study_key(instances[0].study_instance_uid),
            files=len(instances),
            size_bytes=sum(instance.size_bytes for instance in instances),
            digests_sha256=digest_of(instance.sha256 for instance in instances),
        )

    def _begin_result(self, job: DueJob, before: float) -> PurgeRecord | None:
        contents = self._parts.store.result_contents(job.key)
        new = self._of_result(job, contents)
        with self._parts.ledger.reading() as view:
            objects = view.purges.result_files(job.id)
        series = {uid: _series_of(path) for uid, path in objects.items()}
        kept = next((kept_values(path.parent) for path in contents if path.name == "result.json"), None)
        with self._parts.ledger.transaction() as transaction:
            if job not in transaction.purges.due_results(before=before, limit=DUE_AT_ONCE):
                return None
            purge = transaction.purges.begin(new, at=self._parts.now())
            transaction.purges.take_result(purge.id, job.id, kept=kept, series=series)
        return purge

    def _of_result(self, job: DueJob, contents: Sequence[Path]) -> NewPurge:
        return NewPurge(
            what=Purged.RESULT,
            rule=f"retention.result_days: {self._settings.result_days:g}",
            study_id=job.study_id,
            study_key=self._parts.study_key(job.study_instance_uid),
            files=len(contents),
            size_bytes=sum(path.stat().st_size for path in contents),
            digests_sha256=digest_of(_digests(contents)),
        )

    def _finish(self, purge: PurgeRecord) -> bool:
        """Delete what a purge has to, and close the proof; False when the disk refuses, or the node stops."""
        try:
            whole = self._delete_images(purge) if purge.what is Purged.INPUT else self._delete_result(purge)
        except StorageError:
            return False  # tried again at the next pass
        if not whole:
            return False
        with self._parts.ledger.transaction() as transaction:
            transaction.purges.end(purge.id, at=self._parts.now())
        self._tell(purge)
        return True

    def _delete_images(self, purge: PurgeRecord) -> bool:
        while not self._stopping():
            with self._parts.ledger.transaction() as transaction:
                files = transaction.purges.files(purge.id, limit=FILES_AT_ONCE)
                self._parts.store.delete(files.values())
                transaction.purges.deleted(list(files))
            if not files:
                return True
        return False

    def _delete_result(self, purge: PurgeRecord) -> bool:
        with self._parts.ledger.transaction() as transaction:
            key = transaction.purges.job_key(purge.id)
            if key is not None:  # else the job was asked for again meanwhile
                self._parts.store.withdraw_result(key)
        if key is not None:
            self._parts.store.delete_withdrawn(key)
        return True

    def _tell(self, purge: PurgeRecord) -> None:
        self._parts.observer(
            DataDeleted(
                what=purge.what.value,
                study_key=purge.study_key,
                files=purge.files,
                size_bytes=purge.size_bytes,
                digests_sha256=purge.digests_sha256,
                purge=purge.id,
            )
        )


def _digests(paths: Iterable[Path]) -> Iterable[str]:
    for path in paths:
        with path.open("rb") as stream:
            yield hashlib.file_digest(stream, "sha256").hexdigest()


def _series_of(path: Path) -> str:
    """Return the series of a result object; "" when its file cannot be read."""
    try:
        return str(read_attributes(path, ("SeriesInstanceUID",)).get("SeriesInstanceUID") or "")
    except (InputError, OSError):
        return ""
