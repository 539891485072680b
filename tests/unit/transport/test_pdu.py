# SPDX-License-Identifier: Apache-2.0
"""PDUs read in place: whatever the pieces that they arrive in, and whatever a peer writes into their headers."""

import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.transport.connection import Connection, Limits, PeerBrokeLimitError, PeerClosedError, ProtocolError
from service.transport.pdu import PduReader, PduType, p_data_header

QUICK = Limits(pdu_bytes=65_536, pdu_seconds=1)


@pytest.fixture
def wire() -> Iterator[tuple[socket.socket, PduReader]]:
    """The peer's end of a connection, and our reader of the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    connection = Connection(ours)
    yield peer, PduReader(connection, QUICK)
    connection.close()
    peer.close()


def fragment(data: bytes, *, command: bool = False, last: bool = True, context: int = 1) -> bytes:
    return p_data_header(len(data), context, command=command, last=last) + data


def read_message(reader: PduReader) -> tuple[bytes, bytes]:
    assert reader.next_pdu(seconds=5) == PduType.P_DATA
    context, command = reader.command()
    return command, b"".join(bytes(chunk) for chunk in reader.data_set(context))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    command=st.binary(min_size=1, max_size=300),
    data=st.binary(max_size=5000),
    pdv=st.integers(1, 700),
    pieces=st.lists(st.integers(1, 900), max_size=30),
)
def test_any_split_into_fragments_and_packets_gives_the_same_message(
    wire: tuple[socket.socket, PduReader], command: bytes, data: bytes, pdv: int, pieces: list[int]
) -> None:
    peer, reader = wire
    stream = b"".join(split(command, pdv, command=True)) + b"".join(split(data, pdv, command=False))
    sender = threading.Thread(target=send_in_pieces, args=(peer, stream, pieces))
    sender.start()
    assert read_message(reader) == (command, data)
    sender.join()


def split(data: bytes, size: int, *, command: bool) -> Iterator[bytes]:
    starts = range(0, len(data), size) if data else [0]
    for start in starts:
        yield fragment(data[start : start + size], command=command, last=start + size >= len(data))


def send_in_pieces(peer: socket.socket, stream: bytes, pieces: list[int]) -> None:
    for size in pieces:
        peer.sendall(stream[:size])
        stream = stream[size:]
    peer.sendall(stream)


def test_several_fragments_in_one_pdu(wire: tuple[socket.socket, PduReader]) -> None:
    peer, reader = wire
    values = fragment(b"cc", command=True)[6:] + fragment(b"dd", last=False)[6:] + fragment(b"ee")[6:]
    peer.sendall(struct.pack(">BxI", PduType.P_DATA, len(values)) + values)
    assert read_message(reader) == (b"cc", b"ddee")


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (struct.pack(">BxI", 0x01, 0xFFFFFFF0), "pdu_length"),
        (struct.pack(">BxI", 0x04, 2_147_483_648), "pdu_length"),
        (struct.pack(">BxI", 0x04, 65_536 + 100), "pdu_length"),
        (struct.pack(">BxI", 0x04, 0), "protocol"),
        (struct.pack(">BxI", 0x05, 400), "pdu_length"),
        (struct.pack(">BxI", 0x99, 4), "protocol"),
        (struct.pack(">BxI", 0x01, 10), "protocol"),
    ],
)
def test_refuses_a_header_before_what_it_announces(
    wire: tuple[socket.socket, PduReader], stream: bytes, reason: str
) -> None:
    peer, reader = wire
    peer.sendall(stream)
    with pytest.raises(PeerBrokeLimitError) as caught:
        reader.next_pdu(seconds=5)
    assert caught.value.reason == reason


@pytest.mark.parametrize("length", [0, 1, 500], ids=["no control byte", "one byte", "over the end of the PDU"])
def test_refuses_a_fragment_that_does_not_fit(wire: tuple[socket.socket, PduReader], length: int) -> None:
    peer, reader = wire
    peer.sendall(struct.pack(">BxIIBB", 0x04, 8, length, 1, 3) + b"xx")
    with pytest.raises(ProtocolError):
        read_message(reader)


@pytest.mark.parametrize(
    "stream",
    [
        fragment(b"c", command=True) + fragment(b"x", command=True),
        fragment(b"c", command=True) + fragment(b"x", context=3),
        fragment(b"x"),
        fragment(b"c", command=True, last=False) + fragment(b"x"),
        fragment(b"c" * 60_000, command=True, last=False) * 2,
        fragment(b"c", command=True) + struct.pack(">BxIxxxx", 0x05, 4),
    ],
    ids=[
        "two command sets",
        "context changes",
        "data set without command",
        "data set inside a command",
        "command of 120 kB",
        "release inside a message",
    ],
)
def test_refuses_fragments_out_of_place(wire: tuple[socket.socket, PduReader], stream: bytes) -> None:
    peer, reader = wire
    peer.sendall(stream)
    with pytest.raises(ProtocolError):
        read_message(reader)


def test_a_pdu_that_drips_is_given_up(wire: tuple[socket.socket, PduReader]) -> None:
    peer, reader = wire
    stopped = threading.Event()

    def drip() -> None:
        for byte in fragment(b"c" * 100, command=True):
            if stopped.wait(0.2):
                return
            peer.sendall(bytes((byte,)))

    sender = threading.Thread(target=drip)
    sender.start()
    with pytest.raises(PeerBrokeLimitError, match="pdu_time"):
        read_message(reader)
    stopped.set()
    sender.join()


def test_an_object_that_crawls_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    crawling = Limits(pdu_seconds=1, grace_seconds=0.3, slowest_bytes_per_second=1_000)
    reader = PduReader(Connection(ours), crawling)
    stopped = threading.Event()

    def crawl() -> None:
        peer.sendall(fragment(b"c", command=True))
        while not stopped.wait(0.1):
            peer.sendall(fragment(b"x", last=False))

    sender = threading.Thread(target=crawl)
    sender.start()
    with pytest.raises(PeerBrokeLimitError, match="object_time"):
        read_message(reader)
    stopped.set()
    sender.join()
    peer.close()
    ours.close()


def test_an_object_beyond_the_limit_is_given_up(wire: tuple[socket.socket, PduReader]) -> None:
    peer, _ = wire
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    reader = PduReader(Connection(ours), Limits(object_bytes=100))
    peer.sendall(fragment(b"c", command=True) + fragment(b"x" * 60, last=False) * 3)
    with pytest.raises(PeerBrokeLimitError, match="object_length"):
        read_message(reader)
    peer.close()
    ours.close()


def test_a_peer_that_closes_inside_a_message_is_noticed(wire: tuple[socket.socket, PduReader]) -> None:
    peer, reader = wire
    peer.sendall(fragment(b"c", command=True) + fragment(b"x" * 50)[:30])
    peer.close()
    with pytest.raises(PeerClosedError):
        read_message(reader)
