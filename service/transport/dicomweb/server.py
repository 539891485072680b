# SPDX-License-Identifier: Apache-2.0
"""The STOW-RS server: takes instances in over HTTP and hands their bytes, unparsed, to the receiver."""

import socket
import socketserver
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import h11

from service.domain.event import ConnectionDropped, StageFailed
from service.ports import Observer, Receiver
from service.settings import DicomwebSettings, PeerSettings
from service.transport.admission import CertificateIdentity
from service.transport.certificates import peer_identity
from service.transport.deadline import shut_down
from service.transport.dicomweb.admission import WebCaller
from service.transport.dicomweb.conversation import Answer, Conversation, WebLimitError, WebLimits, header
from service.transport.dicomweb.reception import Reception
from service.transport.dicomweb.stow import Stow
from service.transport.sop_classes import INPUT_SOP_CLASSES
from service.transport.tcp import tune
from service.transport.tls import TlsError, TlsServer

DRAIN_POLL_SECONDS = 0.02
ACCEPT_POLL_SECONDS = 0.1

Address = tuple[Any, ...]


class StowServer:
    """A DICOMweb server that stores for the configured peers.

    Parameters
    ----------
    transfer_syntaxes
        UIDs that the node can decode.
    tls
        Without it the port speaks plain HTTP.
    limits
        What one client may cost; derived from `settings` when absent.
    """

    def __init__(
        self,
        settings: DicomwebSettings,
        *,
        peers: Sequence[PeerSettings],
        receiver: Receiver,
        observer: Observer,
        transfer_syntaxes: Collection[str],
        sop_classes: Collection[str] = INPUT_SOP_CLASSES,
        tls: TlsServer | None = None,
        limits: WebLimits | None = None,
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._tls = tls
        self._limits = limits or _limits(settings)
        self._reception = Reception(peers, observer, base=settings.base)
        self._stow = Stow(
            receiver, observer, transfer_syntaxes=transfer_syntaxes, sop_classes=sop_classes, limits=self._limits
        )
        self._draining = threading.Event()
        self._server: _Server | None = None

    @property
    def port(self) -> int:
        """The port that it listens on; the configured one before `start`."""
        return int(self._server.server_address[1]) if self._server else self._settings.listens_on

    @property
    def draining(self) -> bool:
        """Whether it takes nothing more in."""
        return self._draining.is_set()

    def start(self) -> None:
        """Listen; returns at once. Raises OSError when the port is taken."""
        self._server = _Server(
            (self._settings.host, self._settings.listens_on),
            limits=self._limits,
            tls=self._tls,
            converse=self._converse,
            observer=self._observer,
        )
        arguments = (ACCEPT_POLL_SECONDS,)
        threading.Thread(target=self._server.serve_forever, args=arguments, name="stow", daemon=True).start()

    def drain(self, timeout_seconds: float) -> bool:
        """Take no new request, answer those under way, then close; False when `timeout_seconds` were not enough."""
        self._draining.set()
        server = self._server
        if server is None:
            return True
        server.shutdown()
        server.server_close()
        ends = time.monotonic() + timeout_seconds
        while (busy := server.end_idle()) and time.monotonic() < ends:
            time.sleep(DRAIN_POLL_SECONDS)
        server.end_all()
        return not busy

    def active(self) -> Counter[str]:
        """Return the number of requests under way by the peer's name."""
        return Counter() if self._server is None else self._server.active()

    def _converse(self, visit: "_Visit") -> None:
        conversation = Conversation(visit.connection, self._limits)
        try:
            while (request := conversation.request()) is not None:
                visit.busy = True
                conversation.answer(self._answer(conversation, request, visit))
                visit.busy, visit.peer = False, ""
                if self.draining or not conversation.go_on():
                    break
        except h11.RemoteProtocolError as error:
            self._observer(ConnectionDropped(reason="protocol", address=visit.address[0]))
            conversation.answer(_bad_request(error))
        conversation.part()

    def _answer(self, conversation: Conversation, request: h11.Request, visit: "_Visit") -> Answer:
        caller = WebCaller(
            address=str(visit.address[0]),
            authorization=header(request, "Authorization"),
            certificate=_certificate(visit.connection),
        )
        admitted = self._reception(request, caller, draining=self.draining)
        if isinstance(admitted, Answer):
            return admitted
        visit.peer = admitted.peer
        return self._stow(admitted, conversation.body())


def _limits(settings: DicomwebSettings) -> WebLimits:
    connections = settings.max_connections
    return WebLimits(
        connections=connections,
        connections_per_address=max(1, connections // 2),
        idle_seconds=settings.idle_seconds,
    )


def _bad_request(error: h11.RemoteProtocolError) -> Answer:
    status = HTTPStatus(error.error_status_hint)
    return Answer(status=status, body=f"{status.phrase}\n".encode())


def _certificate(connection: socket.socket) -> CertificateIdentity | None:
    return peer_identity(connection) if isinstance(connection, ssl.SSLSocket) else None


class _Visit:
    """A connection, whether it is within a request, and whose: "" outside one that was admitted."""

    def __init__(self, connection: socket.socket, address: Address) -> None:
        self.connection = connection
        self.address = address
        self.busy = False
        self.peer = ""


class _Server(socketserver.ThreadingTCPServer):
    """Accepts connections within the limits; each has a thread, in which its TLS handshake takes place too."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(
        self,
        address: tuple[str, int],
        *,
        limits: WebLimits,
        tls: TlsServer | None,
        converse: Callable[[_Visit], None],
        observer: Observer,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._limits = limits
        self._tls = tls
        self._converse = converse
        self._observer = observer
        self._visits: dict[Any, _Visit] = {}
        self._lock = threading.Lock()
        super().__init__(address, socketserver.BaseRequestHandler)

    def get_request(self) -> tuple[socket.socket, Address]:
        """Accept a connection."""
        connection, address = super().get_request()
        if self._tls is None:
            return connection, address
        try:
            secured = self._tls.wrap(connection)
        except (OSError, ValueError):
            connection.close()
            raise
        return secured, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more connection, in all and from this address."""
        with self._lock:
            here = Counter(visit.address[0] for visit in self._visits.values())[client_address[0]]
            reason = self._crowded(here)
            if reason is None:
                self._visits[request] = _Visit(request, client_address)
        if reason is not None:
            self._observer(ConnectionDropped(reason=reason, address=client_address[0]))
        return reason is None

    def _crowded(self, here: int) -> str | None:
        if len(self._visits) >= self._limits.connections:
            return "connections"
        return "connections_per_address" if here >= self._limits.connections_per_address else None

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Talk with a client; runs in the connection's own thread."""
        try:
            tune(request)
            if self._tls is not None:
                self._tls.handshake(request, address=client_address[0])
            self._converse(self._visits[request])
        except TlsError:
            pass  # reported by the handshake
        except WebLimitError as error:
            self._observer(ConnectionDropped(reason=error.reason, address=client_address[0]))
        except OSError:
            self._observer(ConnectionDropped(reason="connection", address=client_address[0]))

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and forget it."""
        with self._lock:
            self._visits.pop(request, None)
        with suppress(OSError):
            request.close()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - socketserver's signature
        """Report a fault of ours; the stock method prints a traceback, which may quote an object."""
        name = type(sys.exception()).__name__
        self._observer(StageFailed(stage="receive", study_key="", pipeline="", error=name, retryable=False))

    def active(self) -> Counter[str]:
        """Return the number of requests under way by the peer's name."""
        with self._lock:
            return Counter(visit.peer for visit in self._visits.values() if visit.peer)

    def end_idle(self) -> list[_Visit]:
        """Close the connections between requests; return those within one."""
        with self._lock:
            visits = list(self._visits.values())
        for visit in visits:
            if not visit.busy:
                shut_down(visit.connection)
        return [visit for visit in visits if visit.busy]

    def end_all(self) -> None:
        """Close every connection."""
        with self._lock:
            visits = list(self._visits.values())
        for visit in visits:
            shut_down(visit.connection)
