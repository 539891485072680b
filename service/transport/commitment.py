# SPDX-License-Identifier: Apache-2.0
"""Storage commitment on the wire (PS3.4 annex J): its data sets, and the acceptor's side of its two messages."""

from collections.abc import Iterable, Iterator

from pydicom.dataset import Dataset

from service.domain.errors import CommitmentUnsupportedError, StorageError
from service.ports import (
    CommitmentFailure,
    CommitmentListener,
    CommitmentReport,
    CommitmentRequest,
    CommitmentService,
    ObjectReference,
)
from service.transport.acceptor import Answer, Message
from service.transport.data_set import UnreadableError, decode, encode
from service.transport.dimse import Tag, response
from service.transport.sop_classes import STORAGE_COMMITMENT
from service.transport.statuses import (
    INVALID_ARGUMENT,
    NO_SUCH_ACTION,
    NO_SUCH_EVENT_TYPE,
    NOT_AUTHORISED,
    RESOURCE_LIMITATION,
    SUCCESS,
    UNRECOGNISED_OPERATION,
)

PUSH_MODEL_INSTANCE = "1.2.840.10008.1.20.1.1"
"""Its well-known SOP Instance (PS3.4 J.3.5)."""
REQUEST_ACTION = 1
ALL_COMMITTED, SOME_FAILED = 1, 2
"""Event Type IDs (PS3.4 table J.3-3)."""
DATA_SET_BYTES = 1_048_576
"""About 7,000 references; what a data set of this size can make a parser do is bounded too."""
NO_SUCH_OBJECT = 0x0112


class CommitmentScp:
    """Answers N-ACTION and N-EVENT-REPORT, when the node has somebody who takes them."""

    def __init__(self, *, listener: CommitmentListener | None, service: CommitmentService | None) -> None:
        self._listener = listener
        self._service = service

    @property
    def offered(self) -> bool:
        """Whether the SOP class is accepted in negotiation."""
        return self._listener is not None or self._service is not None

    def requested(self, message: Message, answer: Answer, *, peer: str, calling_ae: str) -> None:
        """Answer a modality's N-ACTION when its request is on stable storage."""
        answer(response(message.command, self._take_request(message, peer, calling_ae)))

    def reported(self, message: Message, answer: Answer, *, peer: str) -> None:
        """Answer an archive's N-EVENT-REPORT when its report is on stable storage.

        A report that nobody asked for is answered with success all the same: the archive could not mend it.
        """
        event_type_id = message.command.elements.get(Tag.EVENT_TYPE_ID, 0)
        answer(response(message.command, self._take_report(message, peer), event_type_id=event_type_id))

    def _take_request(self, message: Message, peer: str, calling_ae: str) -> int:
        if self._service is None or message.context.abstract_syntax != STORAGE_COMMITMENT:
            return UNRECOGNISED_OPERATION
        if message.command.elements.get(Tag.ACTION_TYPE_ID) != REQUEST_ACTION:
            return NO_SUCH_ACTION
        try:
            transaction_uid, references = decode_request(_read(message))
            self._service(
                CommitmentRequest(
                    peer=peer, calling_ae=calling_ae, transaction_uid=transaction_uid, references=references
                )
            )
        except UnreadableError:
            return INVALID_ARGUMENT
        except CommitmentUnsupportedError:
            return NOT_AUTHORISED
        except StorageError:
            return RESOURCE_LIMITATION
        return SUCCESS

    def _take_report(self, message: Message, peer: str) -> int:
        if self._listener is None or message.context.abstract_syntax != STORAGE_COMMITMENT:
            return UNRECOGNISED_OPERATION
        if message.command.elements.get(Tag.EVENT_TYPE_ID) not in (ALL_COMMITTED, SOME_FAILED):
            return NO_SUCH_EVENT_TYPE
        try:
            self._listener(peer, decode_report(_read(message)))
        except UnreadableError:
            return INVALID_ARGUMENT
        except StorageError:
            return RESOURCE_LIMITATION
        return SUCCESS


def encode_request(transaction_uid: str, references: Iterable[ObjectReference], *, transfer_syntax: str) -> bytes:
    """Return the Action Information of a request (PS3.4 table J.3-1)."""
    dataset = Dataset()
    dataset.TransactionUID = transaction_uid
    dataset.ReferencedSOPSequence = [_item(reference) for reference in references]
    return encode(dataset, transfer_syntax)


def encode_report(report: CommitmentReport, *, transfer_syntax: str) -> bytes:
    """Return the Event Information of a report (PS3.4 table J.3-4)."""
    dataset = Dataset()
    dataset.TransactionUID = report.transaction_uid
    if report.committed:
        dataset.ReferencedSOPSequence = [_item(reference) for reference in report.committed]
    if report.failed:
        dataset.FailedSOPSequence = [_failed_item(failure) for failure in report.failed]
    return encode(dataset, transfer_syntax)


def decode_request(dataset: Dataset) -> tuple[str, tuple[ObjectReference, ...]]:
    """Return the transaction's UID and what it asks about; raises UnreadableError."""
    references = tuple(_reference(item) for item in _sequence(dataset, "ReferencedSOPSequence"))
    if not references:
        raise UnreadableError("(0008,1199) 'Referenced SOP Sequence' is absent or empty; PS3.4 J.3.2 requires items")
    return _text(dataset, "TransactionUID"), references


def decode_report(dataset: Dataset) -> CommitmentReport:
    """Return a report; raises UnreadableError."""
    return CommitmentReport(
        transaction_uid=_text(dataset, "TransactionUID"),
        committed=tuple(_reference(item) for item in _sequence(dataset, "ReferencedSOPSequence")),
        failed=tuple(
            CommitmentFailure(reference=_reference(item), reason=_reason(item))
            for item in _sequence(dataset, "FailedSOPSequence")
        ),
    )


def _read(message: Message) -> Dataset:
    data = bytearray()
    for chunk in message.data_set:
        data += chunk
        if len(data) > DATA_SET_BYTES:
            raise UnreadableError(f"the data set is longer than {DATA_SET_BYTES} bytes; ask about fewer instances")
    return decode(bytes(data), message.context.transfer_syntax)


def _item(reference: ObjectReference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item


def _failed_item(failure: CommitmentFailure) -> Dataset:
    item = _item(failure.reference)
    item.FailureReason = failure.reason
    return item


def _reference(item: Dataset) -> ObjectReference:
    return ObjectReference(
        sop_class_uid=_text(item, "ReferencedSOPClassUID"), sop_instance_uid=_text(item, "ReferencedSOPInstanceUID")
    )


def _sequence(dataset: Dataset, keyword: str) -> Iterator[Dataset]:
    try:
        yield from dataset.get(keyword) or ()
    except Exception as error:  # noqa: BLE001 - pydicom parses when it is asked, see `decode`
        raise UnreadableError(f"{keyword}: {type(error).__name__}") from None


def _reason(item: Dataset) -> int:
    try:
        return int(item.get("FailureReason") or NO_SUCH_OBJECT)
    except Exception as error:  # noqa: BLE001 - see `_sequence`; several values are no number either
        raise UnreadableError(f"FailureReason: {type(error).__name__}") from None


def _text(dataset: Dataset, keyword: str) -> str:
    try:
        value = str(dataset.get(keyword) or "")
    except Exception as error:  # noqa: BLE001 - see `_sequence`
        raise UnreadableError(f"{keyword}: {type(error).__name__}") from None
    if not value or len(value) > 64:
        raise UnreadableError(f"{keyword} is absent or no UID (PS3.5 9.1)")
    return value
