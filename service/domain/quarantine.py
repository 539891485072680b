# SPDX-License-Identifier: Apache-2.0
"""Why something is not let in, and what is remembered of it: the closed sets behind metrics and `dokuei quarantine`."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Fault(StrEnum):
    """What is wrong with the structure or the identity of an object that a peer sent."""

    NOT_PART10 = "not_part10"
    TRANSFER_SYNTAX = "transfer_syntax"
    COMMAND_UID = "command_uid"
    """A UID of the C-STORE command itself breaks PS3.5 9.1: the object is refused unread, and nothing is kept."""
    TRUNCATED = "truncated"
    """A length reaches past the end of its container or of the file, or an end is missing."""
    DUPLICATE_ELEMENT = "duplicate_element"
    ELEMENT_ORDER = "element_order"
    WRONG_GROUP = "wrong_group"
    """An element of a group that no data set may hold (PS3.5 7.1), file meta information for one."""
    VALUE_REPRESENTATION = "value_representation"
    """No VR of PS3.5 6.2: damaged, or implicit VR where explicit was announced."""
    ODD_LENGTH = "odd_length"
    UNDEFINED_LENGTH = "undefined_length"
    DELIMITER = "delimiter"
    TOO_DEEP = "too_deep"
    TOO_MANY_ITEMS = "too_many_items"
    TOO_MANY_ELEMENTS = "too_many_elements"
    TOO_MANY_VALUES = "too_many_values"
    CHARACTER_SET = "character_set"
    IDENTITY = "identity"
    """A UID, Patient ID, Accession Number or name that two readers could read differently."""
    UID_MISMATCH = "uid_mismatch"
    """The data set's SOP class or instance UID is not the one of the command (PS3.4 B.2.3)."""


TOLERABLE = frozenset((Fault.ELEMENT_ORDER, Fault.VALUE_REPRESENTATION, Fault.ODD_LENGTH, Fault.TRUNCATED))
"""Faults of which a lenient admission forgives the harmless kinds; the others are never forgiven."""

CONFLICT = "conflict"
"""Other bytes came under a known SOP Instance UID: the first ones stay."""
POISON = "poison"
"""A study killed its worker twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewQuarantined:
    """Something to keep aside. `key` is its identity: the same bytes, or the same job, are kept once.

    `path` is None for a study. `job_key`, `inputs_sha256`, `ended_by` (what ended the worker, for example "SIGKILL")
    and `stage` are of a study alone; `offset` is where a structural fault lies in the file.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined(NewQuarantined):
    """A row of the quarantine: `times` says how often it came, first at `first_at` and last at `last_at`."""

    id: int
    times: int
    first_at: float
    last_at: float
