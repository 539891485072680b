# SPDX-License-Identifier: Apache-2.0
"""Association negotiation: what pynetdicom may parse is bounded first."""

import struct
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.transport.connection import PeerBrokeLimitError, ProtocolError
from service.transport.negotiation import Negotiator, accept, decode_accept, decode_request, encode_request
from service.transport.sop_classes import STORAGE_COMMITMENT, accepted_contexts

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT, IMPLICIT, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.70"
OURS = accepted_contexts([CT], [IMPLICIT, EXPLICIT], commitment=True)


def body(contexts: list[tuple[str, str]], **more: object) -> bytes:
    return encode_request("MODALITY", "DOKUEI", contexts, max_pdu_bytes=16_384, **more)[0][6:]  # type: ignore[arg-type]


def item(kind: int, data: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(data)) + data


def test_both_sides_agree_on_the_contexts() -> None:
    pairs = [(CT, EXPLICIT), (CT, JPEG), ("1.2.3", IMPLICIT)]
    pdu, proposed = encode_request("MODALITY", "DOKUEI", pairs, max_pdu_bytes=16_384)
    asked = decode_request(pdu[6:])
    assert (asked.calling_ae, asked.called_ae, asked.max_pdu_bytes) == ("MODALITY", "DOKUEI", 16_384)
    answer, theirs = accept(asked, OURS, max_pdu_bytes=131_072)
    told = decode_accept(answer[6:], proposed)
    assert told.max_pdu_bytes == 131_072
    assert dict(told.contexts) == theirs
    assert [(entry.context_id, entry.abstract_syntax) for entry in theirs.values()] == [(1, CT)]


def test_a_request_that_came_before_is_not_negotiated_again() -> None:
    negotiator = Negotiator(OURS, max_pdu_bytes=131_072)
    asked = body([(CT, EXPLICIT), (CT, JPEG)])
    assert negotiator.decode(bytes(asked)) is negotiator.decode(bytes(asked))
    told, _ = accept(decode_request(asked), OURS, max_pdu_bytes=131_072)
    assert negotiator.accept(negotiator.decode(asked), negotiator.sop_class_uids)[0] == told


def test_an_archive_may_be_the_scp_of_commitment() -> None:
    pdu, proposed = encode_request(
        "PACS", "DOKUEI", [(STORAGE_COMMITMENT, IMPLICIT)], max_pdu_bytes=16_384, scp_roles=[STORAGE_COMMITMENT]
    )
    answer, _ = accept(decode_request(pdu[6:]), OURS, max_pdu_bytes=16_384)
    assert len(decode_accept(answer[6:], proposed).contexts) == 1


def test_reads_the_kind_of_user_identity_and_not_the_identity() -> None:
    secret = struct.pack(">BBH", 2, 1, 6) + b"doctor" + struct.pack(">H", 6) + b"secret"
    plain = body([(CT, EXPLICIT)])
    start = plain.index(b"\x50\x00")
    length = int.from_bytes(plain[start + 2 : start + 4], "big")
    added = item(0x58, secret)
    asked = decode_request(plain[: start + 2] + (length + len(added)).to_bytes(2, "big") + plain[start + 4 :] + added)
    assert asked.user_identity == "username_passcode"
    assert "secret" not in repr(asked)


@pytest.mark.parametrize(
    ("extra", "error"),
    [
        (item(0x20, b"\x03\0\0\0" + item(0x40, b"1.2")) * 200, PeerBrokeLimitError),
        (item(0x20, b"\x01\0\0\0" + item(0x30, CT.encode())), ProtocolError),
        (item(0x20, b"\x02\0\0\0"), ProtocolError),
        (item(0x20, b"\x03\0\0\0" + item(0x40, b"1.2") * 500), PeerBrokeLimitError),
        (item(0x50, item(0x56, b"") * 10_000), PeerBrokeLimitError),
        (item(0x20, b"\x03\0\0\0")[:-1], ProtocolError),
        (struct.pack(">BxH", 0x50, 60_000), ProtocolError),
    ],
    ids=["200 contexts", "a number twice", "an even number", "500 syntaxes", "10,000 sub-items", "cut", "past the end"],
)
def test_refuses_before_anything_is_built(extra: bytes, error: type[Exception]) -> None:
    started = time.monotonic()
    with pytest.raises(error):
        decode_request(body([(CT, EXPLICIT)]) + extra)
    assert time.monotonic() - started < 1


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for parse in (decode_request, lambda some: decode_accept(some, {})):
        try:
            parse(b"\0\1" + bytes(66) + data)
        except PeerBrokeLimitError:  # ProtocolError is one
            continue


@given(st.integers(0, 2000), st.integers(0, 255))
def test_any_changed_byte_is_read_or_refused(place: int, value: int) -> None:
    changed = bytearray(body([(CT, EXPLICIT), (CT, JPEG)]))
    changed[place % len(changed)] = value
    try:
        decode_request(bytes(changed))
    except PeerBrokeLimitError:
        return
