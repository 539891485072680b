# SPDX-License-Identifier: Apache-2.0
"""Tells other systems of raised priorities, with retries of its own and an end to them."""

from service.domain.entry import JobRecord, NotificationRecord, NotificationState
from service.domain.errors import DeliveryError
from service.domain.event import NotificationSent
from service.domain.instance import Instance
from service.domain.result import PackageStatus, Priority
from service.ports import Notification
from service.workflow.backoff import wait_seconds
from service.workflow.context import FlowParts
from service.workflow.stages import NOTIFY, task

MAX_ATTEMPTS = 12
"""With waits up to ten minutes this is about an hour: a later word on urgency is no use."""
FIRST_SECONDS = 5.0
MAX_SECONDS = 600.0


class Notify:
    """The task that makes one attempt at one notifier."""

    def __init__(self, parts: FlowParts) -> None:
        self._parts = parts

    def __call__(self, notification_id: int, own_task_id: str) -> None:
        """Send the notification, unless another task has it."""
        with self._parts.ledger.reading() as view:
            row = view.deliveries.notification(notification_id)
            job = view.jobs.get(row.job_id)
            instances = view.jobs.instances(row.job_id)
        if row.state is not NotificationState.PENDING or row.task_id != own_task_id:
            return
        sent = self._send(row, _notification(job, instances))
        self._settle(row, job, sent=sent)
        self._parts.observer(NotificationSent(notifier=row.notifier, status="sent" if sent else "failed"))

    def _send(self, row: NotificationRecord, notification: Notification) -> bool:
        notifier = self._parts.notifiers.get(row.notifier)
        if notifier is None:
            return False
        try:
            notifier.notify(notification)
        except DeliveryError:
            return False
        return True

    def _settle(self, row: NotificationRecord, job: JobRecord, *, sent: bool) -> None:
        state = _state_after(row, sent=sent)
        delay_seconds = wait_seconds(
            row.attempts + 1, first_seconds=FIRST_SECONDS, max_seconds=MAX_SECONDS, draw=self._parts.draw
        )
        following = task(NOTIFY, row.id, attempt=row.attempt + 1, priority=Priority.URGENT, delay_seconds=delay_seconds)
        pending = state is NotificationState.PENDING
        now = self._parts.now()
        with self._parts.ledger.transaction() as transaction:
            transaction.deliveries.settle_notification(
                row.id, state, task_id=following.task_id, at=now + delay_seconds if pending else now
            )
            if sent:
                self._parts.audit.notified(transaction, job, row.notifier, at=now)
            if pending:
                transaction.enqueue(following)


def _state_after(row: NotificationRecord, *, sent: bool) -> NotificationState:
    if sent:
        return NotificationState.SENT
    return NotificationState.FAILED if row.attempts + 1 >= MAX_ATTEMPTS else NotificationState.PENDING


def _notification(job: JobRecord, instances: tuple[Instance, ...]) -> Notification:
    first = instances[0]
    package = job.package
    return Notification(
        study_instance_uid=job.study_instance_uid,
        accession_number=str(first.get("AccessionNumber") or ""),
        patient_id=str(first.get("PatientID") or ""),
        pipeline=job.pipeline,
        outcome=job.outcome,
        priority=job.priority,
        headline=job.headline,
        package=f"{package.name} {package.version}" if package else "",
        demonstration=package is not None and package.status is PackageStatus.DEMONSTRATION,
    )
