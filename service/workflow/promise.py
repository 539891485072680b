# SPDX-License-Identifier: Apache-2.0
"""Storage commitment as SCP (PS3.4 annex J): says which of its instances a peer may rely on us to have."""

import hashlib
import struct
from collections.abc import Mapping, Sequence

from service.domain.entry import HeldInstance, OrderRecord
from service.domain.errors import CommitmentUnsupportedError, DeliveryError
from service.domain.event import CommitmentReported, RetryPlanned
from service.domain.result import Priority
from service.ports import CommitmentFailure, CommitmentPeer, CommitmentReport, CommitmentRequest, ObjectReference
from service.ports.ledger import LedgerTransaction
from service.workflow.backoff import wait_seconds
from service.workflow.context import FlowParts
from service.workflow.stages import report_stage, task

FIRST_SECONDS = 5.0
MAX_SECONDS = 300.0
SAME_ASSOCIATION_SECONDS = 5.0
"""So long is the report left to the association of the request, before it goes out on one of ours."""
PROCESSING_FAILURE = 0x0110
NO_SUCH_OBJECT = 0x0112
CLASS_INSTANCE_CONFLICT = 0x0119
META_START = 144
"""Preamble, prefix, and the element that tells the length of the rest of the file meta information (PS3.10 7.1)."""
CHUNK_BYTES = 1 << 20


class TakeOrder:
    """`ports.CommitmentService`: takes in the requests of peers; its answers rest on the ledger and on the files."""

    def __init__(self, parts: FlowParts) -> None:
        self._parts = parts
        self._peers = {peer.name for peer in parts.settings.peers if peer.commitment_port is not None}

    def __call__(self, request: CommitmentRequest) -> None:
        """Note the request durably; the report follows on an association of ours."""
        if request.peer not in self._peers:
            raise CommitmentUnsupportedError(
                f"peer '{request.peer}' asks for storage commitment and has no 'commitment_port' in config.yaml, to "
                "which the report could go; set it, or switch storage commitment off there"
            )
        with self._parts.ledger.transaction() as transaction:
            due_at = self._parts.steady() + SAME_ASSOCIATION_SECONDS
            order = transaction.orders.add(request, due_at=due_at, at=self._parts.now())
            _follow_up(transaction, order, delay_seconds=SAME_ASSOCIATION_SECONDS, due_at=due_at)

    def report(self, request: CommitmentRequest) -> CommitmentReport:
        """Return what is to be reported now."""
        with self._parts.ledger.reading() as view:
            held = view.orders.held([item.sop_instance_uid for item in request.references])
        return report_on(request.transaction_uid, request.references, held)

    def reported(self, request: CommitmentRequest) -> None:
        """Note that the peer took the report on its own association."""
        with self._parts.ledger.transaction() as transaction:
            order = transaction.orders.find(request.peer, request.transaction_uid)
            if order is not None:
                transaction.orders.settle(order.id, reported=True, at=self._parts.now())


class ReportOrder:
    """The task that reports to one peer, with no maximum age: it may be keeping its images until it hears."""

    def __init__(self, parts: FlowParts, modality: CommitmentPeer) -> None:
        self._parts = parts
        self._modality = modality

    def __call__(self, order_id: int, own_task_id: str) -> None:
        """Report once, unless another task has it or the peer has been told."""
        with self._parts.ledger.reading() as view:
            order = view.orders.get(order_id)
            held = view.orders.held([uid for _, uid in order.references])
        if order.reported or order.task_id != own_task_id:
            return
        references = [ObjectReference(sop_class_uid=kind, sop_instance_uid=uid) for kind, uid in order.references]
        report = report_on(order.transaction_uid, references, held)
        sent = self._send(report)
        seconds = self._settle(order, sent=sent)
        status = "sent" if sent else "failed"
        counts = {"committed": len(report.committed), "failed": len(report.failed)}
        self._parts.observer(CommitmentReported(peer=order.peer, status=status, **counts))
        if not sent:
            self._parts.observer(RetryPlanned(stage="report", destination=order.peer, seconds=seconds))

    def _send(self, report: CommitmentReport) -> bool:
        try:
            self._modality.report_commitment(report)
        except DeliveryError:
            return False
        return True

    def _settle(self, order: OrderRecord, *, sent: bool) -> float:
        attempts = order.attempts + 1
        seconds = wait_seconds(attempts, first_seconds=FIRST_SECONDS, max_seconds=MAX_SECONDS, draw=self._parts.draw)
        with self._parts.ledger.transaction() as transaction:
            if transaction.orders.get(order.id).task_id == order.task_id:  # else it was asked again meanwhile
                transaction.orders.settle(order.id, reported=sent, at=self._parts.now())
                if not sent:
                    _follow_up(transaction, order, delay_seconds=seconds, due_at=self._parts.steady() + seconds)
        return seconds


def report_on(
    transaction_uid: str,
    references: Sequence[ObjectReference],
    held: Mapping[str, HeldInstance],
) -> CommitmentReport:
    """Return which instances are here: in the ledger, and whole on the disk."""
    reasons = {item: _reason(item, held.get(item.sop_instance_uid)) for item in references}
    return CommitmentReport(
        transaction_uid=transaction_uid,
        committed=tuple(item for item, reason in reasons.items() if not reason),
        failed=tuple(CommitmentFailure(reference=item, reason=reason) for item, reason in reasons.items() if reason),
    )


def _reason(reference: ObjectReference, held: HeldInstance | None) -> int:
    """Return the Failure Reason (0008,1197), 0 for none."""
    if held is None:
        return NO_SUCH_OBJECT
    if held.sop_class_uid != reference.sop_class_uid:
        return CLASS_INSTANCE_CONFLICT
    try:
        return 0 if _data_set_digest(held) == held.sha256 else PROCESSING_FAILURE
    except FileNotFoundError:
        return NO_SUCH_OBJECT
    except (OSError, struct.error):
        return PROCESSING_FAILURE


def _data_set_digest(held: HeldInstance) -> str:
    """Return the digest of a file's data set: the ledger's is of that, as it came in."""
    digest = hashlib.sha256()
    with held.path.open("rb") as stream:
        (length,) = struct.unpack("<I", stream.read(META_START)[-4:])
        stream.seek(META_START + length)
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _follow_up(transaction: LedgerTransaction, order: OrderRecord, *, delay_seconds: float, due_at: float) -> None:
    following = task(
        report_stage(order.peer),
        order.id,
        attempt=order.attempt + 1,
        priority=Priority.ROUTINE,
        delay_seconds=delay_seconds,
    )
    transaction.orders.assign(order.id, task_id=following.task_id, due_at=due_at)
    transaction.enqueue(following)
