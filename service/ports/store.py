# SPDX-License-Identifier: Apache-2.0
"""The seam to the files of instances and results."""

from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivedFile:
    """A data set on stable storage under a temporary path, not yet in the ledger; `name` follows from its content."""

    path: Path
    name: str
    sha256: str
    size_bytes: int


class InstanceStore(Protocol):
    """Files of instances: complete and flushed under their final name, or not there at all."""

    def write(
        self,
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
        dataset: Iterable[bytes | memoryview],
    ) -> ArrivedFile:
        """Stream a data set to a temporary DICOM file and flush it.

        Raises
        ------
        OutOfSpaceError
            Free space is below the reserve, or ran out on the way; nothing is left behind.
        StorageError
            The disk refused.
        """

    def keep(self, arrived: ArrivedFile) -> Path:
        """Give the file its final name, durably."""

    def set_aside(self, arrived: ArrivedFile) -> Path:
        """Give the file a place in the quarantine, durably, and leave it where it is; doing so twice is no harm."""

    def remove_aside(self, paths: Iterable[Path]) -> None:
        """Delete files of the quarantine, whose rows are gone."""

    def set_asides(self, *, older_than_seconds: float = 0.0) -> tuple[Path, ...]:
        """Return the files of the quarantine that are so old."""

    def discard(self, arrived: ArrivedFile) -> None:
        """Delete the file."""

    def delete(self, paths: Collection[Path]) -> None:
        """Delete files of instances, durably; what is gone already is no harm."""

    def withdraw_result(self, job_key: str) -> None:
        """Take the folder of a job's results away, durably, from where results lie."""

    def delete_withdrawn(self, job_key: str) -> None:
        """Delete what was taken away."""

    def result_contents(self, job_key: str) -> tuple[Path, ...]:
        """Return all files in the folder of a job's results; none when there is no folder."""

    def purging(self) -> AbstractContextManager[bool]:
        """Say whether things may be deleted while the block runs: not while a backup is made."""

    def result_folder(self, job_key: str) -> Path:
        """Return the folder of a job's results; made when it is missing."""

    def remove_partial(self) -> int:
        """Delete what interrupted writes of this process left; return their number. Only while it receives nothing."""

    def remove_left(self, *, present: Collection[str], grace_seconds: float) -> int:
        """Delete what nobody will finish: results that were withdrawn, and writes of members that are not present.

        Only what is older than `grace_seconds`; return the number of members.
        """
