# SPDX-License-Identifier: Apache-2.0
"""Lets entries out of the quarantine, as far as that can be done without harm to a patient."""

from service.dicom.scan import read_data_set
from service.domain.fault import Fault
from service.domain.quarantine import CONFLICT, POISON, Quarantined
from service.ports import IncomingInstance, StoreOutcome
from service.workflow.context import FlowParts
from service.workflow.quarantine import Quarantine
from service.workflow.receive import StoreInstance
from service.workflow.stages import ANALYSE, task_id

NEVER = frozenset((Fault.IDENTITY, Fault.UID_MISMATCH, Fault.DUPLICATE_ELEMENT))
"""Two readers could take the object for two patients', or for two objects: no mode of admission changes that."""
ADVICE: dict[str, str] = {
    Fault.IDENTITY: "correct the object where it comes from and send it again; it is never let out, because its result "
    "could reach another patient's record",
    Fault.UID_MISMATCH: "the sender announced one object and sent another: report it to its vendor and send it again; "
    "it is never let out",
    Fault.DUPLICATE_ELEMENT: "have the sender write the element once and send it again; it is never let out, because "
    "readers differ in which of the two they take",
    Fault.TRUNCATED: "the transfer or the file at the sender is damaged: send it again from its source",
    Fault.CHARACTER_SET: "correct (0008,0005) at the sender; for a merely misspelt name, `release`, or set "
    "'admission: lenient' for this peer",
    Fault.ELEMENT_ORDER: "`release` it, or set 'admission: lenient' for this peer; report it to the vendor",
    Fault.ODD_LENGTH: "`release` it, or set 'admission: lenient' for this peer; report it to the vendor",
    Fault.VALUE_REPRESENTATION: "`release` it, or set 'admission: lenient' for this peer; if it stays, have it sent in "
    "Implicit VR Little Endian",
    CONFLICT: "compare it with the first copy: if the first one is the wrong one, correct the study at the PACS and "
    "send it under new UIDs (PS3.4 allows no second object under one UID); then `release --discard` this one",
    POISON: "look at what ended the worker; `release` analyses the study once more (after an update, for example), "
    "`release --discard` leaves it at its 'not analysed' result",
}
ADVICE_FOR_BOMBS = (
    "no equipment sends this by itself: find out what did; send the object again in a simpler form if it is real"
)


def advice(entry: Quarantined) -> str:
    """Return what a person can do about an entry."""
    return ADVICE.get(entry.reason, ADVICE_FOR_BOMBS)


class Release:
    """Lets one entry out."""

    def __init__(self, parts: FlowParts) -> None:
        self._parts = parts
        self._quarantine = Quarantine(parts)
        self._receive = StoreInstance(parts, forgiving=True)

    def __call__(self, entry: Quarantined) -> str:
        """Let the entry out; return "", or why it stays."""
        if entry.reason in NEVER or entry.reason == CONFLICT:
            return advice(entry)
        problem = self._again(entry) if entry.reason == POISON else self._readmit(entry)
        if not problem:
            self._quarantine.remove(entry)
        return problem

    def discard(self, entry: Quarantined) -> None:
        """Delete the entry."""
        self._quarantine.remove(entry)

    def _again(self, entry: Quarantined) -> str:
        with self._parts.ledger.transaction() as transaction:
            job = transaction.jobs.repeat(
                entry.job_key,
                flags=entry.flags,
                task_id=lambda row_id: task_id(ANALYSE, row_id, 0),
                at=self._parts.now(),
            )
        return "" if job else "later work on this study took its place; discard the entry"

    def _readmit(self, entry: Quarantined) -> str:
        if entry.path is None or not entry.path.is_file():
            return "its bytes were not kept (settings: quarantine.max_bytes); have it sent again"
        outcome = self._receive(
            IncomingInstance(
                peer=entry.peer,
                calling_ae=entry.calling_ae,
                sop_class_uid=entry.sop_class_uid,
                sop_instance_uid=entry.sop_instance_uid,
                transfer_syntax_uid=entry.transfer_syntax_uid,
                dataset=read_data_set(entry.path),
            )
        )
        if outcome in {StoreOutcome.STORED, StoreOutcome.DUPLICATE}:
            return ""
        return f"it was not let in leniently either ({outcome}): {advice(entry)}"
