# SPDX-License-Identifier: Apache-2.0
"""Archives that misbehave: each is a script for `ScriptedServer` that begins where a good one would."""

import socket
import struct
import time

from harness.scripted import ScriptedServer, read_pdu

RESET = struct.pack("ii", 1, 0)
ASSOCIATE_RQ = 1


def acceptance(request: bytes) -> bytes:
    """Return an A-ASSOCIATE-AC that takes every context of an A-ASSOCIATE-RQ with its first transfer syntax."""
    items, at = _item(0x10, b"1.2.840.10008.3.1.1.1"), 74
    while at + 4 <= len(request):
        kind, length = struct.unpack_from(">BxH", request, at)
        if kind == 0x20:
            items += _accepted_context(request[at + 4 : at + 4 + length])
        at += 4 + length
    items += _item(0x50, _item(0x51, struct.pack(">I", 16_384)) + _item(0x52, b"1.2.3.4"))
    return struct.pack(">BxI", 2, 68 + len(items)) + request[6:74] + items


def _accepted_context(context: bytes) -> bytes:
    at = 4
    while struct.unpack_from(">B", context, at)[0] != 0x40:
        at += 4 + struct.unpack_from(">H", context, at + 2)[0]
    syntax = context[at + 4 : at + 4 + struct.unpack_from(">H", context, at + 2)[0]]
    return _item(0x21, bytes([context[0], 0, 0, 0]) + _item(0x40, syntax))


def _item(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(payload)) + payload


def _accept(connection: socket.socket) -> None:
    _kind, request = read_pdu(connection)
    connection.sendall(acceptance(request))


def stops_reading(connection: socket.socket) -> None:
    """Accept the association and never read again: the window closes."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    _accept(connection)
    time.sleep(3_600)


def drips(connection: socket.socket) -> None:
    """Read everything and answer one byte every second, of a PDU that would take hours."""
    _accept(connection)
    connection.settimeout(0.2)
    answer = struct.pack(">BxI", 4, 100_000) + bytes(100_000)
    for each in answer:
        _swallow(connection, seconds=1.0)
        connection.send(bytes([each]))


def _swallow(connection: socket.socket, *, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            if not connection.recv(1 << 20):
                raise ConnectionError("closed")
        except TimeoutError:
            continue


def says_nothing(connection: socket.socket) -> None:
    """Take the connection and never answer, not even the association request."""
    connection.recv(1)
    time.sleep(3_600)


def answers_no_store(connection: socket.socket) -> None:
    """Accept the association, read everything, answer nothing."""
    _accept(connection)
    while connection.recv(1 << 20):
        pass


def resets(connection: socket.socket) -> None:
    """Accept the association and reset the connection at the first byte of an object."""
    _accept(connection)
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()


def knows_another_title(connection: socket.socket) -> None:
    """Reject: called AE title not recognised (PS3.8 table 9-21)."""
    read_pdu(connection)
    connection.sendall(struct.pack(">BxIBBBB", 3, 4, 0, 1, 1, 7))


BAD_ARCHIVES = {
    "zero-window": stops_reading,
    "drip": drips,
    "silent": says_nothing,
    "no-answer": answers_no_store,
    "reset": resets,
    "wrong-title": knows_another_title,
}


def start_all() -> dict[str, ScriptedServer]:
    """Start every bad archive by name."""
    return {name: ScriptedServer(script) for name, script in BAD_ARCHIVES.items()}
