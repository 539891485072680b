# SPDX-License-Identifier: Apache-2.0
"""Real modalities, and hostile ones, against the storage SCP."""

import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.uid import UID

from harness.dcmtk import Called, dcmsend, echoscu, storescu
from harness.phantom import ct_slice
from harness.processes import wait_until
from harness.scripted import association_request, read_pdu
from service.domain.errors import OutOfSpaceError
from service.domain.event import (
    AssociationAccepted,
    AssociationRejected,
    ConnectionDropped,
    Event,
    InstanceReceived,
    StageFailed,
)
from service.ports import IncomingInstance, StoreOutcome
from service.settings import NodeSettings, PeerSettings
from service.transport.connection import Limits
from service.transport.store_scp import StoreScp

pytestmark = pytest.mark.peers

IMPLICIT = "1.2.840.10008.1.2"
SYNTAXES = {
    "explicit": "1.2.840.10008.1.2.1",
    "implicit": IMPLICIT,
    "jpeg-baseline": "1.2.840.10008.1.2.4.50",
    "jpeg-extended": "1.2.840.10008.1.2.4.51",
    "jpeg-lossless": "1.2.840.10008.1.2.4.57",
    "jpeg-lossless-sv1": "1.2.840.10008.1.2.4.70",
    "jpeg-ls-lossless": "1.2.840.10008.1.2.4.80",
    "jpeg-ls-near": "1.2.840.10008.1.2.4.81",
    "jpeg-2000-lossless": "1.2.840.10008.1.2.4.90",
    "jpeg-2000": "1.2.840.10008.1.2.4.91",
    "rle": "1.2.840.10008.1.2.5",
}


class Inbox:
    """A receiver that keeps what it is given, and can be told to fail or to be slow."""

    def __init__(self) -> None:
        self.received: list[tuple[IncomingInstance, bytes]] = []
        self.outcome: StoreOutcome | Exception = StoreOutcome.STORED
        self.pause_seconds = 0.0
        self.entered = threading.Event()

    def __call__(self, incoming: IncomingInstance) -> StoreOutcome:
        self.entered.set()
        time.sleep(self.pause_seconds)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        self.received.append((incoming, b"".join(map(bytes, incoming.dataset))))
        return self.outcome


class Node:
    """A storage SCP on loopback with one peer, "MODALITY"."""

    def __init__(
        self, *, max_associations: int = 16, address: str = "127.0.0.0/8", limits: Limits | None = None
    ) -> None:
        self.inbox = Inbox()
        self.events: list[Event] = []
        settings = NodeSettings.model_construct(
            ae_title="DOKUEI",
            host="127.0.0.1",
            port=0,
            max_associations=max_associations,
            max_pdu_bytes=131_072,
            idle_seconds=60.0,
        )
        peer = PeerSettings.model_validate({"name": "ct", "ae_title": "MODALITY", "address": address})
        self.scp = StoreScp(
            settings,
            peers=[peer],
            receiver=self.inbox,
            observer=self._note,
            transfer_syntaxes=list(SYNTAXES.values()),
            limits=limits,
        )
        self.scp.start()
        self.called = Called(self.scp.port)

    def _note(self, event: Event) -> None:
        """Keep an event without where it came from, which differs from test to test."""
        if isinstance(event, AssociationRejected):
            event = replace(event, address="", calling_ae="")
        self.events.append(replace(event, address="") if isinstance(event, ConnectionDropped) else event)

    def count(self, event: Event) -> int:
        return self.events.count(event)


@pytest.fixture
def node() -> Iterator[Node]:
    node = Node()
    yield node
    node.scp.drain(2)


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    return ct_slice(tmp_path / "ct.dcm")


def parsed(incoming: IncomingInstance, data: bytes):
    syntax = UID(incoming.transfer_syntax_uid)
    return read_dataset(DicomBytesIO(data), syntax.is_implicit_VR, syntax.is_little_endian)


def test_answers_an_echo_of_a_known_peer(node: Node) -> None:
    result = echoscu(node.called)
    assert result.returncode == 0, result.stderr
    assert AssociationAccepted(peer="ct") in node.events


@pytest.mark.parametrize("syntax", SYNTAXES.values(), ids=SYNTAXES)
def test_hands_over_the_bytes_of_each_transfer_syntax(node: Node, tmp_path: Path, syntax: str) -> None:
    path = ct_slice(tmp_path / "ct.dcm", transfer_syntax=syntax)
    result = storescu(node.called, [path], "-xi") if syntax == IMPLICIT else dcmsend(node.called, [path], "-dn")
    assert result.returncode == 0, result.stdout + result.stderr
    [(incoming, data)] = node.inbox.received
    sent = dcmread(path)
    assert incoming.transfer_syntax_uid == syntax
    assert incoming.sop_instance_uid == sent.SOPInstanceUID
    assert (incoming.peer, incoming.calling_ae) == ("ct", "MODALITY")
    assert parsed(incoming, data).PixelData == sent.PixelData


def test_takes_a_study_over_one_association(node: Node, tmp_path: Path) -> None:
    paths = [ct_slice(tmp_path / f"{number}.dcm", rows=256, instance_number=number) for number in range(10)]
    result = storescu(node.called, paths)
    assert result.returncode == 0, result.stderr
    assert len(node.inbox.received) == 10
    assert node.count(AssociationAccepted(peer="ct")) == 1


def test_takes_eight_senders_at_once(node: Node, tmp_path: Path) -> None:
    paths = [ct_slice(tmp_path / f"{number}.dcm", rows=256) for number in range(5)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _index: storescu(node.called, paths), range(8)))
    assert [result.returncode for result in results] == [0] * 8
    assert len(node.inbox.received) == 40


@pytest.mark.parametrize(
    ("called", "reason", "peer", "text"),
    [
        ({"calling": "STRANGER"}, "calling_ae", "other", "Calling AE Title Not Recognized"),
        ({"ae_title": "SOMEBODY"}, "called_ae", "ct", "Called AE Title Not Recognized"),
    ],
)
def test_rejects_titles_that_are_not_configured(node: Node, called: dict, reason: str, peer: str, text: str) -> None:
    result = echoscu(Called(node.scp.port, **called))
    assert result.returncode != 0
    assert text in result.stderr
    assert AssociationRejected(peer=peer, reason=reason) in node.events


def test_rejects_a_known_title_from_a_strange_address() -> None:
    node = Node(address="10.1.2.0/24")
    result = echoscu(node.called)
    node.scp.drain(2)
    assert "Calling AE Title Not Recognized" in result.stderr
    assert AssociationRejected(peer="other", reason="address") in node.events


def test_rejects_associations_beyond_the_limit_as_transient(ct: Path) -> None:
    node = Node(max_associations=1)
    node.inbox.pause_seconds = 2
    first = threading.Thread(target=storescu, args=(node.called, [ct]))
    first.start()
    node.inbox.entered.wait(10)
    result = echoscu(node.called)
    first.join()
    node.scp.drain(2)
    assert "Local Limit Exceeded" in result.stderr
    assert AssociationRejected(peer="ct", reason="too_many") in node.events


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (StoreOutcome.STORED, 0x0000),
        (StoreOutcome.DUPLICATE, 0x0000),
        (StoreOutcome.CONFLICT, 0x0000),
        (StoreOutcome.OUT_OF_RESOURCES, 0xA700),
        (StoreOutcome.MISMATCH, 0xA900),
        (StoreOutcome.CANNOT_UNDERSTAND, 0xC000),
        (StoreOutcome.OWN_RESULT, 0x0124),
        (OutOfSpaceError("below the reserve"), 0xA700),
        (RuntimeError("a programming error"), 0x0110),
    ],
)
def test_maps_every_outcome_to_its_status(node: Node, ct: Path, outcome: StoreOutcome | Exception, status: int) -> None:
    node.inbox.outcome = outcome
    result = storescu(node.called, [ct], "-d")
    assert f"0x{status:04x}:" in result.stderr.lower()


def test_reports_an_exception_without_its_text(node: Node, ct: Path) -> None:
    node.inbox.outcome = RuntimeError("ZZMARKER")
    storescu(node.called, [ct])
    failure = StageFailed(stage="receive", study_key="", pipeline="", error="RuntimeError", retryable=False)
    assert failure in node.events
    assert "ZZMARKER" not in repr(node.events)


def test_refuses_sop_classes_that_it_does_not_take(node: Node, ct: Path) -> None:
    dataset = dcmread(ct)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"  # RT Structure Set
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.save_as(ct)
    assert storescu(node.called, [ct]).returncode != 0
    assert node.inbox.received == []


def test_drops_a_pdu_of_four_gigabytes_before_reading_it(node: Node) -> None:
    with socket.create_connection(("127.0.0.1", node.scp.port), timeout=5) as bomb:
        bomb.sendall(struct.pack(">BBI", 1, 0, 0xFFFFFFF0))
        sent = pour_until_closed(bomb)
    assert sent < 8_000_000
    assert ConnectionDropped(reason="pdu_length") in node.events
    assert echoscu(node.called).returncode == 0


def pour_until_closed(connection: socket.socket) -> int:
    sent = 0
    try:
        while sent < 100_000_000:
            sent += connection.send(bytes(65_536))
    except OSError:
        pass
    return sent


def test_drops_a_long_pdu_of_a_known_peer(node: Node) -> None:
    with socket.create_connection(("127.0.0.1", node.scp.port), timeout=5) as bomb:
        bomb.sendall(association_request())
        assert read_pdu(bomb)[0] == 2
        bomb.sendall(struct.pack(">BBI", 4, 0, 1_000_000))
        assert read_pdu(bomb)[0] == 7
        assert bomb.recv(1) == b""
    assert ConnectionDropped(reason="pdu_length") in node.events


@pytest.mark.parametrize("opening", [b"", b"\x01", association_request()[:40]], ids=["silent", "one byte", "part"])
def test_slow_connections_do_not_stop_an_echo(opening: bytes) -> None:
    node = Node(limits=Limits(pdu_seconds=2))
    slow = [socket.create_connection(("127.0.0.1", node.scp.port), timeout=5) for _ in range(15)]
    for connection in slow:
        connection.sendall(opening)
    started = time.monotonic()
    result = echoscu(node.called)
    took = time.monotonic() - started
    assert result.returncode == 0, result.stderr
    assert took < 2
    wait_until(lambda: all(is_closed(connection) for connection in slow), seconds=10, what="a slow peer is still held")
    for connection in slow:
        connection.close()
    assert node.scp.drain(5)


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0.05)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


def test_takes_a_bounded_number_of_connections() -> None:
    node = Node(limits=Limits(connections=4, connections_per_address=4, pdu_seconds=3))
    held = [socket.create_connection(("127.0.0.1", node.scp.port), timeout=5) for _ in range(12)]
    wait_until(lambda: sum(is_closed(connection) for connection in held) >= 8, seconds=3, what="no cap")
    wait_until(lambda: node.count(ConnectionDropped(reason="connections")) >= 8, seconds=3, what="not counted")
    for connection in held:
        connection.close()
    node.scp.drain(5)


def test_a_garbled_connection_harms_nobody() -> None:
    node = Node(limits=Limits(pdu_seconds=1))
    for garbage in (b"GET / HTTP/1.1\r\n\r\n" * 4, b"\x04\x00\x00\x00\x00\x00", association_request()[:6] + bytes(500)):
        with socket.create_connection(("127.0.0.1", node.scp.port), timeout=5) as connection:
            connection.sendall(garbage)
            connection.settimeout(8)
            with suppress(ConnectionResetError):
                while connection.recv(4096):
                    pass
    assert echoscu(node.called).returncode == 0
    node.scp.drain(2)


def test_drain_finishes_what_is_under_way(ct: Path) -> None:
    node = Node()
    node.inbox.pause_seconds = 1
    results: list[subprocess.CompletedProcess[str]] = []
    sender = threading.Thread(target=lambda: results.append(storescu(node.called, [ct])))
    sender.start()
    assert node.inbox.entered.wait(10)
    assert node.scp.drain(10)
    sender.join()
    assert "Received Store Response (Success)" in results[0].stderr
    assert len(node.inbox.received) == 1
    assert echoscu(node.called).returncode != 0


def test_drain_rejects_newcomers_as_temporary_congestion(ct: Path) -> None:
    node = Node()
    node.inbox.pause_seconds = 3
    sender = threading.Thread(target=storescu, args=(node.called, [ct]))
    sender.start()
    assert node.inbox.entered.wait(10)
    drained = threading.Thread(target=node.scp.drain, args=(10,))
    drained.start()
    time.sleep(0.2)
    result = echoscu(node.called)
    drained.join()
    sender.join()
    assert "Temporary Congestion" in result.stderr
    assert AssociationRejected(peer="ct", reason="draining") in node.events


def test_drain_answers_later_requests_of_an_open_association_with_a700(tmp_path: Path) -> None:
    node = Node()
    node.inbox.pause_seconds = 0.5
    paths = [ct_slice(tmp_path / f"{number}.dcm") for number in range(20)]
    sender = threading.Thread(target=storescu, args=(node.called, paths))
    sender.start()
    assert node.inbox.entered.wait(10)
    started = time.monotonic()
    assert node.scp.drain(10)
    assert time.monotonic() - started < 5
    sender.join()
    assert 1 <= len(node.inbox.received) < 20


def test_drain_gives_up_on_a_receiver_that_hangs(ct: Path) -> None:
    node = Node()
    node.inbox.pause_seconds = 4
    sender = threading.Thread(target=storescu, args=(node.called, [ct]))
    sender.start()
    assert node.inbox.entered.wait(10)
    assert not node.scp.drain(0.5)
    sender.join()


def test_reports_what_the_receiver_never_saw(node: Node, ct: Path) -> None:
    node.inbox.outcome = OutOfSpaceError("below the reserve")
    storescu(node.called, [ct])
    reported = [event for event in node.events if isinstance(event, InstanceReceived)]
    assert [(event.peer, event.outcome) for event in reported] == [("ct", "storage_error")]
