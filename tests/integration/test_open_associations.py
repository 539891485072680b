# SPDX-License-Identifier: Apache-2.0
"""What is open is counted by peer while it is open, and no longer."""

import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.phantom import ct_slice
from harness.processes import wait_until
from harness.scripted import association_request, read_pdu
from harness.stow import StowNode, multipart, open_socket, request_head
from service.domain.event import Event
from service.ports import IncomingInstance, StoreOutcome
from service.settings import NodeSettings, PeerSettings
from service.transport.store_scp import StoreScp

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def take(_incoming: IncomingInstance) -> StoreOutcome:
    return StoreOutcome.STORED


def forget(_event: Event) -> None:
    """Nobody looks at the events."""


@pytest.fixture
def scp() -> Iterator[StoreScp]:
    settings = NodeSettings.model_construct(
        ae_title="DOKUEI", host="127.0.0.1", port=0, max_associations=8, max_pdu_bytes=131_072, idle_seconds=60.0
    )
    peer = PeerSettings.model_validate({"name": "ct", "ae_title": "MODALITY", "address": "127.0.0.1"})
    scp = StoreScp(settings, peers=[peer], receiver=take, observer=forget, transfer_syntaxes=[EXPLICIT])
    scp.start()
    yield scp
    scp.drain(2)


def open_association(scp: StoreScp) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", scp.port), timeout=10)
    connection.sendall(association_request())
    assert read_pdu(connection)[0] == 2
    return connection


def test_associations_are_counted_while_they_are_open(scp: StoreScp) -> None:
    assert scp.active() == Counter()
    with open_association(scp), open_association(scp):
        assert scp.active() == Counter(ct=2)
    wait_until(lambda: scp.active() == Counter(), seconds=5, what="an association that is closed is still counted")


def test_a_connection_that_has_asked_for_nothing_is_no_association(scp: StoreScp) -> None:
    with socket.create_connection(("127.0.0.1", scp.port), timeout=10), open_association(scp):
        assert scp.active() == Counter(ct=1)


def test_web_requests_are_counted_while_they_are_under_way(tmp_path: Path) -> None:
    node = StowNode(tmp_path)
    body = multipart([ct_slice(tmp_path / "a.dcm").read_bytes()])
    with open_socket(node.server.port) as connection:
        connection.sendall(request_head(len(body)) + body[:100])
        wait_until(lambda: node.server.active() == Counter(gateway=1), seconds=5, what="it is not counted")
        connection.sendall(body[100:])
        assert connection.recv(12) == b"HTTP/1.1 200"
        wait_until(lambda: node.server.active() == Counter(), seconds=5, what="it is still counted")
    node.stop()
