# SPDX-License-Identifier: Apache-2.0
"""Audit messages on their way: as they are written, and as they wait for the collector."""

from dataclasses import dataclass

NOTICE = 5
"""Syslog severity: normal but significant (PS3.15 A.6)."""
WARNING = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditText:
    """An audit message as XML; it carries identity and goes into the ledger and to the collector, nowhere else."""

    severity: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """An audit message that waits; `id` grows in the order in which they were written."""

    id: int
    at: float
    severity: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """How many instances of one SOP class of one patient a peer sent for a revision of a study."""

    peer: str
    calling_ae: str
    study_instance_uid: str
    patient_id: str
    accession_number: str
    sop_class_uid: str
    count: int
