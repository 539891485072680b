# SPDX-License-Identifier: Apache-2.0
"""The storage SCP: takes instances in over DICOM and hands their bytes, unparsed as they arrive, to the receiver."""

import secrets
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from service.domain.errors import StorageError
from service.domain.event import (
    AssociationAccepted,
    AssociationRejected,
    ConnectionDropped,
    InstanceReceived,
    StageFailed,
)
from service.ports import CommitmentListener, CommitmentService, IncomingInstance, Observer, Receiver
from service.settings import NodeSettings, PeerSettings
from service.transport.acceptor import Answer, Association, EndAssociationError, Message, echo
from service.transport.admission import (
    STRANGER,
    Caller,
    CertificateIdentity,
    find_peer,
    permissions,
    permitted,
    plain_address,
    rejection,
)
from service.transport.certificates import peer_identity
from service.transport.commitment import CommitmentScp
from service.transport.connection import Connection, Limits
from service.transport.dimse import CommandField, Tag, response
from service.transport.negotiation import APPLICATION_CONTEXT, Accepted, Negotiator, silence_pynetdicom
from service.transport.pdu import reject
from service.transport.server import ConnectionCounts, Serve, Server
from service.transport.sop_classes import INPUT_SOP_CLASSES, accepted_contexts
from service.transport.statuses import (
    CANNOT_UNDERSTAND,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    REJECTION,
    STORE_STATUS,
    Rejection,
)
from service.transport.tls import TlsError, TlsServer

DRAIN_POLL_SECONDS = 0.02
ID_BYTES = 4
"""Random bytes by which the log names an association."""
UNSUPPORTED_VERSION = (1, 2, 2)
UNSUPPORTED_APPLICATION_CONTEXT = (1, 1, 2)
"""(result, source, reason) of A-ASSOCIATE-RJ, PS3.8 table 9-21."""


class StoreScp:
    """A C-STORE, C-ECHO and storage commitment server for the configured peers.

    Parameters
    ----------
    transfer_syntaxes
        UIDs that the node can decode, preferred first.
    limits
        What one peer may cost; derived from `node` when absent.
    commitments
        Takes the reports of archives that we asked; storage commitment is not offered without it and
        `commitment_requests`.
    commitment_requests
        Takes the requests of modalities.
    tls
        Serves DICOM over TLS on its own port.
    """

    def __init__(
        self,
        node: NodeSettings,
        *,
        peers: Sequence[PeerSettings],
        receiver: Receiver,
        observer: Observer,
        transfer_syntaxes: Sequence[str],
        sop_classes: Sequence[str] = INPUT_SOP_CLASSES,
        limits: Limits | None = None,
        commitments: CommitmentListener | None = None,
        commitment_requests: CommitmentService | None = None,
        tls: TlsServer | None = None,
    ) -> None:
        silence_pynetdicom()
        self.node = node
        self.peers = tuple(peers)
        self.receiver = receiver
        self.observer = observer
        self.commitment = CommitmentScp(listener=commitments, service=commitment_requests)
        contexts = accepted_contexts(sop_classes, transfer_syntaxes, commitment=self.commitment.offered)
        self.negotiator = Negotiator(contexts, max_pdu_bytes=node.max_pdu_bytes)
        self._limits = limits or _limits(node)
        self._draining = threading.Event()
        self._associations: dict[Association, _Session] = {}
        self._lock = threading.Lock()
        self._tls = tls
        self._servers: list[Server] = []

    @property
    def port(self) -> int:
        """The port that the node listens on; the one for TLS when there is no other."""
        if self._servers:
            return self._servers[0].port
        return self.node.port or (self._tls.port if self._tls is not None else 0)

    @property
    def tls_port(self) -> int | None:
        """The port for TLS that the node listens on."""
        return self._servers[-1].port if self._tls is not None and self._servers else None

    @property
    def draining(self) -> bool:
        """Whether the node takes nothing more in."""
        return self._draining.is_set()

    def start(self) -> None:
        """Listen; returns at once. Raises OSError when a port is taken."""
        counts = ConnectionCounts(self._limits, is_known=self._is_known)
        if self.node.port is not None:
            self._listen(self.node.port, self._serve, counts)
        if self._tls is not None:
            self._listen(self._tls.port, self._serve_tls, counts)

    def _listen(self, port: int, serve: Serve, counts: ConnectionCounts) -> None:
        server = Server(self.node.host, port, serve=serve, dropped=self.dropped, counts=counts)
        self._servers.append(server)
        server.start()

    def drain(self, timeout_seconds: float) -> bool:
        """Refuse new work, answer what is under way, then close; False when `timeout_seconds` were not enough.

        New associations are rejected as temporary congestion (PS3.8 table 9-21), so that the peer comes again; further
        requests on open ones are answered 0xA700, and an association ends when it is idle.
        """
        self._draining.set()
        ends = time.monotonic() + timeout_seconds
        while self._open() and time.monotonic() < ends:
            time.sleep(DRAIN_POLL_SECONDS)
        left = self._open()
        for server in self._servers:
            server.close()
        for association in left:
            association.abort()
        return not any(association.busy for association in left)

    def _is_known(self, address: str) -> bool:
        place = plain_address(address)
        return any(place in network for peer in self.peers for network in peer.address)

    def rejection(self, caller: Caller) -> Rejection | None:
        """Return why an association is refused; None when it is not."""
        if self.draining:
            return Rejection.DRAINING
        return rejection(self.peers, caller, ae_title=self.node.ae_title) or self._crowded()

    def _crowded(self) -> Rejection | None:
        established = sum(association.established for association in self._open())
        return Rejection.TOO_MANY if established >= self.node.max_associations else None

    def _open(self) -> list[Association]:
        with self._lock:
            return list(self._associations)

    def active(self) -> Counter[str]:
        """Return the number of established associations by the peer's name."""
        with self._lock:
            found = list(self._associations.items())
        return Counter(session.peer for association, session in found if association.established)

    def _serve_tls(self, connection: socket.socket, address: str) -> None:
        assert self._tls is not None  # noqa: S101 - the server of its port is started with it alone
        secured = self._tls.wrap(connection)
        try:
            self._tls.handshake(secured, address=address)
        except TlsError:  # reported by the handshake itself
            secured.close()
            return
        self._serve(secured, address, certificate=peer_identity(secured))

    def _serve(
        self, connection: socket.socket, address: str, *, certificate: CertificateIdentity | None = None
    ) -> None:
        session = _Session(self, address, certificate)
        try:
            association = Association(Connection(connection), session, limits=self._limits)
        except OSError:  # it has gone already
            connection.close()
            return
        with self._lock:
            self._associations[association] = session
        try:
            association.run()
        except Exception as error:  # noqa: BLE001 - outermost loop of the connection's thread
            self.failed(error, retryable=False)
        finally:
            with self._lock:
                self._associations.pop(association, None)

    def dropped(self, reason: str, address: str) -> None:
        """Report a connection that was ended."""
        self.observer(ConnectionDropped(reason=reason, address=address))

    def failed(self, error: Exception, *, retryable: bool) -> None:
        """Report a failure of ours."""
        name = type(error).__name__  # its text may quote the data set
        self.observer(StageFailed(stage="receive", study_key="", pipeline="", error=name, retryable=retryable))


class _Session:
    """What one association asks: who may come in, and what is done with a request (`acceptor.Services`)."""

    def __init__(self, scp: StoreScp, address: str, certificate: CertificateIdentity | None) -> None:
        self._scp = scp
        self._address = address
        self._certificate = certificate
        self.peer = STRANGER
        self._calling_ae = ""
        self._id = secrets.token_hex(ID_BYTES)
        self.handlers: Mapping[int, Callable[[Message, Answer], None]] = {
            CommandField.C_ECHO: echo,
            CommandField.C_STORE: self._store,
            CommandField.N_ACTION: self._commit,
            CommandField.N_EVENT_REPORT: self._report,
        }

    @property
    def draining(self) -> bool:
        """Whether the node takes nothing more in."""
        return self._scp.draining

    def dropped(self, reason: str) -> None:
        """Report a connection that was ended."""
        self._scp.dropped(reason, self._address)

    def admit(self, body: bytes) -> tuple[bytes, Mapping[int, Accepted]]:
        """Accept or reject an association."""
        scp = self._scp
        request = scp.negotiator.decode(body)
        if not request.version_supported:
            raise EndAssociationError(reject(*UNSUPPORTED_VERSION))
        if request.application_context != APPLICATION_CONTEXT:
            raise EndAssociationError(reject(*UNSUPPORTED_APPLICATION_CONTEXT))
        caller = Caller(
            calling_ae=request.calling_ae,
            called_ae=request.called_ae,
            address=self._address,
            certificate=self._certificate,
        )
        peer = find_peer(scp.peers, caller)
        self.peer = peer.name if peer else STRANGER
        self._calling_ae = request.calling_ae
        reason = scp.rejection(caller)
        if reason is not None:
            self._report_rejection(reason)
            raise EndAssociationError(reject(*REJECTION[reason]))
        scp.observer(AssociationAccepted(peer=self.peer, user_identity=request.user_identity, association=self._id))
        offered = permitted(scp.negotiator.sop_class_uids, permissions(scp.peers, caller))
        return scp.negotiator.accept(request, offered)

    def _report_rejection(self, reason: Rejection) -> None:
        rejected = AssociationRejected(
            peer=self.peer, reason=reason.value, address=self._address, calling_ae=self._calling_ae
        )
        self._scp.observer(rejected)

    def _store(self, message: Message, answer: Answer) -> None:
        started = time.monotonic()
        if not message.command.has_data_set:
            self._refused("no_data_set", started)
            status = CANNOT_UNDERSTAND
        elif self.draining:
            self._refused("draining", started)
            status = OUT_OF_RESOURCES
        else:
            status = self._receive(message, started)
        answer(response(message.command, status))

    def _receive(self, message: Message, started: float) -> int:
        """Return the status; what breaks the connection passes through, whatever the receiver made of it."""
        stream = _Stream(message.data_set)
        try:
            status = STORE_STATUS[self._scp.receiver(self._incoming(message, stream))]
        except StorageError as error:
            stream.raise_failure()
            self._scp.failed(error, retryable=True)
            self._refused("storage_error", started)
            return OUT_OF_RESOURCES
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - outermost loop: one object must not end the association
            stream.raise_failure()
            self._scp.failed(error, retryable=False)
            self._refused("failed", started)
            return PROCESSING_FAILURE
        stream.raise_failure()
        return status

    def _incoming(self, message: Message, stream: "_Stream") -> IncomingInstance:
        return IncomingInstance(
            peer=self.peer,
            calling_ae=self._calling_ae,
            sop_class_uid=message.command.text(Tag.AFFECTED_SOP_CLASS_UID),
            sop_instance_uid=message.command.text(Tag.AFFECTED_SOP_INSTANCE_UID),
            transfer_syntax_uid=message.context.transfer_syntax,
            dataset=stream,
            association=self._id,
            move_originator=message.command.text(Tag.MOVE_ORIGINATOR_AE_TITLE),
        )

    def _refused(self, outcome: str, started: float) -> None:
        """Report an answer that the receiver, which reports all others, knows nothing of."""
        seconds = time.monotonic() - started
        event = InstanceReceived(
            peer=self.peer,
            modality="",
            outcome=outcome,
            size_bytes=0,
            seconds=seconds,
            study_key="",
            association=self._id,
        )
        self._scp.observer(event)

    def _commit(self, message: Message, answer: Answer) -> None:
        self._scp.commitment.requested(message, answer, peer=self.peer, calling_ae=self._calling_ae)

    def _report(self, message: Message, answer: Answer) -> None:
        self._scp.commitment.reported(message, answer, peer=self.peer)


class _Stream:
    """A data set on its way in, which remembers how the connection broke."""

    def __init__(self, chunks: Iterator[memoryview]) -> None:
        self._chunks = chunks
        self._failure: ConnectionError | None = None

    def __iter__(self) -> Iterator[memoryview]:
        try:
            yield from self._chunks
        except ConnectionError as error:
            self._failure = error
            raise

    def raise_failure(self) -> None:
        """Raise what broke the connection, if anything did."""
        if self._failure is not None:
            raise self._failure


def _limits(node: NodeSettings) -> Limits:
    connections = max(64, 2 * node.max_associations)
    return Limits(
        pdu_bytes=node.max_pdu_bytes,
        idle_seconds=node.idle_seconds,
        connections=connections,
        connections_per_address=connections // 2,
    )
