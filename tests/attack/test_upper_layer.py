# SPDX-License-Identifier: Apache-2.0
"""Attacks on the upper layer: lengths that lie, connections that say nothing, requests that never end.

The same attack first brings the stock server down where the threat table says that it does.
"""

import random
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from harness.processes import free_port, wait_until
from harness.receiver_program import ReceiverProgram
from harness.stock_scp import StockScp
from harness.watched import MIB, Bystander, Growth
from harness.wire import (
    ABORT,
    ASSOCIATE_AC,
    ASSOCIATE_RQ,
    COMMAND,
    CT_CONTEXT,
    CT_IMAGE,
    DEFLATED,
    EXPLICIT,
    LAST,
    P_DATA,
    RELEASE_RQ,
    Context,
    Peer,
    associate_rq,
    command_set,
    echo_command,
    echo_seconds,
    element,
    even,
    implicit,
    item,
    p_data,
    pdu,
    pdv,
    store_command,
    us,
)

pytestmark = pytest.mark.timeout(90)

StartReceiver = Callable[..., ReceiverProgram]
StartStock = Callable[..., StockScp]
BLOCK = bytes(65_536)
SOCKET_BUFFERS = 16 * MIB
"""What the kernel may hold on the way between two sockets of this machine."""


def is_down(port: int, *, seconds: float = 3.0) -> bool:
    """Whether a known peer who asks C-ECHO gets no answer."""
    try:
        echo_seconds(port, address=Bystander.ADDRESS, patience=seconds)
    except OSError:
        return True
    return False


def believed_length(port: int, *, associated: bool, length: int) -> int:
    """Announce a PDU of `length` bytes and send zeros; return how many left."""
    with Peer(port) as peer:
        if associated:
            assert peer.associate().kind == ASSOCIATE_AC
        peer.send(pdu(P_DATA if associated else ASSOCIATE_RQ, length=length))
        return peer.pour(BLOCK, total_bytes=64 * MIB, seconds=3)


@pytest.mark.parametrize(("associated", "length"), [(False, 0xFFFFFFF0), (True, 0x7FFFFFFF)], ids=["A01", "A01b"])
def test_a01_a_length_of_gigabytes_is_not_believed(
    receiver: ReceiverProgram, start_stock: StartStock, associated: bool, length: int
) -> None:
    stock = start_stock()  # of its own: one that was attacked before takes the memory that it freed then
    with Growth(stock.cost) as growth:
        sent = believed_length(stock.port, associated=associated, length=length)
        growth.wait_for(56 * MIB)
    assert sent == 64 * MIB

    started = time.monotonic()
    with Bystander(receiver.port) as bystander, Growth(receiver.cost) as growth:
        sent = believed_length(receiver.port, associated=associated, length=length)
    assert sent < SOCKET_BUFFERS
    assert growth.bytes <= 4 * MIB
    assert time.monotonic() - started < 3
    bystander.check()


SLOW = {
    "silent": b"",
    "one byte": b"\x01",
    "header": pdu(ASSOCIATE_RQ, length=200),
    "part of a request": associate_rq()[:60],
}


@contextmanager
def held(port: int, opening: bytes, *, count: int, address: str = "127.0.0.1") -> Iterator[list[Peer]]:
    """Hold connections that have said `opening` and say no more."""
    with ExitStack() as stack:
        peers: list[Peer] = []
        with suppress(TimeoutError):  # nobody accepts any more
            for _ in range(count):
                time.sleep(0.002)  # slower than a full backlog, which costs a second each time
                peers.append(stack.enter_context(Peer(port, address=address, seconds=4)))
                with suppress(OSError):  # it was closed at once
                    peers[-1].send(opening)
        yield peers


def seconds_until_closed(peers: list[Peer], *, patience: float) -> float:
    """Wait until every connection has ended; return how long that took."""
    started = time.monotonic()
    for peer in peers:
        try:
            peer.ending(seconds=max(0.01, patience - (time.monotonic() - started)))
        except TimeoutError:
            raise AssertionError(f"a connection is still held after {patience} s") from None
    return time.monotonic() - started


@pytest.mark.parametrize("opening", [b"\x01", SLOW["header"]], ids=["one byte", "header"])
def test_a02_eleven_bytes_stop_the_stock_server(stock: StockScp, opening: bytes) -> None:
    with held(stock.port, opening, count=11):
        wait_until(lambda: is_down(stock.port), seconds=20, what="the stock server still serves")
        time.sleep(2)
        assert is_down(stock.port)  # and it does not recover


def test_a02_g28_slow_connections_are_reclaimed_and_stop_nobody(receiver: ReceiverProgram) -> None:
    """Silent, one byte, a header, part of a request, a byte at a time; A23 and goal 19 are the one within a PDU."""
    with Bystander(receiver.port) as bystander, ExitStack() as stack:
        stuck = stack.enter_context(Peer(receiver.port))
        assert stuck.associate().kind == ASSOCIATE_AC
        stuck.send(STORE + p_data(1, bytes(10_000), control=0)[:5_000])
        peers: list[Peer] = []
        for opening in SLOW.values():
            peers += stack.enter_context(held(receiver.port, opening, count=6))
        dripping = stack.enter_context(Peer(receiver.port))
        threading.Thread(target=drip, args=(dripping, associate_rq()), daemon=True).start()
        started = time.monotonic()
        assert seconds_until_closed([*peers, dripping], patience=15) <= 5 + 1  # one more for a busy machine
        seconds_until_closed([stuck], patience=10)
        assert time.monotonic() - started <= 10
    bystander.check()


def drip(peer: Peer, data: bytes) -> None:
    """Say a byte now and then: never silent, never done."""
    with suppress(OSError):
        for byte in data:
            peer.send(bytes([byte]))
            time.sleep(0.3)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that trusts itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "certificate.pem", folder / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject]
    subprocess.run([*command, "-out", files[0], "-keyout", files[1]], check=True, capture_output=True)
    files[1].chmod(0o600)
    return files


def client(certificate: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate[0]))
    context.check_hostname = False
    context.load_cert_chain(*certificate)
    return context


def test_a03_one_silent_connection_stops_the_stock_tls_server(
    start_stock: StartStock, certificate: tuple[Path, Path]
) -> None:
    stock = start_stock(certificate=str(certificate[0]), key=str(certificate[1]))
    time.sleep(0.5)  # the probe that found the port has failed its handshake by now
    assert echo_seconds(stock.port, address=Bystander.ADDRESS, tls=client(certificate)) < 5
    with held(stock.port, b"", count=1), pytest.raises(OSError):  # noqa: PT011 - whatever it is, nobody answers
        echo_seconds(stock.port, address=Bystander.ADDRESS, patience=6, tls=client(certificate))


def test_a03_g28_silent_handshakes_stop_nobody(start_receiver: StartReceiver, certificate: tuple[Path, Path]) -> None:
    """Silent, a ClientHello cut off, and plain bytes on the TLS port: the next client is served at once."""
    port = free_port()
    names = {"certificate": str(certificate[0]), "key": str(certificate[1]), "trusted": str(certificate[0])}
    receiver = start_receiver(node={"tls": {"port": port, **names}})
    with ExitStack() as stack:
        peers = stack.enter_context(held(port, b"", count=10))
        peers += stack.enter_context(held(port, b"\x16\x03\x01\x02\x00\x01", count=10))  # a ClientHello cut off
        peers += stack.enter_context(held(port, associate_rq(), count=3))  # plain on the TLS port
        seconds = [
            echo_seconds(port, address=Bystander.ADDRESS, tls=client(certificate)),
            echo_seconds(receiver.port, address=Bystander.ADDRESS),
        ]
        assert max(seconds) < 1
        assert seconds_until_closed(peers, patience=12) <= 10
    assert echo_seconds(port, address=Bystander.ADDRESS, tls=client(certificate)) < 1


def test_a07_connections_without_number(receiver: ReceiverProgram, start_stock: StartStock) -> None:
    """200 from one address of a known peer and 200 from 20 addresses of strangers."""
    stock = start_stock(memory_bytes=1 << 30)
    with held(stock.port, b"", count=200):
        wait_until(lambda: is_down(stock.port), seconds=20, what="the stock server still serves")
    stock.kill()

    before = receiver.cost.threads
    with Bystander(receiver.port) as bystander, ExitStack() as stack:
        peers = stack.enter_context(held(receiver.port, b"", count=200))
        for number in range(1, 21):
            peers += stack.enter_context(held(receiver.port, b"\x01", count=10, address=f"127.0.1.{number}"))
        assert receiver.cost.threads - before <= 2 * 64 + 2  # twice as many connections as associations
        assert seconds_until_closed(peers, patience=15) <= 10
    bystander.check()


def test_a07c_idle_associations_cost_nothing(start_receiver: StartReceiver, start_stock: StartStock) -> None:
    stock = start_stock(associations=100)
    receiver = start_receiver(node={"max_associations": 64})
    with ExitStack() as stack:
        associated(stack, stock.port, count=20)
        assert stock.cost.share_of_a_core(seconds=2) > 0.1
    stock.kill()
    with ExitStack() as stack:
        for number in (1, 3):
            associated(stack, receiver.port, count=30, address=f"127.0.0.{number}")
        assert receiver.cost.share_of_a_core(seconds=2) <= 0.05
        assert echo_seconds(receiver.port, address=Bystander.ADDRESS) < 0.25


def associated(stack: ExitStack, port: int, *, count: int, address: str = "127.0.0.1") -> list[Peer]:
    peers = [stack.enter_context(Peer(port, address=address)) for _ in range(count)]
    for peer in peers:
        assert peer.associate().kind == ASSOCIATE_AC
    return peers


def many_items(count: int) -> bytes:
    """An association request with this many sub-items of user information, in as many items as they need."""
    per_item = 2_000
    sub_items = item(0x53, b"\0\1\0\1") * per_item
    return associate_rq(information=item(0x50, sub_items) * (count // per_item))


def test_a08_sub_items_without_number(receiver: ReceiverProgram, patient_stock: StockScp) -> None:
    """The table's 400,000 sub-items took 8 s; a quarter of them is enough to see it."""
    before = patient_stock.cost.cpu_seconds
    with Peer(patient_stock.port, seconds=60) as peer:
        peer.send(many_items(100_000))
        peer.read(seconds=60)
    assert patient_stock.cost.cpu_seconds - before > 0.3

    before = receiver.cost.cpu_seconds
    started = time.monotonic()
    with Growth(receiver.cost) as growth, Peer(receiver.port) as peer:
        peer.pour(many_items(400_000), total_bytes=1)
        peer.ending(seconds=3)
    assert time.monotonic() - started < 1 + 0.5
    assert receiver.cost.cpu_seconds - before < 0.5
    assert growth.bytes <= 4 * MIB


UNASSOCIATED = {
    "length 0": pdu(ASSOCIATE_RQ),
    "type 0": pdu(0, bytes(10)),
    "type 9": pdu(9, bytes(10)),
    "type 255": pdu(255, bytes(10)),
    "HTTP": b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
    "P-DATA before an association": p_data(1, echo_command(), control=COMMAND | LAST),
    "release before an association": pdu(RELEASE_RQ, bytes(4)),
    "answer instead of a request": pdu(ASSOCIATE_AC, bytes(68)),
    "200 contexts": associate_rq([Context(number % 256, CT_IMAGE, (EXPLICIT,)) for number in range(1, 401, 2)]),
    "context id twice": associate_rq([CT_CONTEXT, CT_CONTEXT]),
    "even context id": associate_rq([Context(2, CT_IMAGE, (EXPLICIT,))]),
    "item beyond the end": associate_rq(information=b"\x50\0\xff\xff"),
    "sub-item beyond its item": associate_rq(information=item(0x50, b"\x51\0\xff\xff")),
    "all ones": pdu(ASSOCIATE_RQ, b"\xff" * 300),
}


@pytest.mark.parametrize("data", UNASSOCIATED.values(), ids=UNASSOCIATED)
def test_g27_what_is_no_request_ends_the_connection(receiver: ReceiverProgram, data: bytes) -> None:
    ended_by(receiver, lambda peer: peer.send(data))


ODD = {
    "no contexts": associate_rq([]),
    "no user information": associate_rq(information=b""),
    "other application context": associate_rq(application=b"1.2.3.4"),
    "a context of nothing": associate_rq([Context(1, "", ())]),
}


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_g27_odd_requests_are_answered_or_ended(receiver: ReceiverProgram, data: bytes) -> None:
    with Growth(receiver.cost) as growth, Peer(receiver.port) as peer:
        started = time.monotonic()
        peer.send(data)
        peer.read(seconds=3)
        assert time.monotonic() - started < 1
    assert growth.bytes <= 4 * MIB


def ended_by(receiver: ReceiverProgram, say: Callable[[Peer], object]) -> None:
    """Check that what `say` does ends the connection within a second and costs next to nothing."""
    with Growth(receiver.cost) as growth, Peer(receiver.port) as peer:
        started = time.monotonic()
        with suppress(ConnectionError, BrokenPipeError):
            say(peer)
        peer.ending(seconds=3)
        took = time.monotonic() - started
    assert took < 1
    assert growth.bytes <= 4 * MIB
    assert not receiver.partial()


STORE = p_data(1, store_command("1.2.3"), control=COMMAND | LAST)
ASSOCIATED = {
    "longer than negotiated": pdu(P_DATA, length=300_000),
    "P-DATA of length 0": pdu(P_DATA),
    "PDV of length 0": pdu(P_DATA, pdv(1, b"", control=COMMAND, length=0)[:4]),
    "PDV of length 1": pdu(P_DATA, pdv(1, b"", control=COMMAND, length=1)[:5]),
    "PDV beyond its PDU": pdu(P_DATA, pdv(1, bytes(10), control=COMMAND, length=5_000)),
    "PDV header cut off": pdu(P_DATA, b"\0\0\0"),
    "context that was not accepted": p_data(99, store_command("1.2.3"), control=COMMAND | LAST),
    "command set of 10 MB": b"".join([p_data(1, bytes(16_000), control=COMMAND)] * 640),
    "two command sets": STORE + STORE,
    "data set without a command": p_data(1, bytes(100), control=LAST),
    "data set in another context": STORE + p_data(3, bytes(100), control=LAST),
    "release within an object": STORE + p_data(1, bytes(1_000), control=0) + pdu(RELEASE_RQ, bytes(4)),
    "request within an association": associate_rq(),
    "unknown PDU": pdu(0x4F, bytes(4)),
    "command set of zeros": p_data(1, bytes(100), control=COMMAND | LAST),
    "command set that is no command": p_data(1, b"\xff" * 100, control=COMMAND | LAST),
    "command set without its elements": p_data(1, command_set(us(0x00000100, 1)), control=COMMAND | LAST),
    "element beyond the command set": p_data(
        1, implicit(0, b"\x64\0\0\0") + b"\0\0\2\0\xff\xff\xff\xff1.2", control=COMMAND | LAST
    ),
    "response without a request": p_data(
        1, command_set(us(0x00000100, 0x8001), us(0x00000120, 1), us(0x00000900, 0)), control=COMMAND | LAST
    ),
}


@pytest.mark.parametrize("data", ASSOCIATED.values(), ids=ASSOCIATED)
def test_g27_what_breaks_the_protocol_ends_the_association(receiver: ReceiverProgram, data: bytes) -> None:
    def say(peer: Peer) -> None:
        assert peer.associate().kind == ASSOCIATE_AC
        peer.send(data)

    ended_by(receiver, say)


def test_g27_an_unknown_command_is_refused(receiver: ReceiverProgram) -> None:
    """PS3.7 C.5.9: unrecognised operation."""
    unknown = command_set(implicit(2, even(CT_IMAGE)), us(0x100, 0x0040), us(0x110, 1), us(0x800, 0x0101))
    with Peer(receiver.port) as peer:
        assert peer.associate().kind == ASSOCIATE_AC
        peer.send(p_data(1, unknown, control=COMMAND | LAST))
        assert peer.status(seconds=3) in {0x0211, -1}


def test_g27_an_abort_within_an_object_is_its_end(receiver: ReceiverProgram) -> None:
    stored = len(receiver.stored())
    with Peer(receiver.port) as peer:
        assert peer.associate().kind == ASSOCIATE_AC
        peer.send(STORE + p_data(1, bytes(1_000), control=0) + pdu(ABORT, bytes(4)))
        peer.ending(seconds=3)
    assert len(receiver.stored()) == stored


def endless(port: int, *, control: int, total_bytes: int) -> int:
    """Send one message that never ends; return how much of it left."""
    with Peer(port) as peer:
        assert peer.associate().kind == ASSOCIATE_AC
        if control != COMMAND:
            peer.send(STORE)
        return peer.pour(p_data(1, bytes(16_000), control=control), total_bytes=total_bytes, seconds=5)


def test_a04_an_object_without_end(start_receiver: StartReceiver, patient_stock: StockScp) -> None:
    with Growth(patient_stock.cost) as growth:
        assert endless(patient_stock.port, control=0, total_bytes=64 * MIB) >= 64 * MIB
        growth.wait_for(48 * MIB)

    receiver = start_receiver(limits={"object_bytes": 32 * MIB})
    with Bystander(receiver.port) as bystander, Growth(receiver.cost) as growth:
        assert endless(receiver.port, control=0, total_bytes=512 * MIB) < 32 * MIB + SOCKET_BUFFERS
    bystander.check()
    time.sleep(0.5)
    assert growth.bytes <= 8 * MIB
    assert receiver.partial() == []
    assert receiver.stored() == []


def test_g30_a_command_without_end(receiver: ReceiverProgram, patient_stock: StockScp) -> None:
    with Growth(patient_stock.cost) as growth:
        assert endless(patient_stock.port, control=COMMAND, total_bytes=64 * MIB) >= 64 * MIB
        growth.wait_for(32 * MIB)
    with Growth(receiver.cost) as growth:
        assert endless(receiver.port, control=COMMAND, total_bytes=64 * MIB) < SOCKET_BUFFERS
    assert growth.bytes <= 4 * MIB


def test_g30_broken_transfers_leave_no_file(receiver: ReceiverProgram) -> None:
    """100 of the 1,000; the rest is in test_long.py."""
    abort_transfers(receiver.port, 100)
    time.sleep(0.5)
    assert receiver.partial() == []


def abort_transfers(port: int, count: int) -> None:
    """Break objects off: with an abort, with FIN, with RST, in turn."""
    for number in range(count):
        with Peer(port) as peer:
            assert peer.associate().kind == ASSOCIATE_AC
            peer.send(STORE + p_data(1, bytes(8_000), control=0))
            if number % 3 == 0:
                peer.send(pdu(ABORT, bytes(4)))
            elif number % 3 == 1:
                peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def pipelined(port: int, *, count: int, size: int) -> list[int]:
    """Send objects without reading a reply, and the replies only when nothing moves; return the statuses."""
    with Peer(port, seconds=60) as peer:
        assert peer.associate().kind == ASSOCIATE_AC

        def send() -> None:
            with suppress(OSError):
                for number in range(count):
                    peer.send_object(small_object(f"1.2.3.{number}", size), sop_instance_uid=f"1.2.3.{number}")

        thread = threading.Thread(target=send)
        thread.start()
        thread.join(3)
        statuses = [peer.status(seconds=30) for _ in range(count)]
        thread.join(30)
    return statuses


def small_object(sop_instance_uid: str, size: int = 64) -> bytes:
    """A data set of little more than `size` bytes."""
    return b"".join(
        (
            element(0x00080016, b"UI", even(CT_IMAGE)),
            element(0x00080018, b"UI", even(sop_instance_uid)),
            element(0x7FE00010, b"OW", bytes(size)),
        )
    )


def test_a05_g29_objects_without_waiting_for_an_answer(start_receiver: StartReceiver, start_stock: StartStock) -> None:
    """64 MiB of the table's 400: enough to tell a queue from back-pressure."""
    stock = start_stock(pause_seconds=0.2)
    with Growth(stock.cost) as growth:
        hang_up_after(stock.port, count=64, size=MIB)
        growth.wait_for(32 * MIB)
    stock.kill()

    receiver = start_receiver(pause_seconds=0.02)
    with Bystander(receiver.port) as bystander, Growth(receiver.cost) as growth:
        statuses = pipelined(receiver.port, count=64, size=MIB)
    assert growth.bytes <= 16 * MIB  # 32 of 200
    assert statuses == [0] * 64
    bystander.check()


def hang_up_after(port: int, *, count: int, size: int) -> None:
    """Send objects and hang up instead of reading the replies."""
    with Peer(port, seconds=30) as peer:
        assert peer.associate().kind == ASSOCIATE_AC
        for number in range(count):
            peer.send_object(small_object(f"1.2.3.{number}", size), sop_instance_uid=f"1.2.3.{number}")


def test_a06_g31_deflate_is_not_negotiated(receiver: ReceiverProgram) -> None:
    offers = [Context(1, CT_IMAGE, (DEFLATED,)), Context(3, CT_IMAGE, (DEFLATED, EXPLICIT))]
    with Peer(receiver.port) as peer:
        results = peer.results(offers)
        peer.release()
    assert results == {1: 4, 3: 0}  # 4: transfer syntaxes not supported (PS3.8 table 9-18)


def test_a21_sigterm_within_an_object_lets_it_finish(start_receiver: StartReceiver, start_stock: StartStock) -> None:
    assert status_across_sigterm(start_stock(shut_down=True)) == -1
    receiver = start_receiver()
    assert status_across_sigterm(receiver) == 0
    assert len(receiver.stored()) == 1


def status_across_sigterm(program: ReceiverProgram | StockScp) -> int:
    data = small_object("1.2.3.4", 40_000)
    with Peer(program.port) as peer:
        assert peer.associate().kind == ASSOCIATE_AC
        peer.send(p_data(1, store_command("1.2.3.4"), control=COMMAND | LAST) + p_data(1, data[:16_000], control=0))
        time.sleep(0.3)
        program.terminate()
        time.sleep(1)
        try:
            peer.send(p_data(1, data[16_000:32_000], control=0))
            peer.send(p_data(1, data[32_000:], control=LAST))
            return peer.status(seconds=5)
        except OSError:
            return -1


def test_a22_damaged_conversations(receiver: ReceiverProgram, start_stock: StartStock) -> None:
    """Tracebacks in the stock server; in ours none, nothing stuck, and no patient in the log."""
    stock = start_stock()
    converse(stock.port, 60)
    assert stock.log.count("Traceback") > 10
    stock.kill()

    stored = len(receiver.stored())
    with Bystander(receiver.port) as bystander:
        converse(receiver.port, 200)
    bystander.check()
    assert len(receiver.stored()) >= stored
    assert "ZZMARKER" not in receiver.log


def conversation() -> bytes:
    """What a modality says to store an object."""
    data = b"".join(
        (
            element(0x00080016, b"UI", even(CT_IMAGE)),
            element(0x00080018, b"UI", even("1.2.3.4.5")),
            element(0x00100010, b"PN", even("ZZMARKER^NAME")),
            element(0x00100020, b"LO", even("ZZMARKERID")),
            element(0x7FE00010, b"OW", bytes(2_000)),
        )
    )
    said = [associate_rq(), p_data(1, store_command("1.2.3.4.5"), control=COMMAND | LAST)]
    said += [p_data(1, data[:1_000], control=0), p_data(1, data[1_000:], control=LAST), pdu(RELEASE_RQ, bytes(4))]
    return b"".join(said)


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Flip, cut, insert or repeat a few bytes."""
    spoiled = bytearray(data)
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(spoiled))
        match chance.randrange(4):
            case 0:
                spoiled[at] = chance.randrange(256)
            case 1:
                del spoiled[at : at + chance.randint(1, 40)]
            case 2:
                spoiled[at:at] = chance.randbytes(chance.randint(1, 40))
            case _:
                spoiled[at:at] = spoiled[: chance.randint(1, 300)]
    return bytes(spoiled)


def converse(port: int, count: int) -> None:
    """Have that many damaged conversations, four at a time."""
    chance = random.Random(22)
    said = [damaged(conversation(), chance) for _ in range(count)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda data: talk(port, data), said))


def talk(port: int, data: bytes) -> None:
    with suppress(OSError), Peer(port, seconds=3) as peer:
        peer.send(data)
        peer.socket.shutdown(socket.SHUT_WR)
        while peer.socket.recv(65_536):
            pass


def test_the_echo_of_the_bystander_is_a_real_one(receiver: ReceiverProgram) -> None:
    """Every check above leans on it: an unknown title must not count as served."""
    with pytest.raises(ConnectionError, match="no association"):
        echo_seconds(receiver.port, address="127.0.1.1")
    assert echo_seconds(receiver.port, address=Bystander.ADDRESS) < 1
