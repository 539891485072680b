# SPDX-License-Identifier: Apache-2.0
"""Which event moves which metric, as a table."""

from collections.abc import Callable
from typing import Any

from service.domain import event as events
from service.domain.event import Event
from service.observability.metrics import Metrics, modality_label

DUPLICATE_KINDS = {"duplicate": "identical", "conflict": "conflict"}


def count(metrics: Metrics, event: Event) -> None:
    """Move the metrics that the event is about."""
    move = MOVES.get(type(event))
    if move is not None:
        move(metrics, event)


def _started(metrics: Metrics, event: events.NodeStarted) -> None:
    metrics.build_info.labels(event.version).set(1)


def _accepted(metrics: Metrics, event: events.AssociationAccepted) -> None:
    metrics.associations.labels(event.peer, "accepted").inc()


def _rejected(metrics: Metrics, event: events.AssociationRejected) -> None:
    metrics.associations.labels(event.peer, "rejected").inc()
    metrics.association_rejected.labels(event.reason).inc()


def _dropped(metrics: Metrics, event: events.ConnectionDropped) -> None:
    metrics.pdu_refused.labels(event.reason).inc()


def _received(metrics: Metrics, event: events.InstanceReceived) -> None:
    metrics.instances_received.labels(event.peer, modality_label(event.modality), event.outcome).inc()
    metrics.received_bytes.labels(event.peer).inc(event.size_bytes)
    metrics.store_duration.observe(event.seconds)
    if event.outcome in DUPLICATE_KINDS:
        metrics.duplicates.labels(DUPLICATE_KINDS[event.outcome]).inc()


def _closed(metrics: Metrics, event: events.StudyClosed) -> None:
    metrics.studies_closed.labels(event.reason).inc()


def _routed(metrics: Metrics, event: events.StudyRouted) -> None:
    if not event.pipelines:
        metrics.studies_unmatched.inc()
    for pipeline in event.pipelines:
        metrics.studies_routed.labels(pipeline).inc()


def _stage_finished(metrics: Metrics, event: events.StageFinished) -> None:
    metrics.stage_duration.labels(event.stage).observe(event.seconds)


def _stage_failed(metrics: Metrics, event: events.StageFailed) -> None:
    metrics.stage_failures.labels(event.stage, str(event.retryable).lower()).inc()


def _reconciled(metrics: Metrics, event: events.JobsReconciled) -> None:
    metrics.jobs_reconciled.labels(event.stage).inc(event.count)


def _inferred(metrics: Metrics, event: events.InferenceFinished) -> None:
    labels = (event.package, event.version, event.graph, event.device)
    metrics.inference_duration.labels(*labels).observe(event.seconds)


def _refused(metrics: Metrics, event: events.AnalysisRefused) -> None:
    metrics.analysis_refused.labels(event.pipeline, event.reason).inc()


def _result(metrics: Metrics, event: events.ResultReady) -> None:
    metrics.results.labels(event.pipeline, event.outcome).inc()
    metrics.turnaround.labels(event.pipeline, event.priority).observe(event.turnaround_seconds)


def _raised(metrics: Metrics, event: events.PriorityRaised) -> None:
    metrics.priority_raised.labels(event.pipeline).inc()


def _held(metrics: Metrics, event: events.ObjectHeld) -> None:
    metrics.objects_held.labels(event.kind, event.reason).inc()


def _delivered(metrics: Metrics, event: events.ObjectDelivered) -> None:
    metrics.delivery.labels(event.destination, event.kind, event.status).inc()
    metrics.delivery_duration.labels(event.destination).observe(event.seconds)
    if event.status == "stored":
        metrics.delivery_lag.labels(event.destination).observe(event.lag_seconds)


def _notified(metrics: Metrics, event: events.NotificationSent) -> None:
    metrics.notifications.labels(event.notifier, event.status).inc()


def _restarted(metrics: Metrics, event: events.WorkerRestarted) -> None:
    metrics.worker_restarts.labels(event.reason).inc()


def _loaded(metrics: Metrics, event: events.PackageLoaded) -> None:
    status = "rejected" if event.error else event.status
    metrics.model_info.labels(event.package, event.version, event.sha256_8, status).set(1)


MOVES: dict[type[Event], Callable[[Metrics, Any], None] | None] = {
    events.NodeStarted: _started,
    events.NodeStopping: None,
    events.AssociationAccepted: _accepted,
    events.AssociationRejected: _rejected,
    events.ConnectionDropped: _dropped,
    events.InstanceReceived: _received,
    events.StudyClosed: _closed,
    events.StudyRouted: _routed,
    events.StageFinished: _stage_finished,
    events.StageFailed: _stage_failed,
    events.JobsReconciled: _reconciled,
    events.InferenceFinished: _inferred,
    events.AnalysisRefused: _refused,
    events.ResultReady: _result,
    events.PriorityRaised: _raised,
    events.ObjectHeld: _held,
    events.ObjectDelivered: _delivered,
    events.NotificationSent: _notified,
    events.WorkerRestarted: _restarted,
    events.PackageLoaded: _loaded,
}
