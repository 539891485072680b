# SPDX-License-Identifier: Apache-2.0
"""Deleting what is no longer needed: what is deleted, and the proof that stays."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Purged(StrEnum):
    """What a purge deletes."""

    INPUT = "input"
    """The files of a study's images."""
    RESULT = "result"
    """The folder of a job: its neutral result and its objects."""
    QUARANTINE = "quarantine"
    """What was not let in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPurge:
    """What is about to be deleted, and under which rule; `study_id` is None for the quarantine.

    `digests_sha256` is `digest_of` the digests of what is deleted: of data sets for images, of files for results.
    """

    what: Purged
    rule: str
    study_id: int | None
    study_key: str
    files: int
    size_bytes: int
    digests_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeRecord(NewPurge):
    """A purge in the ledger: the proof of what was deleted. `ended_at` is None until everything is gone."""

    id: int
    begun_at: float
    ended_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueJob:
    """A job whose folder may be deleted."""

    id: int
    key: str
    study_id: int
    study_instance_uid: str


def digest_of(digests: Iterable[str]) -> str:
    """Return SHA-256 over hexadecimal digests, sorted, one a line: anybody who has the list can make it again."""
    return hashlib.sha256("".join(f"{digest}\n" for digest in sorted(digests)).encode()).hexdigest()
