# SPDX-License-Identifier: Apache-2.0
"""The DICOM upper layer byte by byte (PS3.8 section 9.3), for peers that break its rules and for one that does not.

Nothing here shares code with the node or with pynetdicom: a mistake made twice would hide itself.
"""

import socket
import ssl
import struct
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
VERIFICATION = "1.2.840.10008.1.1"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
UNDEFINED = 0xFFFFFFFF

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
COMMAND, LAST = 1, 2


class Context(NamedTuple):
    """A proposed presentation context."""

    number: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


class Reply(NamedTuple):
    """A PDU that came back; kind 0 is the end of the connection."""

    kind: int
    payload: bytes


CT_CONTEXT = Context(1, CT_IMAGE, (EXPLICIT,))
ECHO_CONTEXT = Context(3, VERIFICATION, (IMPLICIT,))
CONTEXTS = (CT_CONTEXT, ECHO_CONTEXT)


def pdu(kind: int, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """Return a PDU; `length` lies about it."""
    return struct.pack(">BxI", kind, len(payload) if length is None else length) + payload


def item(kind: int, payload: bytes) -> bytes:
    """Return an item of an association request or answer."""
    return struct.pack(">BxH", kind, len(payload)) + payload


def proposed(context: Context) -> bytes:
    syntaxes = b"".join(item(0x40, uid.encode()) for uid in context.transfer_syntaxes)
    return item(0x20, struct.pack("B3x", context.number) + item(0x30, context.abstract_syntax.encode()) + syntaxes)


def user_information(*, max_length: int = 16_384, more: bytes = b"") -> bytes:
    return item(0x50, item(0x51, struct.pack(">I", max_length)) + item(0x52, b"1.2.826.0.1.3680043.9.1") + more)


def associate_rq(
    contexts: Iterable[Context] = CONTEXTS,
    *,
    calling: str = "MODALITY",
    called: str = "DOKUEI",
    information: bytes | None = None,
    application: bytes = b"1.2.840.10008.3.1.1.1",
) -> bytes:
    """Return an A-ASSOCIATE-RQ."""
    fixed = struct.pack(">H2x16s16s32x", 1, called.ljust(16).encode(), calling.ljust(16).encode())
    items = item(0x10, application) + b"".join(map(proposed, contexts))
    return pdu(ASSOCIATE_RQ, fixed + items + (user_information() if information is None else information))


def pdv(context: int, data: bytes, *, control: int, length: int | None = None) -> bytes:
    """Return a presentation data value; `control` combines COMMAND and LAST."""
    return struct.pack(">IBB", len(data) + 2 if length is None else length, context, control) + data


def p_data(context: int, data: bytes, *, control: int) -> bytes:
    return pdu(P_DATA, pdv(context, data, control=control))


def implicit(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value


def even(text: str | bytes, pad: bytes = b"\0") -> bytes:
    data = text.encode() if isinstance(text, str) else text
    return data + pad if len(data) % 2 else data


def command_set(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return implicit(0x00000000, struct.pack("<I", len(body))) + body


def us(tag: int, value: int) -> bytes:
    return implicit(tag, struct.pack("<H", value))


def store_command(sop_instance_uid: str, *, sop_class_uid: str = CT_IMAGE, message_id: int = 1) -> bytes:
    """Return the command set of a C-STORE-RQ (PS3.7 table 9.3-1)."""
    return command_set(
        implicit(0x00000002, even(sop_class_uid)),
        us(0x00000100, 0x0001),
        us(0x00000110, message_id),
        us(0x00000700, 0),
        us(0x00000800, 1),
        implicit(0x00001000, even(sop_instance_uid)),
    )


def echo_command(message_id: int = 1) -> bytes:
    """Return the command set of a C-ECHO-RQ."""
    return command_set(
        implicit(0x00000002, even(VERIFICATION)),
        us(0x00000100, 0x0030),
        us(0x00000110, message_id),
        us(0x00000800, 0x0101),
    )


def element(tag: int, vr: bytes, value: bytes, *, length: int | None = None) -> bytes:
    """Return a data element in Explicit VR Little Endian; `length` lies about it."""
    size = len(value) if length is None else length
    if vr in LONG_VRS:
        return struct.pack("<HH2s2xI", tag >> 16, tag & 0xFFFF, vr, size) + value
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, size) + value


def command_values(data: bytes) -> dict[int, bytes]:
    """Return the elements of a command set by tag."""
    values, at = {}, 0
    while at + 8 <= len(data):
        group, number, length = struct.unpack_from("<HHI", data, at)
        values[group << 16 | number] = data[at + 8 : at + 8 + length]
        at += 8 + length
    return values


def fragments(context: int, data: bytes, *, size: int, control: int = 0) -> Iterable[bytes]:
    """Yield P-DATA-TF PDUs of at most `size` bytes of payload each, the last one marked."""
    step = size - 6
    for at in range(0, max(len(data), 1), step):
        last = LAST if at + step >= len(data) else 0
        yield p_data(context, data[at : at + step], control=control | last)


class Peer:
    """A connection to a node that says what it is told to."""

    def __init__(
        self, port: int, *, address: str = "127.0.0.1", seconds: float = 10.0, tls: ssl.SSLContext | None = None
    ) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=seconds, source_address=(address, 0))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = plain if tls is None else tls.wrap_socket(plain)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def pour(self, data: bytes, *, total_bytes: int, seconds: float = 20.0) -> int:
        """Send `data` again and again until `total_bytes` have left, the peer closes, or takes no more."""
        self.socket.settimeout(seconds)
        sent = 0
        with suppress(OSError):
            while sent < total_bytes:
                sent += self.socket.send(data)
        return sent

    def read(self, *, seconds: float = 10.0) -> Reply:
        """Return the next PDU; kind 0 when the connection ended. Raises TimeoutError when nothing comes."""
        ends = time.monotonic() + seconds
        header = self._exactly(6, ends)
        if len(header) < 6:
            return Reply(0, b"")
        kind, length = struct.unpack(">BxI", header)
        return Reply(kind, self._exactly(length, ends))

    def _exactly(self, size: int, ends: float) -> bytes:
        data = b""
        while len(data) < size:
            self.socket.settimeout(max(0.001, ends - time.monotonic()))
            try:
                part = self.socket.recv(size - len(data))
            except (ConnectionError, BrokenPipeError):
                part = b""
            if not part:
                return b""
            data += part
        return data

    def ending(self, *, seconds: float = 10.0) -> Reply:
        """Read until the connection ends or is aborted, and return the last thing said; TimeoutError when neither."""
        ends, last = time.monotonic() + seconds, Reply(0, b"")
        while True:
            reply = self.read(seconds=max(0.001, ends - time.monotonic()))
            if reply.kind == 0:
                return last
            if reply.kind in {ABORT, ASSOCIATE_RJ}:
                return reply
            last = reply

    def associate(self, contexts: Sequence[Context] = CONTEXTS, **options: str) -> Reply:
        """Ask for an association and return the answer."""
        self.send(associate_rq(contexts, **options))
        return self.read()

    def results(self, contexts: Sequence[Context]) -> dict[int, int]:
        """Ask for an association; return the result of each context (0 accepted, 3 and 4 refused; PS3.8 9-18)."""
        answer = self.associate(contexts)
        assert answer.kind == ASSOCIATE_AC, answer
        return dict(_results(answer.payload[68:]))

    def echo(self) -> int:
        """C-ECHO; returns the status."""
        self.send(p_data(ECHO_CONTEXT.number, echo_command(), control=COMMAND | LAST))
        return self.status()

    def send_object(
        self, data: bytes, *, sop_instance_uid: str = "1.2.3.4", sop_class_uid: str = CT_IMAGE, message_id: int = 1
    ) -> None:
        """Send a C-STORE-RQ without waiting for its answer."""
        command = store_command(sop_instance_uid, sop_class_uid=sop_class_uid, message_id=message_id)
        parts = [p_data(CT_CONTEXT.number, command, control=COMMAND | LAST)]
        parts += fragments(CT_CONTEXT.number, data, size=16_384)
        self.send(b"".join(parts))

    def store(self, data: bytes, *, sop_instance_uid: str = "1.2.3.4", seconds: float = 60.0, **options: str) -> int:
        """C-STORE; returns the status, or -1 when the connection ended instead."""
        try:
            self.send_object(data, sop_instance_uid=sop_instance_uid, **options)
        except OSError:
            return -1
        return self.status(seconds=seconds)

    def status(self, *, seconds: float = 60.0) -> int:
        """Return the status of the next response, -1 when the connection ended or was aborted instead."""
        reply = self.read(seconds=seconds)
        if reply.kind != P_DATA:
            return -1
        return int(struct.unpack("<H", command_values(reply.payload[6:])[0x00000900])[0])

    def release(self) -> None:
        self.send(pdu(RELEASE_RQ, bytes(4)))
        self.read()


def _results(items: bytes) -> Iterable[tuple[int, int]]:
    at = 0
    while at + 4 <= len(items):
        kind, length = struct.unpack_from(">BxH", items, at)
        if kind == 0x21:
            yield items[at + 4], items[at + 6]
        at += 4 + length


def echo_seconds(
    port: int, *, address: str = "127.0.0.1", patience: float = 10.0, tls: ssl.SSLContext | None = None
) -> float:
    """Do what a known peer does who asks whether the node is there; return how long it took. Raises when it fails."""
    started = time.monotonic()
    with Peer(port, address=address, seconds=patience, tls=tls) as peer:
        peer.send(associate_rq([ECHO_CONTEXT]))
        answer = peer.read(seconds=patience)
        if answer.kind != ASSOCIATE_AC:
            raise ConnectionError(f"no association: PDU {answer.kind} {answer.payload.hex()}")
        status = peer.echo()
        if status != 0:
            raise ConnectionError(f"C-ECHO status {status}")
        peer.release()
    return time.monotonic() - started
