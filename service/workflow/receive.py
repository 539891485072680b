# SPDX-License-Identifier: Apache-2.0
"""Takes instances in: STORED is said only when the file is flushed and the ledger has committed."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from service.dicom.scan import Scanner
from service.domain.errors import AdmissionError, StorageError
from service.domain.event import AdmissionRefused, InstanceReceived
from service.domain.fault import Fault
from service.domain.instance import AttributeValue, Instance
from service.domain.provenance import is_own_result
from service.ports import IncomingInstance, StoreOutcome
from service.ports.ledger import LedgerTransaction
from service.ports.store import ArrivedFile
from service.workflow.close import PROBE_SECONDS, arm_closer
from service.workflow.context import FlowParts
from service.workflow.quarantine import Quarantine
from service.workflow.rules import check_keywords, keywords

UID = re.compile(r"[0-9.]{1,64}")
"""What a UID may be made of and how long it may be (PS3.5 section 9.1): enough to write it into a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Received:
    """What became of an instance, and what the event says of it."""

    outcome: StoreOutcome
    size_bytes: int = 0
    study_instance_uid: str = ""
    modality: str = ""


class StoreInstance:
    """The service behind C-STORE.

    Parameters
    ----------
    forgiving
        Admit leniently whoever sent it: for what a person lets out of the quarantine.

    Raises
    ------
    ConfigurationError
        A rule looks at an attribute that DICOM does not have.
    """

    def __init__(self, parts: FlowParts, *, forgiving: bool = False) -> None:
        check_keywords(parts.settings.rules)
        self._parts = parts
        self._quarantine = Quarantine(parts)
        self._scanner = Scanner(sorted(keywords(parts.settings.rules)))
        self._forgiving = forgiving
        self._lenient = frozenset(peer.name for peer in parts.settings.peers if peer.admission == "lenient")

    def __call__(self, incoming: IncomingInstance) -> StoreOutcome:
        """Store the instance; whatever is not stored leaves nothing behind."""
        started = self._parts.clock.monotonic()
        try:
            received = self._receive(incoming)
        except StorageError:
            received = _Received(outcome=StoreOutcome.OUT_OF_RESOURCES)
        self._observe(incoming, received, seconds=self._parts.clock.monotonic() - started)
        return received.outcome

    def _receive(self, incoming: IncomingInstance) -> _Received:
        uids = (incoming.sop_class_uid, incoming.sop_instance_uid, incoming.transfer_syntax_uid)
        if not all(UID.fullmatch(uid) for uid in uids):
            self._tell(incoming, Fault.COMMAND_UID, detail="a UID of the command breaks PS3.5 9.1; correct the sender")
            return _Received(outcome=StoreOutcome.CANNOT_UNDERSTAND)
        arrived = self._parts.store.write(
            sop_class_uid=incoming.sop_class_uid,
            sop_instance_uid=incoming.sop_instance_uid,
            transfer_syntax_uid=incoming.transfer_syntax_uid,
            dataset=incoming.dataset,
        )
        try:
            return self._admit(incoming, arrived)
        finally:
            self._parts.store.discard(arrived)  # a kept file has moved away from here

    def _admit(self, incoming: IncomingInstance, arrived: ArrivedFile) -> _Received:
        lenient = self._forgiving or incoming.peer in self._lenient
        claimed = (incoming.sop_class_uid, incoming.sop_instance_uid)
        try:
            attributes = self._scanner.scan(arrived.path, lenient=lenient, claimed=claimed)
            _check_study(incoming, attributes)
        except AdmissionError as error:
            return self._refuse(incoming, arrived, error)
        except OSError as error:
            raise StorageError(f"storage.folder cannot be read: {os.strerror(error.errno or 0)}") from error
        outcome = StoreOutcome.OWN_RESULT
        if not is_own_result(attributes):
            outcome = self._file(incoming, arrived, attributes=attributes)
        return _Received(
            outcome=outcome,
            size_bytes=arrived.size_bytes,
            study_instance_uid=str(attributes["StudyInstanceUID"]),
            modality=str(attributes.get("Modality") or ""),
        )

    def _refuse(self, incoming: IncomingInstance, arrived: ArrivedFile, error: AdmissionError) -> _Received:
        mismatch = error.fault is Fault.UID_MISMATCH
        self._tell(incoming, error.fault, detail=str(error), study_instance_uid=error.study_instance_uid)
        self._quarantine.refused(incoming, arrived, error)
        return _Received(
            outcome=StoreOutcome.MISMATCH if mismatch else StoreOutcome.CANNOT_UNDERSTAND,
            size_bytes=arrived.size_bytes,
            study_instance_uid=error.study_instance_uid,
        )

    def _tell(self, incoming: IncomingInstance, fault: Fault, *, detail: str, study_instance_uid: str = "") -> None:
        key = self._parts.study_key(study_instance_uid) if study_instance_uid else ""
        self._parts.observer(AdmissionRefused(peer=incoming.peer, reason=fault.value, study_key=key, detail=detail))

    def _file(
        self, incoming: IncomingInstance, arrived: ArrivedFile, *, attributes: Mapping[str, AttributeValue]
    ) -> StoreOutcome:
        # The file comes first: the ledger must never name one that a power cut could take away. Its name follows
        # from its content, so neither a retry nor a second association with the same instance can harm it.
        kept = replace(arrived, path=self._parts.store.keep(arrived))
        instance = _instance(incoming, kept, attributes=attributes)
        enter = partial(self._enter, instance=instance, kept=kept, peer=incoming.peer)
        outcome, obsolete = self._parts.ledger.together(enter)
        if outcome is StoreOutcome.CONFLICT:
            self._quarantine.conflict(instance, kept, peer=incoming.peer)
        if obsolete:
            self._parts.store.discard(kept)
        return outcome

    def _enter(
        self, transaction: LedgerTransaction, *, instance: Instance, kept: ArrivedFile, peer: str
    ) -> tuple[StoreOutcome, bool]:
        """Return what became of the instance, and whether its file is of no use."""
        studies, now = transaction.studies, self._parts.steady()
        if studies.is_result(instance.sop_instance_uid):
            return StoreOutcome.OWN_RESULT, True
        known = studies.find_instance(instance.sop_instance_uid)
        if known is None:
            study = studies.add_instance(instance, peer=peer, at=now)
            arm_closer(transaction, study, evaluate_at=max(now, study.evaluated_at + PROBE_SECONDS), now=now)
            return StoreOutcome.STORED, False
        if known.sha256 == instance.sha256:
            if known.is_deleted or not known.path.is_file():  # lost from the disk, which doctor told of
                return self._restore(transaction, instance, kept, peer=peer)
            return StoreOutcome.DUPLICATE, known.path != kept.path
        return StoreOutcome.CONFLICT, True

    def _restore(
        self, transaction: LedgerTransaction, instance: Instance, kept: ArrivedFile, *, peer: str
    ) -> tuple[StoreOutcome, bool]:
        """Take in again what was deleted, as if it were new: routing sees that the same work is done already."""
        if not kept.path.exists():  # the purge of the first copy took it: both have the same name
            return StoreOutcome.OUT_OF_RESOURCES, False
        now = self._parts.steady()
        study = transaction.studies.restore_instance(instance, peer=peer, at=now)
        arm_closer(transaction, study, evaluate_at=max(now, study.evaluated_at + PROBE_SECONDS), now=now)
        return StoreOutcome.STORED, False

    def _observe(self, incoming: IncomingInstance, received: _Received, *, seconds: float) -> None:
        uid = received.study_instance_uid
        self._parts.observer(
            InstanceReceived(
                peer=incoming.peer,
                modality=received.modality,
                outcome=received.outcome.value,
                size_bytes=received.size_bytes,
                seconds=seconds,
                study_key=self._parts.study_key(uid) if uid else "",
                association=incoming.association,
            )
        )


def _check_study(incoming: IncomingInstance, attributes: Mapping[str, AttributeValue]) -> None:
    """Refuse an instance of another study than the one that a DICOMweb request named."""
    if incoming.study_instance_uid not in {"", attributes["StudyInstanceUID"]}:
        raise AdmissionError(
            "(0020,000D) 'Study Instance UID' is not that of the URL (PS3.18 10.5.1); correct the sender",
            fault=Fault.UID_MISMATCH,
        )


def _instance(incoming: IncomingInstance, kept: ArrivedFile, *, attributes: Mapping[str, AttributeValue]) -> Instance:
    return Instance(
        sop_instance_uid=incoming.sop_instance_uid,
        sop_class_uid=incoming.sop_class_uid,
        study_instance_uid=str(attributes["StudyInstanceUID"]),
        series_instance_uid=str(attributes["SeriesInstanceUID"]),
        transfer_syntax_uid=incoming.transfer_syntax_uid,
        path=kept.path,
        sha256=kept.sha256,
        size_bytes=kept.size_bytes,
        calling_ae=incoming.calling_ae,
        attributes=attributes,
    )
