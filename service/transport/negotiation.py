# SPDX-License-Identifier: Apache-2.0
"""Association negotiation (PS3.8 section 9.3, PS3.7 annex D) with pynetdicom's own classes, behind a bounded look.

pynetdicom's parser believes what it reads; the walk before it bounds what it can be made to do.
"""

import logging
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from pydicom.uid import UID
from pynetdicom import _config
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.presentation import PresentationContext, build_context, negotiate_as_acceptor

from service.domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from service.transport.connection import PeerBrokeLimitError, ProtocolError

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
MAX_CONTEXTS = 128
"""Presentation contexts of one association (PS3.8 9.3.2.2: odd numbers from 1 to 255)."""
MAX_SYNTAXES = 64
MAX_USER_ITEMS = 64
_FIXED_BYTES = 68
_ITEM = struct.Struct(">BxH")
_PRESENTATION_RQ, _PRESENTATION_AC, _USER_INFORMATION = 0x20, 0x21, 0x50
_USER_IDENTITY_TYPES = {1: "username", 2: "username_passcode", 3: "kerberos", 4: "saml", 5: "jwt"}
REMEMBERED = 64
REMEMBERED_BYTES = 32_768
"""Requests that are remembered, and the longest of them."""
LARGEST_PDU_BYTES = 1_048_576
"""Sent to a peer that says that it takes any length (0)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Request:
    """An A-ASSOCIATE-RQ; `user_identity` is the type of identity offered, never its value. Equal to itself only."""

    calling_ae: str
    called_ae: str
    version_supported: bool
    application_context: str
    max_pdu_bytes: int
    user_identity: str
    primitive: Any = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An accepted presentation context."""

    context_id: int
    abstract_syntax: str
    transfer_syntax: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the acceptor said: the accepted contexts by number, or (result, source, reason) of a rejection."""

    contexts: Mapping[int, Accepted] = field(default_factory=dict)
    max_pdu_bytes: int = LARGEST_PDU_BYTES
    rejection: tuple[int, int, int] | None = None


def silence_pynetdicom() -> None:
    """Switch pynetdicom's own logging off: it prints AE titles, UIDs and data set elements of patients."""
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.LOG_REQUEST_IDENTIFIERS = False
    logger = logging.getLogger("pynetdicom")
    logger.setLevel(logging.CRITICAL + 1)
    logger.propagate = False


def decode_request(body: bytes) -> Request:
    """Return the A-ASSOCIATE-RQ whose body (all after the PDU header) this is.

    Raises
    ------
    ProtocolError, PeerBrokeLimitError
        It has more items than an association may, an item runs past its end, or a context number is even or double.
    """
    _check_items(body, _PRESENTATION_RQ)
    primitive = _primitive(A_ASSOCIATE_RQ, 0x01, body)
    items = _items_by_type(primitive)
    identity = items.get(UserIdentityNegotiation)
    return Request(
        calling_ae=_title(body[20:36]),
        called_ae=_title(body[4:20]),
        version_supported=bool(body[1] & 1),
        application_context=str(primitive.application_context_name or ""),
        max_pdu_bytes=_max_pdu_bytes(items),
        user_identity=_USER_IDENTITY_TYPES.get(identity.user_identity_type, "other") if identity else "",
        primitive=primitive,
    )


class Negotiator:
    """Decodes and accepts requests, and remembers what it did: a sender asks for the same each time.

    pynetdicom takes 12 ms for the 120 contexts that many senders propose, most of an association's set-up.
    """

    def __init__(self, supported: Sequence[PresentationContext], *, max_pdu_bytes: int) -> None:
        self._supported = {str(context.abstract_syntax): context for context in supported}
        self._max_pdu_bytes = max_pdu_bytes
        self._decode = lru_cache(REMEMBERED)(decode_request)
        self._accept = lru_cache(REMEMBERED)(self._accept_anew)

    def decode(self, body: bytes) -> Request:
        """Return the request; raises as `decode_request`."""
        return self._decode(body) if len(body) <= REMEMBERED_BYTES else decode_request(body)

    def accept(self, request: Request, offered: Iterable[str]) -> tuple[bytes, Mapping[int, Accepted]]:
        """Return the A-ASSOCIATE-AC PDU that answers a request, and the contexts of offered SOP classes in it."""
        return self._accept(request, tuple(offered))

    @property
    def sop_class_uids(self) -> tuple[str, ...]:
        """All SOP classes that are supported."""
        return tuple(self._supported)

    def _accept_anew(self, request: Request, offered: tuple[str, ...]) -> tuple[bytes, Mapping[int, Accepted]]:
        supported = [self._supported[uid] for uid in offered]
        return accept(request, supported, max_pdu_bytes=self._max_pdu_bytes)


def accept(
    request: Request, supported: Sequence[PresentationContext], *, max_pdu_bytes: int
) -> tuple[bytes, dict[int, Accepted]]:
    """Return the A-ASSOCIATE-AC PDU that answers a request, and the contexts that it accepts."""
    asked = request.primitive
    roles = {
        UID(item.sop_class_uid or ""): (item.scu_role, item.scp_role)
        for item in asked.user_information
        if isinstance(item, SCP_SCU_RoleSelectionNegotiation)
    }
    results, role_items = negotiate_as_acceptor(asked.presentation_context_definition_list, list(supported), roles)
    answer = A_ASSOCIATE()
    answer.application_context_name = UID(APPLICATION_CONTEXT)
    answer.calling_ae_title = asked.calling_ae_title
    answer.called_ae_title = asked.called_ae_title
    answer.result, answer.result_source = 0x00, 0x01
    answer.presentation_context_definition_results_list = results
    answer.user_information = [*_user_information(max_pdu_bytes), *role_items]
    return bytes(A_ASSOCIATE_AC(answer).encode()), _accepted(results, {})


def encode_request(
    calling_ae: str,
    called_ae: str,
    contexts: Sequence[tuple[str, str]],
    *,
    max_pdu_bytes: int,
    scp_roles: Iterable[str] = (),
) -> tuple[bytes, dict[int, str]]:
    """Return an A-ASSOCIATE-RQ PDU that proposes (abstract syntax, transfer syntax) pairs, and the pairs' numbers.

    `scp_roles` are SOP classes in which we, the requestor, are the SCP (PS3.7 D.3.3.4).
    """
    proposed = []
    for number, (abstract_syntax, transfer_syntax) in enumerate(contexts[:MAX_CONTEXTS]):
        context = build_context(abstract_syntax, [transfer_syntax])
        context.context_id = 2 * number + 1
        proposed.append(context)
    primitive = A_ASSOCIATE()
    primitive.application_context_name = UID(APPLICATION_CONTEXT)
    primitive.calling_ae_title = calling_ae
    primitive.called_ae_title = called_ae
    primitive.presentation_context_definition_list = proposed
    primitive.user_information = [*_user_information(max_pdu_bytes), *map(_scp_role, scp_roles)]
    numbers = {context.context_id or 0: str(context.abstract_syntax) for context in proposed}
    return bytes(A_ASSOCIATE_RQ(primitive).encode()), numbers


def decode_accept(body: bytes, proposed: Mapping[int, str]) -> Answer:
    """Return what an A-ASSOCIATE-AC says of the contexts that were proposed; raises as `decode_request`."""
    _check_items(body, _PRESENTATION_AC)
    primitive = _primitive(A_ASSOCIATE_AC, 0x02, body)
    results = primitive.presentation_context_definition_results_list
    length = _max_pdu_bytes(_items_by_type(primitive))
    return Answer(contexts=_accepted(results, proposed), max_pdu_bytes=length)


def decode_reject(body: bytes) -> Answer:
    """Return an A-ASSOCIATE-RJ."""
    _, result, source, reason = body
    return Answer(rejection=(result, source, reason))


def rejection_text(rejection: tuple[int, int, int]) -> str:
    """Return what the standard calls this rejection."""
    answer = A_ASSOCIATE_RJ()
    answer.result, answer.source, answer.reason_diagnostic = rejection
    try:
        return str(answer.reason_str)
    except (KeyError, ValueError):
        return f"reason {rejection[2]}"


def _primitive(pdu_class: Any, kind: int, body: bytes) -> Any:
    pdu = pdu_class()
    try:
        pdu.decode(struct.pack(">BxI", kind, len(body)) + body)
        return pdu.to_primitive()
    except Exception as error:
        raise ProtocolError(6) from error


def _check_items(body: bytes, presentation: int) -> None:
    """Count the items and their parts before anything is built from them."""
    numbers = []
    for kind, start, end in _items(body, _FIXED_BYTES, len(body)):
        if kind == presentation:
            numbers.append(body[start] if start < end else 0)
            _bounded(_items(body, start + 4, end), MAX_SYNTAXES)
        elif kind == _USER_INFORMATION:
            _bounded(_items(body, start, end), MAX_USER_ITEMS)
        if len(numbers) > MAX_CONTEXTS:
            raise PeerBrokeLimitError("negotiation_items")
    if len(set(numbers)) != len(numbers) or any(number % 2 == 0 for number in numbers):
        raise ProtocolError(6)


def _bounded(items: Iterator[tuple[int, int, int]], limit: int) -> None:
    for count, _item in enumerate(items, start=1):
        if count > limit:
            raise PeerBrokeLimitError("negotiation_items")


def _items(body: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield type, start and end of each item between two places."""
    while start < end:
        if end - start < _ITEM.size:
            raise ProtocolError(6)
        kind, length = _ITEM.unpack_from(body, start)
        start += _ITEM.size
        if length > end - start:
            raise ProtocolError(6)
        yield kind, start, start + length
        start += length


def _title(field_: bytes) -> str:
    return field_.decode("ascii", "replace").strip()


def _items_by_type(primitive: Any) -> dict[type, Any]:
    return {type(item): item for item in primitive.user_information or ()}


def _max_pdu_bytes(items: Mapping[type, Any]) -> int:
    item = items.get(MaximumLengthNotification)
    length = int(item.maximum_length_received) if item else 0
    return min(length or LARGEST_PDU_BYTES, LARGEST_PDU_BYTES)


def _user_information(max_pdu_bytes: int) -> list[Any]:
    length = MaximumLengthNotification()
    length.maximum_length_received = max_pdu_bytes
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    version = ImplementationVersionNameNotification()
    version.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return [length, implementation, version]


def _scp_role(sop_class_uid: str) -> SCP_SCU_RoleSelectionNegotiation:
    role = SCP_SCU_RoleSelectionNegotiation()
    role.sop_class_uid = UID(sop_class_uid)
    role.scu_role, role.scp_role = False, True
    return role


def _accepted(results: Iterable[PresentationContext], names: Mapping[int, str]) -> dict[int, Accepted]:
    """Return the accepted contexts; an A-ASSOCIATE-AC does not repeat the abstract syntaxes, `names` has them."""
    return {
        context.context_id: Accepted(
            context_id=context.context_id,
            abstract_syntax=names.get(context.context_id) or str(context.abstract_syntax),
            transfer_syntax=str(context.transfer_syntax[0]),
        )
        for context in results
        if context.result == 0 and context.context_id and context.transfer_syntax
    }
