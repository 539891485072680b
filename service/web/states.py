# SPDX-License-Identifier: Apache-2.0
"""What each state is called, in English; `words` has the same in Japanese.

A tone is a word as well as a colour: nothing on the page is told by colour alone.
"""

from enum import StrEnum

from service.domain.entry import CommitmentState, DeliveryState, JobState
from service.domain.fault import Fault
from service.domain.fetch import FetchOutcome
from service.domain.quarantine import CONFLICT, POISON
from service.ports.drift import DriftMode
from service.ports.status_page import GoldenState


class Tone(StrEnum):
    """How much something wants to be looked at."""

    GOOD = "good"
    WAITING = "waiting"
    BAD = "bad"
    PLAIN = "plain"


JOBS = {
    JobState.QUEUED: "waiting for analysis",
    JobState.ANALYSED: "analysed, result being written",
    JobState.ENCODED: "result on its way",
    JobState.FINISHED: "done",
    JobState.SUPERSEDED: "replaced by a later set of images",
    JobState.FAILED: "FAILED: no result could be written",
}
JOB_TONES = {
    JobState.QUEUED: Tone.WAITING,
    JobState.ANALYSED: Tone.WAITING,
    JobState.ENCODED: Tone.WAITING,
    JobState.FINISHED: Tone.GOOD,
    JobState.SUPERSEDED: Tone.PLAIN,
    JobState.FAILED: Tone.BAD,
}

DELIVERIES = {
    DeliveryState.WAITING: "not due yet",
    DeliveryState.PENDING: "to send",
    DeliveryState.STORED: "stored, commitment asked for",
    DeliveryState.DELIVERED: "stored",
    DeliveryState.COMMITTED: "committed",
    DeliveryState.REFUSED: "REFUSED",
    DeliveryState.DECLINED: "kind not taken",
    DeliveryState.UNNEEDED: "not needed",
    DeliveryState.HELD: "HELD",
    DeliveryState.RETIRED: "replaced by a later result",
    DeliveryState.ABANDONED: "ABANDONED: destination not configured",
}
DELIVERY_TONES = {
    DeliveryState.WAITING: Tone.PLAIN,
    DeliveryState.PENDING: Tone.WAITING,
    DeliveryState.STORED: Tone.WAITING,
    DeliveryState.DELIVERED: Tone.GOOD,
    DeliveryState.COMMITTED: Tone.GOOD,
    DeliveryState.REFUSED: Tone.BAD,
    DeliveryState.DECLINED: Tone.PLAIN,
    DeliveryState.UNNEEDED: Tone.PLAIN,
    DeliveryState.HELD: Tone.BAD,
    DeliveryState.RETIRED: Tone.PLAIN,
    DeliveryState.ABANDONED: Tone.BAD,
}

CLOSED = {
    "complete": "all images that the pipelines want are here",
    "settled": "it looked complete, and nothing more came for the settle period",
    "quiet": "nothing more came for the quiet period",
    "fetched": "the archive has sent all of it, because this node asked for it",
    "fetch_incomplete": "the archive did not send all that this node asked for: it is not compared with",
}
"""Why a study was taken as complete, by the reason that `workflow/close` gives."""

FETCHES = {
    FetchOutcome.WAITING: "older study: the archive is asked, or its study is on its way",
    FetchOutcome.COMPARABLE: "older study: it came from the archive, and there is something to compare with",
    FetchOutcome.NONE: "older study: the archive has none",
    FetchOutcome.UNREACHABLE: "older study: the archive COULD NOT BE ASKED",
    FetchOutcome.REFUSED: "older study: the archive REFUSED the search, or to send",
    FetchOutcome.INCOMPLETE: "older study: the archive DID NOT SEND ALL of it",
    FetchOutcome.OTHER_PATIENT: "older study: the archive sent that of ANOTHER PATIENT",
    FetchOutcome.UNUSABLE: "older study: it came from the archive and could not be analysed",
    FetchOutcome.LATE: "older study: it was NOT HERE IN TIME",
}
FETCH_TONES = {
    **dict.fromkeys(FetchOutcome, Tone.BAD),
    FetchOutcome.WAITING: Tone.WAITING,
    FetchOutcome.COMPARABLE: Tone.GOOD,
    FetchOutcome.NONE: Tone.PLAIN,
}

COMMITMENTS = {
    CommitmentState.OPEN: "waits for the report",
    CommitmentState.ANSWERED: "the report came",
    CommitmentState.EXPIRED: "no report came in time",
}

CIRCUITS = ("reachable", "being probed", "NOT REACHABLE", "PAUSED by a person")
"""By the number that `QueueCounts.circuits` has: closed, half-open, open, and whatever else is not tried."""
CIRCUIT_TONES = (Tone.GOOD, Tone.WAITING, Tone.BAD, Tone.WAITING)
NOT_REACHABLE = 2

GOLDEN = {
    GoldenState.PASSED: "passed",
    GoldenState.FAILED: "FAILED",
    GoldenState.UNKNOWN: "not tested yet",
}
GOLDEN_TONES = {GoldenState.PASSED: Tone.GOOD, GoldenState.FAILED: Tone.BAD, GoldenState.UNKNOWN: Tone.WAITING}

ROLES = {"active": "active", "shadow": "shadow (compared only)"}

DRIFTS = {DriftMode.USUAL: "usual", DriftMode.ALARM: "ALARM", DriftMode.LEARNING: "learning, nothing compared yet"}
DRIFT_TONES = {DriftMode.USUAL: Tone.GOOD, DriftMode.ALARM: Tone.BAD, DriftMode.LEARNING: Tone.WAITING}

_DAMAGED = "The sender writes objects that cannot be read safely; have its vendor look at it, then send again."
_OLD = (
    "Have the sender's vendor look at it; for old equipment that is known, "
    "'admission: lenient' forgives harmless kinds."
)
_WHOSE = "Whose object it is cannot be told for certain; correct it at the sender, then send again."
_BOMB = "No equipment writes such objects; find out what sent it."

SET_ASIDE = {
    Fault.NOT_PART10.value: ("no DICOM file", _DAMAGED),
    Fault.TRANSFER_SYNTAX.value: ("transfer syntax", _DAMAGED),
    Fault.COMMAND_UID.value: ("bad UID in the request", _DAMAGED),
    Fault.TRUNCATED.value: ("cut short", "The object did not come whole; send it again from its source."),
    Fault.DUPLICATE_ELEMENT.value: ("element given twice", _WHOSE),
    Fault.ELEMENT_ORDER.value: ("elements out of order", _OLD),
    Fault.WRONG_GROUP.value: ("element of a wrong group", _DAMAGED),
    Fault.VALUE_REPRESENTATION.value: ("unknown value representation", _OLD),
    Fault.ODD_LENGTH.value: ("odd length", _OLD),
    Fault.UNDEFINED_LENGTH.value: ("undefined length", _DAMAGED),
    Fault.DELIMITER.value: ("delimiter out of place", _DAMAGED),
    Fault.TOO_DEEP.value: ("nested too deeply", _BOMB),
    Fault.TOO_MANY_ITEMS.value: ("too many items", _BOMB),
    Fault.TOO_MANY_ELEMENTS.value: ("too many elements", _BOMB),
    Fault.TOO_MANY_VALUES.value: ("too many values", _BOMB),
    Fault.CHARACTER_SET.value: ("character set", _DAMAGED),
    Fault.IDENTITY.value: ("ambiguous identity", _WHOSE),
    Fault.UID_MISMATCH.value: ("UID of another object", _WHOSE),
    CONFLICT: (
        "other bytes under a known UID",
        "The first copy stays; compare both, and give the changed one a UID of its own at the sender.",
    ),
    POISON: (
        "analysis ended its process twice",
        "Read the study without CAD, and report the study key; 'dokuei quarantine release' tries again.",
    ),
}
"""What lies in the quarantine and what to do, by reason."""
UNKNOWN_REMEDY = "See 'dokuei quarantine list'."
