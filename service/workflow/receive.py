# SPDX-License-Identifier: Apache-2.0
"""Takes instances in: STORED is said only when the file is flushed and the ledger has committed."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from service.dicom.scan import Scanner
from service.domain.entry import StudyRecord
from service.domain.errors import AdmissionError, StorageError
from service.domain.event import AdmissionRefused, InstanceReceived
from service.domain.fault import Fault
from service.domain.instance import AttributeValue, Instance
from service.domain.provenance import is_own_result
from service.ports import IncomingInstance, StoreOutcome
from service.ports.ledger import LedgerTransaction
from service.ports.store import ArrivedFile
from service.settings import Settings
from service.workflow.close import FETCHING_SECONDS, PROBE_SECONDS, arm_closer
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
        self._source_ae_titles = _source_ae_titles(parts.settings)
        self._naming: frozenset[str] = frozenset()
        """Senders that have named this node as the Move Originator: what they send without is not what it asked for."""
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
        enter = partial(self._enter, instance=instance, kept=kept, incoming=incoming)
        outcome, obsolete = self._parts.ledger.together(enter)
        if outcome is StoreOutcome.CONFLICT:
            self._quarantine.conflict(instance, kept, peer=incoming.peer)
        if obsolete:
            self._parts.store.discard(kept)
        return outcome

    def _enter(
        self, transaction: LedgerTransaction, *, instance: Instance, kept: ArrivedFile, incoming: IncomingInstance
    ) -> tuple[StoreOutcome, bool]:
        """Return what became of the instance, and whether its file is of no use."""
        studies, uid = transaction.studies, instance.study_instance_uid
        if studies.is_result(instance.sop_instance_uid):
            return StoreOutcome.OWN_RESULT, True
        fetched = self._is_fetched(transaction, incoming, uid)
        known = studies.find_instance(instance.sop_instance_uid)
        if known is None:
            at = self._parts.steady()
            self._arm(transaction, studies.add_instance(instance, peer=incoming.peer, at=at, fetched=fetched), at=at)
            return StoreOutcome.STORED, False
        if known.sha256 == instance.sha256 and (known.is_deleted or not known.path.is_file()):
            # It was deleted, or lost from the disk, which doctor told of.
            return self._restore(transaction, instance, kept, peer=incoming.peer, fetched=fetched)
        if not fetched:
            self._claim(transaction, uid)
        if known.sha256 == instance.sha256:
            return StoreOutcome.DUPLICATE, known.path != kept.path
        return StoreOutcome.CONFLICT, True

    def _is_fetched(self, transaction: LedgerTransaction, incoming: IncomingInstance, study_instance_uid: str) -> bool:
        """Say whether an instance comes because this node asked for its study.

        An archive says so by the Move Originator (PS3.7 9.1.1.1.9). Of one that never does, what is asked for counts as
        such until it has said that it sent everything.
        """
        originator = incoming.move_originator
        if originator:
            ours = originator == self._parts.settings.node.ae_title
            self._naming |= {incoming.calling_ae} if ours else set()
        else:
            ours = incoming.calling_ae in self._source_ae_titles - self._naming
        return ours and transaction.fetches.is_asked(study_instance_uid, still=not originator)

    def _claim(self, transaction: LedgerTransaction, study_instance_uid: str) -> None:
        """Make a study that was fetched an ordinary one: somebody sends it now, and wants to have results."""
        study = transaction.studies.find(study_instance_uid)
        if study is not None and study.fetched:
            at = self._parts.steady()
            self._arm(transaction, transaction.studies.touch(study_instance_uid, at=at, fetched=False), at=at)

    def _restore(
        self, transaction: LedgerTransaction, instance: Instance, kept: ArrivedFile, *, peer: str, fetched: bool
    ) -> tuple[StoreOutcome, bool]:
        """Take in again what was deleted, as if it were new: routing sees that the same work is done already."""
        if not kept.path.exists():  # the purge of the first copy took it: both have the same name
            return StoreOutcome.OUT_OF_RESOURCES, False
        at = self._parts.steady()
        self._arm(transaction, transaction.studies.restore_instance(instance, peer=peer, at=at, fetched=fetched), at=at)
        return StoreOutcome.STORED, False

    def _arm(self, transaction: LedgerTransaction, study: StudyRecord, *, at: float) -> None:
        """Have the study looked at soon; one that is being fetched is looked at when all of it is here."""
        evaluate_at = at + FETCHING_SECONDS if study.fetched else max(at, study.evaluated_at + PROBE_SECONDS)
        arm_closer(transaction, study, evaluate_at=evaluate_at, now=at)

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


def _source_ae_titles(settings: Settings) -> frozenset[str]:
    """Return the AE title of the archive that older studies are fetched from, where there is one."""
    source = settings.priors.source if settings.priors is not None else None
    return frozenset(entry.ae_title for entry in settings.destinations if entry.name == source)


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
