# SPDX-License-Identifier: Apache-2.0
"""pynetdicom's upper layer with the limits that a hospital network needs: PDU length, PDU time, connections, memory.

The stock server believes a PDU length of 4 GiB before it knows who calls, waits for the rest of a PDU for ever, and
leaves a traceback and a thread behind when a peer misbehaves. The subclasses here change that, and only that.
"""

import logging
import queue
import socket
import socketserver
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from pynetdicom import AE, _config
from pynetdicom.association import Association
from pynetdicom.fsm import StateMachine
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import (
    T_CONNECT,
    AddressInformation,
    AssociationSocket,
    RequestHandler,
    ThreadedAssociationServer,
)

from service.transport.deadline import shut_down
from service.transport.tcp import acknowledge_now, tune

PDU_HEADER_BYTES = 6
P_DATA_TF = 0x04
NEGOTIATION_PDU_BYTES = 262_144
"""An A-ASSOCIATE-RQ with 128 presentation contexts of 30 transfer syntaxes each takes half of this."""
PDU_SLACK_BYTES = 12
"""Some senders count the PDV header out of the maximum length (PS3.8 D.1) and overshoot it by a few bytes."""
MESSAGES_AHEAD = 2
"""Requests that a peer may send ahead of our answers before we stop reading."""

Dropped = Callable[[str], None]
"""Is told why a connection was dropped, as a slug."""


def silence_pynetdicom() -> None:
    """Switch pynetdicom's own logging off: it prints AE titles, UIDs and data set elements of patients."""
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.LOG_REQUEST_IDENTIFIERS = False
    logger = logging.getLogger("pynetdicom")
    logger.setLevel(logging.CRITICAL + 1)
    logger.propagate = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one peer may cost.

    `pdu_seconds` is the time from the first to the last byte of one PDU, in either direction.
    """

    pdu_bytes: int = 131_072
    pdu_seconds: float = 10
    object_bytes: int = 2_147_483_648
    connections: int = 64
    connections_per_address: int = 32


class PeerBrokeLimitError(OSError):
    """A peer passed one of the limits; pynetdicom treats an OSError as a closed connection."""


class GuardedSocket(AssociationSocket):
    """A connection that bounds each PDU in length and time, and the memory of unanswered requests."""

    limits = Limits()
    dropped: Dropped = staticmethod(lambda _reason: None)

    def __init__(
        self,
        association: Association,
        client_socket: socket.socket | None = None,
        address: AddressInformation | None = None,
    ) -> None:
        super().__init__(association, client_socket=client_socket, address=address)
        self._pdu_type = 0
        self._pdu_ends = 0.0
        self.sent: Callable[[], None] = _nothing
        """Called after each PDU that left."""
        if client_socket is not None:
            tune(client_socket)

    def guard(self, limits: Limits, dropped: Dropped) -> None:
        """Set the limits and who is told of a peer that breaks one."""
        self.limits = limits
        self.dropped = dropped

    def connect(self, primitive: T_CONNECT) -> None:
        """Connect, and set the options that every connection has."""
        if self.socket is not None:
            tune(self.socket)
        super().connect(primitive)

    @property
    def ready(self) -> bool:
        """Whether a PDU should be read now: not while requests pile up unanswered, so that TCP slows the peer."""
        if self.assoc.dimse.msg_queue.qsize() >= MESSAGES_AHEAD:
            return False
        return bool(super().ready)

    def recv(self, nr_bytes: int) -> bytearray:
        """Read exactly `nr_bytes`, or what came before the peer closed.

        pynetdicom reads the header (six bytes) and then the rest of a PDU with this; nothing else.
        """
        connection = self.socket
        if connection is None:
            raise PeerBrokeLimitError("the connection is closed")
        if nr_bytes == PDU_HEADER_BYTES:
            self._pdu_ends = time.monotonic() + self.limits.pdu_seconds
        else:
            self._check_length(nr_bytes)
        received = self._receive(connection, nr_bytes)
        if nr_bytes == PDU_HEADER_BYTES and received:
            self._pdu_type = received[0]
        return received

    def send(self, bytestream: bytes) -> None:
        """Send one PDU; a peer that does not read it in time is dropped."""
        if self.socket is None:
            self.event_queue.put("Evt17")
            return
        try:
            self.socket.settimeout(self.limits.pdu_seconds)
            self.socket.sendall(bytestream)  # its timeout spans the whole call
            self.sent()
        except OSError:
            shut_down(self.socket)
            self.event_queue.put("Evt17")

    def _shutdown_socket(self) -> None:
        """Close the connection; the stock method leaves it open when the peer has ended it first."""
        if self.socket is not None:
            shut_down(self.socket)
            self.socket.close()

    def _receive(self, connection: socket.socket, size: int) -> bytearray:
        received = bytearray(size)
        view = memoryview(received)
        filled = 0
        while filled < size:
            count = self._receive_some(connection, view[filled:])
            if not count:
                break
            filled += count
        view.release()
        del received[filled:]
        return received

    def _receive_some(self, connection: socket.socket, view: memoryview) -> int:
        left = self._pdu_ends - time.monotonic()
        if left <= 0:
            self._drop("pdu_time")
        connection.settimeout(left)
        try:
            count = connection.recv_into(view)
        except TimeoutError:
            self._drop("pdu_time")
        acknowledge_now(connection)
        return count

    def _check_length(self, length: int) -> None:
        allowed = self.limits.pdu_bytes + PDU_SLACK_BYTES if self._pdu_type == P_DATA_TF else NEGOTIATION_PDU_BYTES
        if length > allowed:
            self._drop("pdu_length")
        message = self.assoc.dimse.message
        data_set = message.data_set if message else None
        if data_set is not None and data_set.tell() + length > self.limits.object_bytes:
            self._drop("object_length")

    def _drop(self, reason: str) -> None:
        self.dropped(reason)
        shut_down(self.socket)
        raise PeerBrokeLimitError(reason)


def _nothing() -> None:
    """Do nothing."""


class GuardedStateMachine(StateMachine):
    """A state machine that ends the association on an event out of place, instead of the thread with a traceback."""

    dropped: Dropped = staticmethod(lambda _reason: None)

    def do_action(self, event: str) -> None:
        """Do what the event asks for; whatever fails ends this association and no other."""
        try:
            super().do_action(event)
        except Exception:  # noqa: BLE001 - outermost loop of the connection's thread
            self.dropped("protocol")
            self._end()
        if self.dul._kill_thread:
            # The association's thread may wait for a request that cannot come any more; None is what a timeout gives.
            self.dul.to_user_queue.put(None)

    def _end(self) -> None:
        association = self.dul.assoc
        association.is_established = False
        association._kill = True  # the flag that kill() sets; kill() would wait for this thread
        self.dul.kill_dul()
        if self.dul.socket is not None:
            self.dul.socket._shutdown_socket()


def guard(association: Association, connection: GuardedSocket, *, limits: Limits, dropped: Dropped) -> None:
    """Give an association that has not started its limits."""
    connection.guard(limits, dropped)
    association.dul.socket = connection
    association.dul.state_machine = GuardedStateMachine(association.dul)
    association.dul.state_machine.dropped = dropped
    association.dul.daemon = True  # a peer must not be able to keep this process alive


class _Shared(list[PresentationContext]):
    """Presentation contexts that every association reads and none changes; the stock server copies them (40 ms)."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Shared":
        return self


class GuardedRequestHandler(RequestHandler):
    """Makes the association of an incoming connection, with limits."""

    server: "GuardedServer"

    def _create_association(self) -> Association:
        association = super()._create_association()
        # The stock socket announced the connection in this queue; the guarded one announces it again.
        association.dul.event_queue = queue.Queue()
        connection = GuardedSocket(association, client_socket=self.request)
        guard(association, connection, limits=self.server.limits, dropped=self.server.dropped)
        return association


class GuardedServer(ThreadedAssociationServer):
    """A server that takes a bounded number of connections, and of each address fewer than that."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, *args: Any, limits: Limits, dropped: Dropped, **kwargs: Any) -> None:
        self.limits = limits
        self.dropped = dropped
        self._open: WeakKeyDictionary[socket.socket, str] = WeakKeyDictionary()
        kwargs["request_handler"] = GuardedRequestHandler
        super().__init__(*args, **kwargs)
        self.contexts = _Shared(self.contexts)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more connection from this address; runs in the accepting thread alone."""
        addresses = Counter(address for connection, address in self._open.items() if connection.fileno() >= 0)
        if addresses.total() >= self.limits.connections:
            self.dropped("connections")
            return False
        if addresses[client_address[0]] >= self.limits.connections_per_address:
            self.dropped("connections_per_address")
            return False
        self._open[request] = client_address[0]
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Count a connection that failed before it became an association; the stock method prints a traceback."""
        del request, client_address
        self.dropped("connection")

    def shutdown(self) -> None:
        """Stop accepting and close the listening socket."""
        socketserver.BaseServer.shutdown(self)  # the stock method also edits a list of the AE that we do not use
        self.server_close()


class GuardedAE(AE):
    """An application entity whose outgoing connections are guarded too."""

    limits = Limits()

    def _create_socket(self, assoc: Association, address: AddressInformation, tls_args: Any) -> AssociationSocket:
        del tls_args  # TLS comes with its own settings
        connection = GuardedSocket(assoc, address=address)
        guard(assoc, connection, limits=self.limits, dropped=lambda _reason: None)
        assoc.dul.socket = None  # set_socket() follows and insists on being first
        return connection
