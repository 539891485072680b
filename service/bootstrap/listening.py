# SPDX-License-Identifier: Apache-2.0
"""Opens the ports of the node: what people and monitors look at, and what takes studies in."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

from service.bootstrap.dicomweb import make_stow_server
from service.bootstrap.status_page import http_tls
from service.dicom.pixels import SUPPORTED_TRANSFER_SYNTAXES
from service.domain.errors import ConfigurationError
from service.observability.health import Health
from service.observability.http import HttpServer
from service.observability.metrics import Metrics
from service.ports import Observer, Receiver
from service.ports.pages import Pages
from service.settings import DicomwebSettings, HttpSettings, NodeSettings, Settings
from service.transport.store_scp import StoreScp
from service.transport.tls import TlsServer
from service.workflow.commit import TakeReport
from service.workflow.context import FlowParts
from service.workflow.promise import TakeOrder
from service.workflow.receive import StoreInstance


class Intake(Protocol):
    """An open port that takes studies in."""

    @property
    def port(self) -> int:
        """The port's number."""

    def active(self) -> Mapping[str, int]:
        """Return how many associations or requests each peer has open."""

    def drain(self, timeout_seconds: float) -> bool:
        """Take nothing new, finish what runs within that time, and close; False when something was cut off."""


def open_http(settings: Settings, health: Health, metrics: Metrics, *, pages: Pages, observer: Observer) -> HttpServer:
    """Open the port of health, metrics and the status page.

    Raises
    ------
    ConfigurationError
        The port cannot be had.
    """
    server = HttpServer(
        settings.http, health=health, registry=metrics.registry, pages=pages, tls=http_tls(settings, observer)
    )
    with _naming_the_port("http", settings.http):
        server.start()
    return server


def open_intakes(parts: FlowParts) -> Iterator[Intake]:
    """Open the ports that take studies in, DICOM's last; each is open when it comes.

    Raises
    ------
    ConfigurationError
        A port cannot be had.
    """
    receiver = StoreInstance(parts)
    dicomweb = parts.settings.dicomweb
    if dicomweb is not None:
        yield _stow(parts, dicomweb, receiver)
    yield _scp(parts, receiver)


def _stow(parts: FlowParts, settings: DicomwebSettings, receiver: Receiver) -> Intake:
    server = make_stow_server(settings, peers=parts.settings.peers, receiver=receiver, observer=parts.observer)
    with _naming_the_port("dicomweb", HttpSettings(host=settings.host, port=settings.listens_on)):
        server.start()
    return server


def _scp(parts: FlowParts, receiver: Receiver) -> Intake:
    node = parts.settings.node
    scp = StoreScp(
        node,
        peers=parts.settings.peers,
        receiver=receiver,
        observer=parts.observer,
        transfer_syntaxes=SUPPORTED_TRANSFER_SYNTAXES,
        tls=None if node.tls is None else TlsServer(node.tls, observer=parts.observer),
        commitments=TakeReport(parts),
        commitment_requests=TakeOrder(parts),
    )
    with _naming_the_port("node", node):
        scp.start()
    return scp


@contextmanager
def _naming_the_port(section: str, place: NodeSettings | HttpSettings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"{section}.port: cannot listen on {place.host}:{place.port}: {error.strerror}; stop what uses it "
            "(another node?), or choose another port"
        ) from error
