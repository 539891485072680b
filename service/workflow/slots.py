# SPDX-License-Identifier: Apache-2.0
"""What becomes of each object of a result at one destination, after it has answered (results.md 0.1, rule 2).

Objects of one slot say the same in different SOP classes: the destination is sent the first that it takes. An object
that it does not take fails nothing while it has the result in words; a destination that has nothing is loud.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from service.domain.entry import AT_THE_DESTINATION, DeliveryRecord, DeliveryState
from service.settings.results import STATEMENTS

PERMANENT_TRIES = 3
"""So often is an object offered that the destination refuses for a reason that time does not mend."""
SOP_CLASS_NOT_SUPPORTED = 0x0122
DUPLICATE_SOP_INSTANCE = 0x0111
"""It has an object with this UID; ours are derived, so that it is this one."""
ATTRIBUTE_WARNINGS = (0x0107, 0x0116)
"""Attribute list error, and attribute value out of range: done, with a remark (PS3.7 C.5)."""
PERMANENT_STATUSES = frozenset(
    {
        0x0106,  # invalid attribute value
        0x0112,  # no such object instance
        0x0115,  # invalid argument value
        0x0117,  # invalid object instance: the UID breaks its rules
        0x0118,  # no such object class
        0x0119,  # class-instance conflict
        0x0120,  # missing attribute
        0x0121,  # missing attribute value
        SOP_CLASS_NOT_SUPPORTED,
        0x0124,  # not authorised
        0x0211,  # unrecognised operation
        0x0212,  # mistyped argument
    }
)
"""Refusals of PS3.7 annex C that speak of the object or of the destination's configuration.

The others are of the moment: 0x0110 processing failure, 0x0210 duplicate invocation, 0x0213 resource limitation.
"""
REPLACEABLE = frozenset({DeliveryState.PENDING, DeliveryState.REFUSED, DeliveryState.DECLINED})
"""States of a form that is not needed any more once the destination has another."""

Statuses = Mapping[str, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Where a job's objects stand at a destination: of those that were offered, and of those that are not needed."""

    offered: Mapping[int, DeliveryState]
    unneeded: tuple[int, ...]


def in_order(rows: Sequence[DeliveryRecord]) -> list[DeliveryRecord]:
    """Return the objects in the order of sending: what says the outcome first, of a slot the best form first."""
    return sorted(rows, key=lambda row: (row.kind not in STATEMENTS, row.slot != "", row.slot, row.rank, row.id))


def first_forms(rows: Sequence[DeliveryRecord]) -> list[DeliveryRecord]:
    """Return the objects with one form of each slot, the best that is still to be offered."""
    best = {row.slot: row.id for row in sorted(rows, key=lambda row: row.rank, reverse=True) if row.slot}
    return [row for row in rows if best.get(row.slot, row.id) == row.id]


def judge(
    rows: Sequence[DeliveryRecord],
    pending: Collection[int],
    statuses: Statuses,
    *,
    taken: DeliveryState = DeliveryState.DELIVERED,
) -> Verdict:
    """Return where each object stands.

    Parameters
    ----------
    rows
        All deliveries of the job to the destination; `pending` are the rows of those that were sent now.
    statuses
        The answers, see `ports.Destination.send`.
    taken
        The state of an object that the destination has stored.
    """
    sent = [row for row in rows if row.id in pending and row.sop_instance_uid in statuses]
    stored = {row.id for row in sent if is_taken(statuses[row.sop_instance_uid])}
    there = [row for row in rows if row.id in stored or row.state in AT_THE_DESTINATION]
    filled = {row.slot for row in there if row.slot}
    told = is_told(rows, there)
    offered = {
        row.id: taken if row.id in stored else _refused_state(row, rows, statuses, told=told or row.slot in filled)
        for row in sent
    }
    unneeded = [row.id for row in rows if row.slot in filled and row.state in REPLACEABLE and row.id not in stored]
    return Verdict(offered=offered, unneeded=tuple(unneeded))


def is_told(rows: Sequence[DeliveryRecord], there: Sequence[DeliveryRecord]) -> bool:
    """Say whether the destination has the result in words, or anything of it where no words were meant for it."""
    statements = [row for row in rows if row.kind in STATEMENTS]
    return any(row.kind in STATEMENTS for row in there) if statements else bool(there)


def _refused_state(
    row: DeliveryRecord, rows: Sequence[DeliveryRecord], statuses: Statuses, *, told: bool
) -> DeliveryState:
    status = statuses[row.sop_instance_uid]
    if status != SOP_CLASS_NOT_SUPPORTED:
        return next_state(status, refusals=row.permanent_refusals)
    if told or _has_alternative(row, rows, statuses):
        return DeliveryState.DECLINED
    if row.kind not in STATEMENTS and _is_telling(rows, statuses):
        return DeliveryState.PENDING  # whether that matters shows when the words have come through, or have not
    return next_state(status, refusals=row.permanent_refusals)


def _is_telling(rows: Sequence[DeliveryRecord], statuses: Statuses) -> bool:
    """Say whether something in words may still get through, which the destination has not refused for good."""
    words = [row for row in rows if row.kind in STATEMENTS and row.state is DeliveryState.PENDING]
    return any(not is_permanent(statuses.get(row.sop_instance_uid)) for row in words)


def _has_alternative(row: DeliveryRecord, rows: Sequence[DeliveryRecord], statuses: Statuses) -> bool:
    """Say whether a simpler form of the same is still to be offered."""
    others = [other for other in rows if row.slot and other.slot == row.slot and other.rank > row.rank]
    return any(other.state is DeliveryState.PENDING and other.sop_instance_uid not in statuses for other in others)


def is_taken(status: int | None) -> bool:
    """Say whether the destination has the object: success, a warning (PS3.4 B.2.3), or it had it before."""
    if status is None:
        return False
    return status in {0x0000, DUPLICATE_SOP_INSTANCE, *ATTRIBUTE_WARNINGS} or status & 0xF000 == 0xB000


def is_permanent(status: int | None) -> bool:
    """Say whether the answer is a refusal that time does not mend; out of resources (0xA7xx) and silence do."""
    if status is None:
        return False
    return status in PERMANENT_STATUSES or status & 0xFF00 == 0xA900 or status & 0xF000 == 0xC000


def next_state(status: int | None, *, refusals: int, taken: DeliveryState = DeliveryState.DELIVERED) -> DeliveryState:
    """Return where an object stands after an answer, when it was refused for good `refusals` times before."""
    if is_taken(status):
        return taken
    if is_permanent(status) and refusals + 1 >= PERMANENT_TRIES:
        return DeliveryState.REFUSED
    return DeliveryState.PENDING
