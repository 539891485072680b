# SPDX-License-Identifier: Apache-2.0
"""DICOM over TLS, end to end: DCMTK and our own sender against the storage SCP, each let in by three proofs or not."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from fakes import Recorder
from harness.authority import DAY, Authority, Pair
from harness.dcmtk import Called, echoscu, run, storescu
from harness.phantom import ct_slice
from harness.processes import free_port
from harness.scripted import association_request, read_pdu
from service.domain.errors import DestinationUnreachableError
from service.domain.event import AssociationAccepted, AssociationRejected, TlsHandshake
from service.ports import EncodedObject, IncomingInstance, ResultKind, StoreOutcome
from service.settings import DestinationSettings, NodeSettings, PeerSettings
from service.transport.connection import Limits
from service.transport.store_scp import StoreScp
from service.transport.store_scu import StoreScu
from service.transport.tls import TlsServer

pytestmark = pytest.mark.peers
EXPLICIT = "1.2.840.10008.1.2.1"


class Site:
    """A storage SCP with a plain and a TLS port, and the certificates around it."""

    def __init__(self, folder: Path, *, port: int | None = 0, peer: dict[str, Any] | None = None) -> None:
        self.authority = Authority(folder / "authority")
        self.peer = self.authority.issue("ct.example")
        self.received: list[bytes] = []
        self.observer = Recorder()
        tls = {
            "port": free_port(),
            "certificate": str(self.authority.issue("localhost").certificate),
            "key": str(self.authority.issue("localhost").key),
            "trusted": str(self.authority.certificate),
            "handshake_seconds": 1,
        }
        pair = self.authority.issue("localhost")
        tls.update(certificate=str(pair.certificate), key=str(pair.key))
        settings = NodeSettings.model_validate({"host": "127.0.0.1", "tls": tls}).model_copy(update={"port": port})
        assert settings.tls is not None
        values = {"name": "ct", "ae_title": "MODALITY", "address": "127.0.0.1", **(peer or {})}
        self.scp = StoreScp(
            settings,
            peers=[PeerSettings.model_validate(values)],
            receiver=self._keep,
            observer=self.observer,
            transfer_syntaxes=[EXPLICIT],
            limits=Limits(negotiation_seconds=2),
            tls=TlsServer(settings.tls, observer=self.observer),
        )
        self.scp.start()

    def _keep(self, incoming: IncomingInstance) -> StoreOutcome:
        self.received.append(b"".join(map(bytes, incoming.dataset)))
        return StoreOutcome.STORED

    @property
    def secure(self) -> Called:
        assert self.scp.tls_port is not None
        return Called(self.scp.tls_port)

    def options(self, pair: Pair | None = None) -> list[str]:
        shown = pair or self.peer
        return ["+tls", str(shown.key), str(shown.certificate), "+cf", str(self.authority.certificate), "-ic"]

    def sender(self, **changes: Any) -> StoreScu:
        tls = {
            "trusted": str(self.authority.certificate),
            "certificate": str(self.peer.certificate),
            "key": str(self.peer.key),
            "server_name": "localhost",
            **changes,
        }
        settings = DestinationSettings.model_validate(
            {
                "name": "pacs",
                "ae_title": "DOKUEI",
                "host": "127.0.0.1",
                "port": self.scp.tls_port,
                "timeout_seconds": 5,
                "tls": tls,
            }
        )
        return StoreScu(settings, ae_title="MODALITY", observer=self.observer)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.scp.drain(2)


def encoded(path: Path) -> EncodedObject:
    dataset = dcmread(path, stop_before_pixels=True)
    return EncodedObject(
        kind=ResultKind.HEATMAP, sop_class_uid=dataset.SOPClassUID, sop_instance_uid=dataset.SOPInstanceUID, path=path
    )


def test_our_sender_reaches_our_receiver_over_tls(site: Site, tmp_path: Path) -> None:
    item = encoded(ct_slice(tmp_path / "ct.dcm", rows=1024))
    assert site.sender().send([item]) == {item.sop_instance_uid: 0}
    sent = (tmp_path / "ct.dcm").read_bytes()
    assert sent.endswith(site.received[0])
    assert [event.result for event in site.observer.of(TlsHandshake)] == ["ok"]


def test_dcmtk_echoes_over_tls(site: Site) -> None:
    answer = run(["echoscu", "-v", *site.options(), *site.secure.arguments])
    assert answer.returncode == 0, answer.stderr


def test_plain_senders_are_served_beside(site: Site, tmp_path: Path) -> None:
    answer = storescu(Called(site.scp.port), [ct_slice(tmp_path / "ct.dcm")])
    assert answer.returncode == 0, answer.stderr
    assert len(site.received) == 1


def test_a_peer_that_must_show_its_certificate_is_nobody_without_it(tmp_path: Path) -> None:
    site = Site(tmp_path, peer={"certificate_name": "ct.example"})
    plain = echoscu(Called(site.scp.port))
    site.sender().echo()
    other = site.authority.issue("mr.example")
    with pytest.raises(DestinationUnreachableError, match="rejected the association"):
        site.sender(certificate=str(other.certificate), key=str(other.key)).echo()
    site.scp.drain(2)
    assert "Calling AE Title Not Recognized" in plain.stderr
    assert [event.reason for event in site.observer.of(AssociationRejected)] == ["certificate", "certificate"]
    assert len(site.observer.of(AssociationAccepted)) == 1


def test_a_peer_that_may_not_store_is_offered_an_echo_alone(tmp_path: Path) -> None:
    site = Site(tmp_path, peer={"may": []})
    item = encoded(ct_slice(tmp_path / "ct.dcm"))
    destination = site.sender()
    destination.echo()
    assert destination.send([item]) == {item.sop_instance_uid: 0x0122}
    site.scp.drain(2)
    assert not site.received


def test_the_plain_port_can_be_closed(tmp_path: Path) -> None:
    site = Site(tmp_path, port=None)
    assert site.scp.port == site.scp.tls_port
    site.sender().echo()
    site.scp.drain(2)


@pytest.mark.parametrize("opening", [b"", b"\x16\x03\x01", association_request()], ids=["silent", "drip", "plain"])
def test_a_peer_that_does_not_shake_hands_is_gone_in_time_and_holds_nobody_up(site: Site, opening: bytes) -> None:
    """Twenty of them, a second each: one after the other they would take twenty."""
    port = site.secure.port
    with ExitStack() as opened:
        slow = [opened.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5)) for _ in range(20)]
        for connection in slow:
            connection.sendall(opening)
        started = time.monotonic()
        site.sender().echo()
        assert time.monotonic() - started < 5
        for connection in slow:
            connection.settimeout(10)
            with suppress(ConnectionError):
                while connection.recv(100):
                    continue
        assert time.monotonic() - started < 12


def test_what_is_wrong_with_certificates_is_said(site: Site, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger", name="Somebody Else")
    with pytest.raises(DestinationUnreachableError, match="trusted"):
        site.sender(trusted=str(stranger.certificate)).echo()
    expired = site.authority.issue("ct.example", ends=-DAY)
    with pytest.raises(DestinationUnreachableError, match="certificate"):
        site.sender(certificate=str(expired.certificate), key=str(expired.key)).echo()


def test_drains_over_tls_too(site: Site) -> None:
    context = site.sender()._opener._tls
    assert context is not None
    connection = socket.create_connection(("127.0.0.1", site.secure.port), timeout=5)
    secured = context.connect(connection, seconds=5)
    secured.sendall(association_request())
    assert read_pdu(secured)[0] == 2
    assert site.scp.drain(5)
    assert read_pdu(secured)[0] == 7
    secured.close()
