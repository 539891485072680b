# SPDX-License-Identifier: Apache-2.0
"""The storage SCU: sends result objects to one configured destination and reports each object's status.

It also asks an archive for storage commitment and for what it has, and tells modalities what we keep.
"""

from collections.abc import Collection, Iterable, Sequence

from pydicom import dcmread
from pydicom.filereader import read_file_meta_info
from pydicom.uid import UID

from service.domain.errors import (
    CommitmentUnsupportedError,
    DeliveryError,
    EchoUnsupportedError,
    QueryUnsupportedError,
)
from service.domain.event import ContextsNegotiated
from service.ports import CommitmentReport, EncodedObject, ObjectReference, Observer
from service.settings import DestinationSettings
from service.transport import commitment
from service.transport.commitment_scu import take_report, until_answer
from service.transport.data_set import encode
from service.transport.dimse import MEDIUM, CommandField, Elements, Tag, request
from service.transport.forms import choose_forms
from service.transport.negotiation import MAX_CONTEXTS, Accepted, silence_pynetdicom
from service.transport.opening import Opener
from service.transport.query_scu import find_instances
from service.transport.requestor import Requestor
from service.transport.sending import Part10
from service.transport.sop_classes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    STORAGE_COMMITMENT,
    STUDY_ROOT_FIND,
    UNCOMPRESSED,
    VERIFICATION,
)
from service.transport.statuses import SOP_CLASS_NOT_SUPPORTED, SUCCESS

PREAMBLE_BYTES = 132
META_GROUP_LENGTH_BYTES = 12
FINALLY_REFUSED = frozenset((0x0122, 0x0123, 0x0124, 0x0211))
"""Statuses of an N-ACTION that asking again does not change (PS3.7 annex C)."""


class StoreScu:
    """A destination for results, and an archive or modality to speak with about storage commitment.

    Parameters
    ----------
    ae_title
        Our own AE title, as the destination knows us.
    observer
        Is told when certificates are read, and which SOP classes the destination takes.
    opener
        The way to the system, where it is another than the settings say.
    """

    def __init__(
        self,
        settings: DestinationSettings,
        *,
        ae_title: str,
        observer: Observer = lambda _event: None,
        opener: Opener | None = None,
    ) -> None:
        silence_pynetdicom()
        self._settings = settings
        self._observer = observer
        self._answers: dict[str, bool] = {}
        self._opener = opener or Opener(settings, ae_title=ae_title, observer=observer)

    @property
    def name(self) -> str:
        """Name in config.yaml."""
        return self._settings.name

    def send(self, objects: Sequence[EncodedObject]) -> dict[str, int | None]:
        """C-STORE the objects over one association; see `ports.Destination`."""
        if not objects:
            return {}
        with self._opener.association(_proposed(objects)) as association:
            accepted = {item.sop_class_uid for item in objects if _context(association, item) is not None}
            self._tell_of(accepted, objects)
            chosen, declined = choose_forms(objects, lambda item: item.sop_class_uid in accepted)
            statuses: dict[str, int | None] = {item.sop_instance_uid: SOP_CLASS_NOT_SUPPORTED for item in declined}
            statuses |= {item.sop_instance_uid: None for item in chosen}
            for number, item in enumerate(chosen):
                if not association.established:
                    break
                statuses[item.sop_instance_uid] = self._store(association, item, number % 65_535 + 1)
        return statuses

    def interrupt(self) -> None:
        """Break every association; see `ports.Destination`."""
        self._opener.interrupt()

    def echo(self) -> None:
        """C-ECHO; raises DestinationUnreachableError with what went wrong and what to check."""
        with self._opener.association([(VERIFICATION, IMPLICIT_VR_LITTLE_ENDIAN)]) as association:
            context = association.context_for(VERIFICATION, UNCOMPRESSED)
            if context is None:
                what = "accepted the association but not C-ECHO; enable the Verification SOP class"
                raise EchoUnsupportedError(self._opener.text(what))
            elements = request(CommandField.C_ECHO, data_set=False, affected_sop_class_uid=VERIFICATION)
            try:
                answer, _ = association.request(context, elements)
            except ConnectionError:
                raise self._opener.unreachable("accepted the association but did not answer C-ECHO") from None
            if answer.number(Tag.STATUS) != SUCCESS:
                raise EchoUnsupportedError(
                    self._opener.text("took the association but did not answer C-ECHO with success")
                )

    def request_commitment(
        self, transaction_uid: str, references: Sequence[ObjectReference]
    ) -> CommitmentReport | None:
        """N-ACTION; see `ports.CommitmentPeer`."""
        with self._opener.association([(STORAGE_COMMITMENT, uid) for uid in UNCOMPRESSED]) as association:
            context = association.context_for(STORAGE_COMMITMENT, UNCOMPRESSED)
            if context is None:
                raise CommitmentUnsupportedError(
                    self._opener.text("offers no storage commitment; set 'commitment: none'")
                )
            elements = request(
                CommandField.N_ACTION,
                data_set=True,
                requested_sop_class_uid=STORAGE_COMMITMENT,
                requested_sop_instance_uid=commitment.PUSH_MODEL_INSTANCE,
                action_type_id=commitment.REQUEST_ACTION,
            )
            data = commitment.encode_request(transaction_uid, references, transfer_syntax=context.transfer_syntax)
            try:
                return self._await_report(association, context, transaction_uid, elements=elements, data=data)
            except ConnectionError as error:
                raise self._opener.unreachable(f"broke the association after N-ACTION ({error})") from None

    def find_stored(self, study_instance_uid: str, references: Sequence[ObjectReference]) -> frozenset[str]:
        """C-FIND, first for the study's series and then for the instances in each; see `ports.CommitmentPeer`."""
        wanted = {reference.sop_instance_uid for reference in references}
        with self._opener.association([(STUDY_ROOT_FIND, uid) for uid in UNCOMPRESSED]) as association:
            context = association.context_for(STUDY_ROOT_FIND, UNCOMPRESSED)
            if context is None:
                raise QueryUnsupportedError(self._opener.text("does not answer queries (Study Root C-FIND)"))
            try:
                return frozenset(find_instances(association, context, study_instance_uid, wanted) & wanted)
            except ConnectionError as error:
                raise self._opener.unreachable(f"broke the association during C-FIND ({error})") from None

    def report_commitment(self, report: CommitmentReport) -> None:
        """N-EVENT-REPORT; see `ports.CommitmentPeer`. We are the SCP on an association that we request."""
        contexts = [(STORAGE_COMMITMENT, uid) for uid in UNCOMPRESSED]
        with self._opener.association(contexts, scp_roles=(STORAGE_COMMITMENT,)) as association:
            context = association.context_for(STORAGE_COMMITMENT, UNCOMPRESSED)
            if context is None:
                raise DeliveryError(self._opener.text("does not take reports of storage commitment from us as SCP"))
            kind = commitment.SOME_FAILED if report.failed else commitment.ALL_COMMITTED
            elements = request(
                CommandField.N_EVENT_REPORT,
                data_set=True,
                affected_sop_class_uid=STORAGE_COMMITMENT,
                affected_sop_instance_uid=commitment.PUSH_MODEL_INSTANCE,
                event_type_id=kind,
            )
            data = commitment.encode_report(report, transfer_syntax=context.transfer_syntax)
            try:
                answer, _ = association.request(context, elements, data)
            except ConnectionError as error:
                raise self._opener.unreachable(f"broke the association after N-EVENT-REPORT ({error})") from None
            if answer.number(Tag.STATUS) != SUCCESS:
                raise DeliveryError(
                    self._opener.text(f"answered N-EVENT-REPORT with 0x{answer.number(Tag.STATUS):04X}")
                )

    def _tell_of(self, accepted: Collection[str], objects: Iterable[EncodedObject]) -> None:
        """Say which SOP classes the destination takes, where that is not what it said before."""
        answers = {item.sop_class_uid: item.sop_class_uid in accepted for item in objects}
        if all(self._answers.get(uid) is answer for uid, answer in answers.items()):
            return
        self._answers |= answers
        self._observer(
            ContextsNegotiated(
                destination=self.name,
                accepted=tuple(sorted(uid for uid, answer in answers.items() if answer)),
                declined=tuple(sorted(uid for uid, answer in answers.items() if not answer)),
            )
        )

    def _store(self, association: Requestor, item: EncodedObject, message_id: int) -> int | None:
        encoded = _payload(association, item)
        if encoded is None:
            return SOP_CLASS_NOT_SUPPORTED
        context, data_set = encoded
        elements = request(
            CommandField.C_STORE,
            data_set=True,
            message_id=message_id,
            affected_sop_class_uid=item.sop_class_uid,
            affected_sop_instance_uid=item.sop_instance_uid,
            priority=MEDIUM,
        )
        try:
            answer, _ = association.request(context, elements, data_set)
            return answer.number(Tag.STATUS)
        except ConnectionError:
            return None

    def _await_report(
        self,
        association: Requestor,
        context: Accepted,
        transaction_uid: str,
        *,
        elements: Elements,
        data: bytes,
    ) -> CommitmentReport | None:
        """Send the request; return the report if it comes while we hold the association open."""
        association.send(context, elements, data)
        answer, report = until_answer(association, context, transaction_uid)
        status = answer.number(Tag.STATUS)
        if status in FINALLY_REFUSED:
            raise CommitmentUnsupportedError(self._opener.text(f"refused storage commitment with 0x{status:04X}"))
        if status != SUCCESS:
            raise self._opener.unreachable(f"answered N-ACTION with 0x{status:04X}")
        if report is None and association.wait(self._settings.commitment_wait_seconds):
            report = take_report(association, context, transaction_uid)
        return report


def _proposed(objects: Iterable[EncodedObject]) -> list[tuple[str, str]]:
    """Propose each SOP class in its files' own transfer syntax and in the two that a PACS is sure to take.

    One context per transfer syntax: the answer then says for each whether it is accepted (PS3.8 9.3.3.2).
    """
    pairs: dict[tuple[str, str], None] = {}
    for item in objects:
        for transfer_syntax in (_transfer_syntax(item), EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN):
            pairs[item.sop_class_uid, transfer_syntax] = None
    return list(pairs)[:MAX_CONTEXTS]


def _transfer_syntax(item: EncodedObject) -> str:
    return str(read_file_meta_info(item.path).TransferSyntaxUID)


def _context(association: Requestor, item: EncodedObject) -> Accepted | None:
    """Return the accepted context in which an object can be sent."""
    own = _transfer_syntax(item)
    others = () if UID(own).is_compressed else (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
    return association.context_for(item.sop_class_uid, (own, *others))


def _payload(association: Requestor, item: EncodedObject) -> tuple[Accepted, bytes | Part10] | None:
    """Return the file as it is, or its data set where the peer wants another encoding; None where it takes neither."""
    meta = read_file_meta_info(item.path)
    own = association.context_for(item.sop_class_uid, [str(meta.TransferSyntaxUID)])
    if own is not None:
        offset = PREAMBLE_BYTES + META_GROUP_LENGTH_BYTES + int(meta.FileMetaInformationGroupLength)
        return own, Part10(path=item.path, offset=offset)
    other = association.context_for(item.sop_class_uid, (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN))
    if other is None or UID(meta.TransferSyntaxUID).is_compressed:
        return None
    return other, encode(dcmread(item.path), other.transfer_syntax)
