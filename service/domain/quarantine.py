# SPDX-License-Identifier: Apache-2.0
"""What was not let in, and the studies that killed their worker: what is remembered of each."""

from dataclasses import dataclass
from pathlib import Path

from service.domain.result import Reason

CONFLICT = "conflict"
"""Other bytes came under a known SOP Instance UID: the first ones stay."""
POISON = "poison"
"""A study killed its worker twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewQuarantined:
    """Something to keep aside. `key` is its identity: the same bytes, or the same job, are kept once.

    `path` is None for a study, and for an object too large to keep. `offset` is where a fault lies in the file.
    `job_key`, `inputs_sha256`, `ended_by` (what ended the worker, for example "SIGKILL"), `stage` and `flags` (what
    routing had noted) are of a study alone.
    """

    key: str
    reason: str
    message: str
    peer: str
    study_instance_uid: str = ""
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    transfer_syntax_uid: str = ""
    calling_ae: str = ""
    path: Path | None = None
    sha256: str = ""
    size_bytes: int = 0
    offset: int = 0
    job_key: str = ""
    inputs_sha256: str = ""
    ended_by: str = ""
    stage: str = ""
    flags: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined(NewQuarantined):
    """A row of the quarantine: `times` says how often it came, first at `first_at` and last at `last_at`."""

    id: int
    times: int
    first_at: float
    last_at: float
