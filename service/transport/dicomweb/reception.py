# SPDX-License-Identifier: Apache-2.0
"""Looks at the header of a request, before a byte of its body is read: who sends it, and is it a Store transaction?"""

import re
import secrets
from collections.abc import Sequence
from http import HTTPStatus

import h11

from service.domain.event import AssociationAccepted, AssociationRejected
from service.ports import Observer
from service.settings import PeerSettings
from service.transport.admission import STRANGER
from service.transport.dicomweb.admission import WebCaller, WebRejection, find_web_peer
from service.transport.dicomweb.conversation import Answer, header
from service.transport.dicomweb.multipart import BOUNDARY, MediaType, parse_media_type
from service.transport.dicomweb.store_response import JSON_TYPE
from service.transport.dicomweb.stow import PART_TYPE, RETRY_AFTER_SECONDS, StoreRequest

METHODS = "OPTIONS, POST"
ID_BYTES = 4
"""Random bytes by which the log names a request, as it names an association."""
MULTIPART = "multipart/related"
ANSWER_TYPES = {
    JSON_TYPE: JSON_TYPE,
    "application/json": "application/json",
    "application/*": JSON_TYPE,
    "*/*": JSON_TYPE,
}
"""What a client may ask for, and what it gets."""

REFUSAL: dict[WebRejection, tuple[HTTPStatus, str, tuple[tuple[str, str], ...]]] = {
    WebRejection.ADDRESS: (HTTPStatus.FORBIDDEN, "this address belongs to no peer that may store over DICOMweb", ()),
    WebRejection.CREDENTIALS: (
        HTTPStatus.UNAUTHORIZED,
        "no peer of this address has this token or certificate",
        (("WWW-Authenticate", 'Bearer realm="dicomweb"'),),
    ),
    WebRejection.DRAINING: (
        HTTPStatus.SERVICE_UNAVAILABLE,
        "the node is stopping",
        (("Retry-After", str(RETRY_AFTER_SECONDS)),),
    ),
}


class RefusalError(Exception):
    """The request gets this answer and is not read further."""

    def __init__(self, status: HTTPStatus, text: str, *headers: tuple[str, str]) -> None:
        super().__init__(text)
        self.answer = Answer(status=status, body=f"{text}\n".encode(), headers=headers)


class Reception:
    """Lets the requests of the configured peers through.

    Parameters
    ----------
    base
        The path before /studies.
    """

    def __init__(self, peers: Sequence[PeerSettings], observer: Observer, *, base: str) -> None:
        self._peers = tuple(peers)
        self._observer = observer
        self._resource = re.compile(re.escape(base) + r"/studies(?:/([0-9.]{1,64}))?")

    def __call__(self, request: h11.Request, caller: WebCaller, *, draining: bool) -> StoreRequest | Answer:
        """Return what to store, or the answer where nothing is to be stored."""
        try:
            association = secrets.token_hex(ID_BYTES)
            peer = self._admit(caller, association, draining=draining)
            study_instance_uid = self._study(request)
            if request.method == b"OPTIONS":
                return Answer(status=HTTPStatus.OK, headers=(("Allow", METHODS), ("Accept", _accepted_type())))
            return StoreRequest(
                peer=peer.name,
                association=association,
                calling_ae=peer.ae_title or "",
                study_instance_uid=study_instance_uid,
                boundary=_boundary(request),
                answer_type=_answer_type(header(request, "Accept")),
            )
        except RefusalError as refusal:
            return refusal.answer

    def _admit(self, caller: WebCaller, association: str, *, draining: bool) -> PeerSettings:
        peer = find_web_peer(self._peers, caller)
        if isinstance(peer, PeerSettings) and not draining:
            self._observer(AssociationAccepted(peer=peer.name, association=association))
            return peer
        name, reason = (peer.name, WebRejection.DRAINING) if isinstance(peer, PeerSettings) else (STRANGER, peer)
        self._observer(AssociationRejected(peer=name, reason=reason.value, address=caller.address))
        status, text, headers = REFUSAL[reason]
        raise RefusalError(status, text, *headers)

    def _study(self, request: h11.Request) -> str:
        """Return the Study Instance UID of the path, "" where it has none."""
        path = request.target.decode("ascii", "replace").partition("?")[0]
        match = self._resource.fullmatch(path)
        if match is None:
            raise RefusalError(HTTPStatus.NOT_FOUND, "this port has /studies and /studies/{uid} under its base alone")
        if request.method not in {b"OPTIONS", b"POST"}:
            raise RefusalError(HTTPStatus.METHOD_NOT_ALLOWED, "studies are stored here, not read", ("Allow", METHODS))
        return match[1] or ""


def _boundary(request: h11.Request) -> str:
    encoding = header(request, "Content-Encoding")
    if encoding.lower() not in {"", "identity"}:
        raise RefusalError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "a body with a Content-Encoding is not accepted: it could grow without bound; send it as it is",
            ("Accept-Encoding", "identity"),
        )
    media_type = parse_media_type(header(request, "Content-Type"))
    if not _is_dicom(media_type):
        raise RefusalError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type must be {_accepted_type()}", ("Accept", _accepted_type())
        )
    boundary = media_type.parameters.get("boundary", "")
    if not BOUNDARY.fullmatch(boundary):
        raise RefusalError(HTTPStatus.BAD_REQUEST, "Content-Type needs a boundary (RFC 2046 section 5.1.1)")
    return boundary


def _is_dicom(media_type: MediaType) -> bool:
    """A missing 'type' is let pass: each part says what it is."""
    return media_type.name == MULTIPART and media_type.parameters.get("type", PART_TYPE).lower() == PART_TYPE


def _accepted_type() -> str:
    return f'{MULTIPART}; type="{PART_TYPE}"'


def _answer_type(accept: str) -> str:
    asked = [parse_media_type(item) for item in accept.split(",")] if accept else [MediaType("*/*", {})]
    for media_type in asked:
        if media_type.name in ANSWER_TYPES and media_type.parameters.get("q", "1") not in {"0", "0.0", "0.00", "0.000"}:
            return ANSWER_TYPES[media_type.name]
    raise RefusalError(HTTPStatus.NOT_ACCEPTABLE, f"the answer is {JSON_TYPE}; accept it")
