# SPDX-License-Identifier: Apache-2.0
"""The storage SCP: takes instances in over DICOM and hands their bytes, unparsed, to the receiver."""

import threading
import time
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu import P_DATA_TF

from service.domain.errors import StorageError
from service.domain.event import (
    AssociationAccepted,
    AssociationRejected,
    ConnectionDropped,
    InstanceReceived,
    StageFailed,
)
from service.ports import IncomingInstance, Observer, Receiver
from service.settings import NodeSettings, PeerSettings
from service.transport.admission import STRANGER, Caller, find_peer, rejection
from service.transport.sop_classes import INPUT_SOP_CLASSES, accepted_contexts
from service.transport.statuses import (
    CANNOT_UNDERSTAND,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    REJECTION,
    STORE_STATUS,
    SUCCESS,
    Rejection,
)
from service.transport.upper_layer import GuardedAE, GuardedServer, Limits, silence_pynetdicom

NEGOTIATION_SECONDS = 5
DRAIN_POLL_SECONDS = 0.02


class StoreScp:
    """A C-STORE and C-ECHO server for the configured peers.

    Parameters
    ----------
    transfer_syntaxes
        UIDs that the node can decode, preferred first.
    limits
        What one peer may cost; derived from `node` when absent.
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
    ) -> None:
        silence_pynetdicom()
        self._node = node
        self._peers = tuple(peers)
        self._receiver = receiver
        self._observer = observer
        self._contexts = accepted_contexts(sop_classes, transfer_syntaxes)
        self._limits = limits or _limits(node)
        self._draining = threading.Event()
        self._unanswered = Unanswered()
        self._server: GuardedServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that the node listens on."""
        if self._server is None:
            return self._node.port
        return int(self._server.server_address[1])

    @property
    def draining(self) -> bool:
        """Whether the node takes nothing more in."""
        return self._draining.is_set()

    def start(self) -> None:
        """Listen; returns at once. Raises OSError when the port is taken."""
        self._server = self._make_server()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="store-scp", daemon=True)
        self._thread.start()

    def drain(self, timeout_seconds: float) -> bool:
        """Refuse new work, answer what is under way, then close; False when `timeout_seconds` were not enough.

        New associations are rejected as temporary congestion (PS3.8 table 9-21), so that the peer comes again.
        """
        self._draining.set()
        if self._server is None:
            return True
        done = self._finish_requests(time.monotonic() + timeout_seconds)
        self._server.shutdown()
        for association in self._associations():
            association.abort(block=False)
        return done

    def _make_server(self) -> GuardedServer:
        entity = GuardedAE(self._node.ae_title)
        entity.maximum_pdu_size = self._node.max_pdu_bytes
        entity.maximum_associations = self._limits.connections  # ours is checked in _admit, on established ones
        entity.network_timeout = self._node.idle_seconds
        entity.acse_timeout = NEGOTIATION_SECONDS
        server = entity.make_server(
            (self._node.host, self._node.port),
            contexts=self._contexts,
            evt_handlers=self._handlers(),
            server_class=GuardedServer,
            limits=self._limits,
            dropped=self._dropped,
        )
        if not isinstance(server, GuardedServer):
            raise TypeError("make_server returned another class than it was given")
        return server

    def _handlers(self) -> list[evt.EventHandlerType]:
        return [
            (evt.EVT_REQUESTED, self._admit),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_ECHO, lambda _event: SUCCESS),
            (evt.EVT_DIMSE_RECV, self._unanswered.received),
            (evt.EVT_PDU_SENT, self._unanswered.sent),
        ]

    def _admit(self, event: Any) -> None:
        association = event.assoc
        caller = _caller(association)
        reason = self._rejection(caller)
        peer = self._peer_name(caller)
        if reason is None:
            self._observer(AssociationAccepted(peer=peer))
            return
        association.acse.send_reject(*REJECTION[reason])
        self._observer(AssociationRejected(peer=peer, reason=reason.value))
        association.kill()

    def _rejection(self, caller: Caller) -> Rejection | None:
        if self.draining:
            return Rejection.DRAINING
        return rejection(self._peers, caller, ae_title=self._node.ae_title) or self._crowded()

    def _crowded(self) -> Rejection | None:
        established = sum(association.is_established for association in self._associations())
        return Rejection.TOO_MANY if established >= self._node.max_associations else None

    def _store(self, event: Any) -> int:
        started = time.monotonic()
        peer = self._peer_name(_caller(event.assoc))
        if self.draining:
            self._refused(peer, "draining", started)
            return OUT_OF_RESOURCES
        if event.request.DataSet is None:
            self._refused(peer, "no_data_set", started)
            return CANNOT_UNDERSTAND
        return self._receive(_incoming(event, peer), started)

    def _receive(self, incoming: IncomingInstance, started: float) -> int:
        try:
            return STORE_STATUS[self._receiver(incoming)]
        except StorageError as error:
            self._failed(error, retryable=True)
            status, outcome = OUT_OF_RESOURCES, "storage_error"
        except Exception as error:  # noqa: BLE001 - outermost loop: one object must not end the association
            self._failed(error, retryable=False)
            status, outcome = PROCESSING_FAILURE, "failed"
        self._refused(incoming.peer, outcome, started)
        return status

    def _failed(self, error: Exception, *, retryable: bool) -> None:
        name = type(error).__name__  # its text may quote the data set
        self._observer(StageFailed(stage="receive", study_key="", pipeline="", error=name, retryable=retryable))

    def _refused(self, peer: str, outcome: str, started: float) -> None:
        """Report an answer that the receiver, which reports all others, knows nothing of."""
        seconds = time.monotonic() - started
        event = InstanceReceived(peer=peer, modality="", outcome=outcome, size_bytes=0, seconds=seconds, study_key="")
        self._observer(event)

    def _dropped(self, reason: str) -> None:
        self._observer(ConnectionDropped(reason=reason))

    def _peer_name(self, caller: Caller) -> str:
        peer = find_peer(self._peers, caller)
        return peer.name if peer else STRANGER

    def _associations(self) -> list[Association]:
        return list(self._server.active_associations) if self._server else []

    def _finish_requests(self, ends: float) -> bool:
        while busy := self._end_idle_associations():
            if time.monotonic() >= ends:
                return False
            time.sleep(DRAIN_POLL_SECONDS)
        return not busy

    def _end_idle_associations(self) -> list[Association]:
        """Abort the associations between requests, so that no new one begins; return those within one."""
        busy = []
        for association in self._associations():
            if not _idle(association, self._unanswered):
                busy.append(association)
            elif association.is_established:  # others are being rejected
                association.abort(block=False)
        return busy


class Unanswered:
    """Counts, per association, the requests that have no response yet."""

    def __init__(self) -> None:
        self._requests: WeakKeyDictionary[Association, int] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, association: Association) -> int:
        """Return how many requests of the association wait for their response."""
        with self._lock:
            return self._requests.get(association, 0)

    def received(self, event: Any) -> None:
        """Count a request."""
        self._add(event.assoc, 1)

    def sent(self, event: Any) -> None:
        """Count a response: a C-STORE or C-ECHO response is one P-DATA-TF, and it has left when this is called."""
        if isinstance(event.pdu, P_DATA_TF):
            self._add(event.assoc, -1)

    def _add(self, association: Association, count: int) -> None:
        with self._lock:
            self._requests[association] = self._requests.get(association, 0) + count


def _limits(node: NodeSettings) -> Limits:
    connections = max(64, 2 * node.max_associations)
    return Limits(pdu_bytes=node.max_pdu_bytes, connections=connections, connections_per_address=connections // 2)


def _caller(association: Association) -> Caller:
    request = association.requestor.primitive
    return Caller(
        calling_ae=str(request.calling_ae_title) if request else "",
        called_ae=str(request.called_ae_title) if request else "",
        address=association.requestor.address,
    )


def _incoming(event: Any, peer: str) -> IncomingInstance:
    request = event.request
    return IncomingInstance(
        peer=peer,
        calling_ae=_caller(event.assoc).calling_ae.strip(),
        sop_class_uid=str(request.AffectedSOPClassUID),
        sop_instance_uid=str(request.AffectedSOPInstanceUID),
        transfer_syntax_uid=str(event.context.transfer_syntax),
        dataset=(request.DataSet.getbuffer(),),
    )


def _idle(association: Association, unanswered: "Unanswered") -> bool:
    """Whether an association has neither a half-received message, nor one being answered, nor one being sent."""
    dimse, dul = association.dimse, association.dul
    if not dul.is_alive():
        return True
    return dimse.message is None and dimse.msg_queue.empty() and unanswered.of(association) == 0
