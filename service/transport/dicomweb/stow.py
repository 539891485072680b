# SPDX-License-Identifier: Apache-2.0
"""The Store transaction (PS3.18 10.5): each part of a request goes to the receiver as a C-STORE would."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from service.dicom.file_meta import FileMeta, split_file_meta
from service.domain.errors import DicomStructureError, StorageError
from service.domain.event import InstanceReceived, StageFailed
from service.ports import IncomingInstance, Observer, Receiver
from service.transport.dicomweb.conversation import Answer, WebLimits
from service.transport.dicomweb.multipart import (
    MultipartError,
    MultipartReader,
    Part,
    TooManyPartsError,
    parse_media_type,
)
from service.transport.dicomweb.store_response import (
    JSON_TYPE,
    TRANSFER_SYNTAX_NOT_SUPPORTED,
    InstanceStatus,
    write_store_response,
)
from service.transport.statuses import (
    CANNOT_UNDERSTAND,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    SOP_CLASS_NOT_SUPPORTED,
    STORE_STATUS,
    SUCCESS,
)

PART_TYPE = "application/dicom"
NO_META = FileMeta(sop_class_uid="", sop_instance_uid="", transfer_syntax_uid="")
RETRY_AFTER_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreRequest:
    """An admitted request: who sends, and into which study ("" for any)."""

    peer: str
    calling_ae: str
    study_instance_uid: str
    boundary: str
    association: str = ""
    answer_type: str = JSON_TYPE


class ObjectTooLongError(ConnectionError):
    """A part is longer than an object may be; to a receiver the instance was not sent."""


class _RefusedError(Exception):
    """A part is refused before the receiver sees it."""

    def __init__(self, status: int, outcome: str) -> None:
        super().__init__(outcome)
        self.status = status
        self.outcome = outcome


class Stow:
    """Stores the parts of a request and says what became of each.

    Parameters
    ----------
    transfer_syntaxes, sop_classes
        What is taken in; the rest is refused part by part.
    """

    def __init__(
        self,
        receiver: Receiver,
        observer: Observer,
        *,
        transfer_syntaxes: Collection[str],
        sop_classes: Collection[str],
        limits: WebLimits,
    ) -> None:
        self._receiver = receiver
        self._observer = observer
        self._transfer_syntaxes = frozenset(transfer_syntaxes)
        self._sop_classes = frozenset(sop_classes)
        self._limits = limits

    def __call__(self, request: StoreRequest, body: Iterable[bytes]) -> Answer:
        """Answer when the outcome of every part is known; raises OSError when the connection broke before."""
        taken: list[InstanceStatus] = []
        end: HTTPStatus | None = None
        try:
            for part in MultipartReader(request.boundary, body, max_parts=self._limits.parts):
                self._take(request, part, taken.append)
        except (TooManyPartsError, ObjectTooLongError):
            end = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        except MultipartError:
            end = HTTPStatus.BAD_REQUEST
        return _answer(request, taken, end)

    def _take(self, request: StoreRequest, part: Part, tell: Callable[[InstanceStatus], None]) -> None:
        """Store a part and tell its status, also where it ends the request."""
        started = time.monotonic()
        meta, status = NO_META, CANNOT_UNDERSTAND
        try:
            meta, dataset = self._open(part)
            status = self._receive(_incoming(request, meta, dataset))
        except _RefusedError as refusal:
            status = refusal.status
            self._refused(request.peer, refusal.outcome, seconds=time.monotonic() - started)
        finally:
            tell(InstanceStatus(meta.sop_class_uid, meta.sop_instance_uid, status))

    def _open(self, part: Part) -> tuple[FileMeta, Iterator[bytes | memoryview]]:
        _check_headers(part)
        try:
            return split_file_meta(_bounded(part.data, self._limits.object_bytes))
        except DicomStructureError as error:
            raise _RefusedError(CANNOT_UNDERSTAND, "cannot_understand") from error

    def _receive(self, incoming: IncomingInstance) -> int:
        if incoming.sop_class_uid not in self._sop_classes:
            raise _RefusedError(SOP_CLASS_NOT_SUPPORTED, "sop_class")
        if incoming.transfer_syntax_uid not in self._transfer_syntaxes:
            raise _RefusedError(TRANSFER_SYNTAX_NOT_SUPPORTED, "transfer_syntax")
        try:
            return STORE_STATUS[self._receiver(incoming)]
        except OSError:
            raise  # the client broke off
        except StorageError as error:
            self._failed(error, retryable=True)
            raise _RefusedError(OUT_OF_RESOURCES, "storage_error") from error
        except Exception as error:
            self._failed(error, retryable=False)
            raise _RefusedError(PROCESSING_FAILURE, "failed") from error

    def _failed(self, error: Exception, *, retryable: bool) -> None:
        name = type(error).__name__  # its text may quote the data set
        self._observer(StageFailed(stage="receive", study_key="", pipeline="", error=name, retryable=retryable))

    def _refused(self, peer: str, outcome: str, *, seconds: float) -> None:
        """Report an answer that the receiver, which reports all others, knows nothing of."""
        event = InstanceReceived(peer=peer, modality="", outcome=outcome, size_bytes=0, seconds=seconds, study_key="")
        self._observer(event)


def _check_headers(part: Part) -> None:
    """Refuse what is no DICOM file, or is one in a wrapping (PS3.18 8.6.1.2)."""
    media_type = parse_media_type(part.headers.get("content-type", PART_TYPE)).name
    encodings = {part.headers.get(name, "").lower() for name in ("content-encoding", "content-transfer-encoding")}
    if media_type != PART_TYPE or not encodings <= {"", "binary", "identity"}:
        raise _RefusedError(CANNOT_UNDERSTAND, "media_type")


def _bounded(data: Iterator[memoryview], limit_bytes: int) -> Iterator[memoryview]:
    left_bytes = limit_bytes
    for chunk in data:
        left_bytes -= len(chunk)
        if left_bytes < 0:
            raise ObjectTooLongError(f"a part has more than {limit_bytes} bytes")
        yield chunk


def _incoming(request: StoreRequest, meta: FileMeta, dataset: Iterator[bytes | memoryview]) -> IncomingInstance:
    return IncomingInstance(
        peer=request.peer,
        calling_ae=request.calling_ae,
        sop_class_uid=meta.sop_class_uid,
        sop_instance_uid=meta.sop_instance_uid,
        transfer_syntax_uid=meta.transfer_syntax_uid,
        study_instance_uid=request.study_instance_uid,
        dataset=dataset,
        association=request.association,
    )


def _answer(request: StoreRequest, taken: Sequence[InstanceStatus], end: HTTPStatus | None) -> Answer:
    status = _http_status(taken, end)
    retry = ("Retry-After", str(RETRY_AFTER_SECONDS))
    return Answer(
        status=status,
        body=write_store_response(taken),
        content_type=request.answer_type,
        headers=(retry,) if status is HTTPStatus.SERVICE_UNAVAILABLE else (),
    )


def _http_status(taken: Sequence[InstanceStatus], end: HTTPStatus | None) -> HTTPStatus:
    """Return the status of PS3.18 table 10.5.3-1; `end` is why the request was not read to its end."""
    if end is HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return end
    if any(instance.stored for instance in taken):
        whole = end is None and all(instance.status == SUCCESS for instance in taken)
        return HTTPStatus.OK if whole else HTTPStatus.ACCEPTED
    if end is not None or not taken:
        return HTTPStatus.BAD_REQUEST
    if all(instance.status == OUT_OF_RESOURCES for instance in taken):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.CONFLICT
