# SPDX-License-Identifier: Apache-2.0
"""Damaged conversations, by the hundred: no traceback, no stuck thread, no patient in a log, and service goes on."""

import logging
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from harness.dcmtk import Called, dcmsend, echoscu
from harness.phantom import MARKER, ct_slice
from harness.processes import wait_until
from harness.scripted import association_request
from service.domain.event import AssociationRejected, Event
from service.ports import IncomingInstance, StoreOutcome
from service.settings import NodeSettings, PeerSettings
from service.transport.connection import Limits
from service.transport.store_scp import StoreScp

pytestmark = pytest.mark.peers
CONVERSATIONS = 300


class Spoken(logging.Handler):
    """Keeps every record that pynetdicom lets out."""

    def __init__(self) -> None:
        super().__init__(level=logging.NOTSET)
        self.records: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("pynetdicom"):
            self.records.append(record.getMessage())


class Watched:
    """A storage SCP whose events, and whose library's log, a test reads."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.spoken = Spoken()
        node = NodeSettings.model_construct(
            ae_title="DOKUEI", host="127.0.0.1", port=0, max_associations=16, max_pdu_bytes=16_384, idle_seconds=5.0
        )
        peer = PeerSettings.model_validate({"name": "ct", "ae_title": "MODALITY", "address": "127.0.0.1"})
        self.scp = StoreScp(
            node,
            peers=[peer],
            receiver=receive,
            observer=self.events.append,
            transfer_syntaxes=["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"],
            limits=Limits(pdu_bytes=16_384, pdu_seconds=1, connections=64, connections_per_address=64),
        )
        self.scp.start()
        self.called = Called(self.scp.port)


def receive(incoming: IncomingInstance) -> StoreOutcome:
    b"".join(map(bytes, incoming.dataset))
    return StoreOutcome.STORED


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    logging.getLogger().addHandler(watched.spoken)
    yield watched
    logging.getLogger().removeHandler(watched.spoken)
    watched.scp.drain(2)


@pytest.fixture
def conversation(watched: Watched, tmp_path: Path) -> bytes:
    """What a real modality sends to store an image: recorded on its way."""
    recorder = Recorder(watched.scp.port)
    result = dcmsend(Called(recorder.port), [ct_slice(tmp_path / "ct.dcm", rows=32)])
    assert result.returncode == 0
    return recorder.stop()


class Recorder:
    """A proxy of one connection that keeps what the sender said."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._said = bytearray()
        self._thread = threading.Thread(target=self._relay, args=(port,))
        self._thread.start()

    def _relay(self, port: int) -> None:
        sender, _address = self._listener.accept()
        node = socket.create_connection(("127.0.0.1", port))
        back = threading.Thread(target=pump, args=(node, sender, bytearray()))
        back.start()
        pump(sender, node, self._said)
        back.join()
        sender.close()
        node.close()

    def stop(self) -> bytes:
        self._thread.join()
        self._listener.close()
        return bytes(self._said)


def pump(source: socket.socket, sink: socket.socket, copy: bytearray) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            copy += data
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def damaged(conversation: bytes, chance: random.Random) -> bytes:
    """Flip, cut, repeat or insert bytes, mostly in the part that is protocol and not pixels."""
    data = bytearray(conversation)
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(min(len(data), chance.choice([10, 600, len(data)])))
        kind = chance.randrange(4)
        if kind == 0:
            data[place] = chance.randrange(256)
        elif kind == 1:
            del data[place : place + chance.randint(1, 50)]
        elif kind == 2:
            data[place:place] = chance.randbytes(chance.randint(1, 50))
        else:
            data[place:place] = data[: chance.randint(1, 300)]
    return bytes(data)


def talk(port: int, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection, suppress(OSError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):
            pass


def acceptors() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "AcceptorThread" in thread.name]


def test_damaged_conversations_leave_nothing_behind(
    watched: Watched, conversation: bytes, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    died: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: died.append(str(arguments.exc_type)))
    chance = random.Random(20261120)
    for _ in range(CONVERSATIONS):
        talk(watched.scp.port, damaged(conversation, chance))
    assert echoscu(watched.called).returncode == 0
    wait_until(lambda: not acceptors(), seconds=12, what="threads of broken associations are still there")
    assert died == []
    assert watched.spoken.records == []
    assert MARKER not in repr(watched.events)
    assert "Traceback" not in capfd.readouterr().err


def test_the_marker_is_on_the_wire(conversation: bytes) -> None:
    """Without this the test above would prove nothing."""
    assert MARKER.encode() in conversation


def test_a_storm_of_unknown_titles_is_one_stranger(watched: Watched) -> None:
    """An AE title as a metric label could grow without bound."""
    for number in range(50):
        talk(watched.scp.port, association_request(calling=f"STRANGER{number}"))
    rejected = [event for event in watched.events if isinstance(event, AssociationRejected)]
    assert len(rejected) == len(watched.events) == 50
    assert {(event.peer, event.reason) for event in rejected} == {("other", "calling_ae")}
