# SPDX-License-Identifier: Apache-2.0
"""Takes instances in: STORED is said only when the file is flushed and the ledger has committed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from service.dicom.header import read_identified_attributes
from service.domain.errors import DicomStructureError, StorageError
from service.domain.event import InstanceReceived
from service.domain.instance import AttributeValue, Instance
from service.domain.provenance import is_own_result
from service.ports import IncomingInstance, StoreOutcome
from service.ports.ledger import LedgerTransaction
from service.ports.store import ArrivedFile
from service.workflow.close import PROBE_SECONDS, arm_closer
from service.workflow.context import FlowParts
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

    Raises
    ------
    ConfigurationError
        A rule looks at an attribute that DICOM does not have.
    """

    def __init__(self, parts: FlowParts) -> None:
        check_keywords(parts.settings.rules)
        self._parts = parts
        self._extra_keywords = tuple(sorted(keywords(parts.settings.rules)))

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
        try:
            attributes = read_identified_attributes(arrived.path, self._extra_keywords)
        except DicomStructureError:
            return _Received(outcome=StoreOutcome.CANNOT_UNDERSTAND, size_bytes=arrived.size_bytes)
        outcome = self._refusal(incoming, attributes)
        if outcome is None:
            outcome = self._file(incoming, arrived, attributes=attributes)
        return _Received(
            outcome=outcome,
            size_bytes=arrived.size_bytes,
            study_instance_uid=str(attributes["StudyInstanceUID"]),
            modality=str(attributes.get("Modality") or ""),
        )

    def _refusal(self, incoming: IncomingInstance, attributes: Mapping[str, AttributeValue]) -> StoreOutcome | None:
        claimed = (incoming.sop_class_uid, incoming.sop_instance_uid)
        if (attributes.get("SOPClassUID"), attributes.get("SOPInstanceUID")) != claimed:
            return StoreOutcome.MISMATCH
        if incoming.study_instance_uid not in {"", attributes["StudyInstanceUID"]}:
            return StoreOutcome.MISMATCH
        return StoreOutcome.OWN_RESULT if is_own_result(attributes) else None

    def _file(
        self, incoming: IncomingInstance, arrived: ArrivedFile, *, attributes: Mapping[str, AttributeValue]
    ) -> StoreOutcome:
        # The file comes first: the ledger must never name one that a power cut could take away. Its name follows
        # from its content, so neither a retry nor a second association with the same instance can harm it.
        kept = replace(arrived, path=self._parts.store.keep(arrived))
        instance = _instance(incoming, kept, attributes=attributes)
        with self._parts.ledger.transaction() as transaction:
            outcome, obsolete = self._enter(transaction, instance, kept=kept, peer=incoming.peer)
        if obsolete:
            self._parts.store.discard(kept)
        return outcome

    def _enter(
        self, transaction: LedgerTransaction, instance: Instance, *, kept: ArrivedFile, peer: str
    ) -> tuple[StoreOutcome, bool]:
        """Return what became of the instance, and whether its file is of no use."""
        studies, now = transaction.studies, self._parts.now()
        if studies.is_result(instance.sop_instance_uid):
            return StoreOutcome.OWN_RESULT, True
        known = studies.find_instance(instance.sop_instance_uid)
        if known is None:
            study = studies.add_instance(instance, peer=peer, at=now)
            arm_closer(transaction, study, evaluate_at=max(now, study.evaluated_at + PROBE_SECONDS), now=now)
            return StoreOutcome.STORED, False
        if known.sha256 == instance.sha256:
            return StoreOutcome.DUPLICATE, known.path != kept.path
        aside = replace(instance, path=self._parts.store.set_aside(kept))
        studies.add_conflict(aside, peer=peer, at=now)
        return StoreOutcome.CONFLICT, False

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
            )
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
