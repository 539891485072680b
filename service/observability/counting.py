# SPDX-License-Identifier: Apache-2.0
"""Which event moves which metric: one table, in which None says that an event is logged and not counted."""

from collections.abc import Callable
from typing import Any

from service.domain import event as events
from service.domain.event import Event
from service.observability.families import Families
from service.observability.labels import modality_word

RESTARTS = ("crashed", "deadline")
"""A counter that begins with its first event looks to Prometheus as if it had never moved: alerts need the zero."""
TESTED = ("passed", "failed")
DUPLICATE_KINDS = {"duplicate": "identical", "conflict": "conflict"}


def _started(families: Families, event: events.NodeStarted) -> None:
    families.build_info.labels(event.version).set(1)
    _configured(families, event.config_sha256_8)
    for reason in RESTARTS:
        families.worker_restarts.labels(reason)


def _configured(families: Families, sha256_8: str) -> None:
    """Show the settings that are in effect, and no others."""
    families.config_info.clear()
    families.config_info.labels(sha256_8).set(1)


def _accepted(families: Families, event: events.AssociationAccepted) -> None:
    families.associations.labels(event.peer, "accepted").inc()


def _rejected(families: Families, event: events.AssociationRejected) -> None:
    families.associations.labels(event.peer, "rejected").inc()
    families.association_rejected.labels(event.reason).inc()


def _dropped(families: Families, event: events.ConnectionDropped) -> None:
    families.pdu_refused.labels(event.reason).inc()


def _handshake(families: Families, event: events.TlsHandshake) -> None:
    families.tls_handshakes.labels(event.result).inc()


def _viewer_refused(families: Families, event: events.ViewerRefused) -> None:
    families.viewers_refused.labels(event.reason).inc()


def _certificate(families: Families, event: events.CertificateLoaded) -> None:
    families.certificate_expiry.labels(event.certificate).set(event.expires_at)
    families.certificate_loads.labels(event.certificate, "loaded").inc()
    families.certificate_loads.labels(event.certificate, "rejected")


def _certificate_rejected(families: Families, event: events.CertificateRejected) -> None:
    families.certificate_loads.labels(event.certificate, "rejected").inc()


def _received(families: Families, event: events.InstanceReceived) -> None:
    families.instances_received.labels(event.peer, modality_word(event.modality), event.outcome).inc()
    families.received_bytes.labels(event.peer).inc(event.size_bytes)
    families.store_duration.observe(event.seconds, _exemplar(event.study_key))
    if event.outcome in DUPLICATE_KINDS:
        families.duplicates.labels(DUPLICATE_KINDS[event.outcome]).inc()


def _exemplar(study_key: str) -> dict[str, str] | None:
    """Return what leads from a bucket to the lines of a study in the log: its key, which names nobody."""
    return {"study_key": study_key} if study_key else None


def _not_admitted(families: Families, event: events.AdmissionRefused) -> None:
    families.admission_refused.labels(event.peer, event.reason).inc()


def _quarantined(families: Families, event: events.QuarantineEntered) -> None:
    families.quarantined.labels(event.reason).inc()


def _trimmed(families: Families, event: events.QuarantineTrimmed) -> None:
    families.quarantine_dropped.labels(event.reason).inc(event.count)


def _deleted(families: Families, event: events.DataDeleted) -> None:
    families.deleted_files.labels(event.what).inc(event.files)
    families.deleted_bytes.labels(event.what).inc(event.size_bytes)


def _audited(families: Families, event: events.StorageAudited) -> None:
    families.storage_orphans.inc(event.orphans)
    families.storage_missing.set(event.missing)


def _closed(families: Families, event: events.StudyClosed) -> None:
    families.studies_closed.labels(event.reason).inc()


def _routed(families: Families, event: events.StudyRouted) -> None:
    if not event.pipelines:
        families.studies_unmatched.inc()


def _stage_finished(families: Families, event: events.StageFinished) -> None:
    families.stage_duration.labels(event.stage).observe(event.seconds)


def _stage_failed(families: Families, event: events.StageFailed) -> None:
    families.stage_failures.labels(event.stage, event.error, str(event.retryable).lower()).inc()


def _reconciled(families: Families, event: events.JobsReconciled) -> None:
    families.jobs_reconciled.labels(event.stage).inc(event.count)


def _inferred(families: Families, event: events.InferenceFinished) -> None:
    labels = (event.package, event.version, event.graph, event.device)
    families.inference_duration.labels(*labels).observe(event.seconds)


def _analysed(families: Families, event: events.StudyAnalysed) -> None:
    model = (event.package, event.version)
    families.inference.labels(*model, event.outcome).inc()
    positive = families.model_positive.labels(*model)
    if event.score >= 0:
        families.model_score.labels(*model).observe(event.score)
        positive.inc(event.positive)


def _refused(families: Families, event: events.AnalysisRefused) -> None:
    families.analysis_refused.labels(event.pipeline, event.reason).inc()


def _result(families: Families, event: events.ResultReady) -> None:
    families.results.labels(event.pipeline, event.outcome).inc()
    observed = families.turnaround.labels(event.pipeline, event.priority)
    observed.observe(event.turnaround_seconds, _exemplar(event.study_key))


def _raised(families: Families, event: events.PriorityRaised) -> None:
    families.priority_raised.labels(event.pipeline).inc()


def _held(families: Families, event: events.ObjectHeld) -> None:
    families.objects_held.labels(event.kind).inc()


def _superseded(families: Families, event: events.ResultsSuperseded) -> None:
    families.superseded.labels(event.destination).inc(event.count)


def _delivered(families: Families, event: events.ObjectDelivered) -> None:
    families.delivery.labels(event.destination, event.kind, event.status).inc()
    if event.status == "stored":
        families.delivery_lag.labels(event.destination).observe(event.lag_seconds)


def _retried(families: Families, event: events.RetryPlanned) -> None:
    families.retries.labels(event.stage).inc()


def _committed(families: Families, event: events.CommitmentSettled) -> None:
    families.commitment.labels(event.destination, event.result).inc(event.count)


def _reported(families: Families, event: events.CommitmentReported) -> None:
    families.commitment_reports.labels(event.peer, event.status).inc()


def _notified(families: Families, event: events.NotificationSent) -> None:
    families.notifications.labels(event.notifier, event.status).inc()


def _restarted(families: Families, event: events.WorkerRestarted) -> None:
    families.worker_restarts.labels(event.reason).inc()


def _loaded(families: Families, event: events.PackageLoaded) -> None:
    status = "rejected" if event.error else event.status
    # A rejection of before is over, and may have come without a digest.
    families.model_info.remove(model=event.package, version=event.version, role=event.role)
    families.model_info.labels(event.package, event.version, event.sha256_8, status, event.role).set(1)
    if not event.error:
        families.model_loaded.labels(event.package, event.version).set_to_current_time()
    if event.device:
        families.model_provider.labels(event.package, event.version, event.device).set(1)


def _retired(families: Families, event: events.PackageRetired) -> None:
    families.model_info.labels(event.package, event.version, event.sha256_8, event.status, event.role).set(0)


def _passed_over(families: Families, event: events.ProviderPassedOver) -> None:
    families.provider_fallbacks.labels(event.package, event.version, event.provider, event.reason).inc()
    families.model_provider.labels(event.package, event.version, event.provider).set(0)
    families.model_provider.labels(event.package, event.version, event.used).set(1)


def _golden(families: Families, event: events.GoldenTested) -> None:
    for result in TESTED:
        families.golden_tests.labels(event.package, event.version, result).inc(event.result == result)
    if event.result == "passed":
        families.golden_difference.labels(event.package, event.version).set(event.difference)
        families.golden_success.labels(event.package, event.version).set_to_current_time()


def _golden_studies(families: Families, event: events.GoldenStudiesTested) -> None:
    for result in (*TESTED, "unfinished"):
        families.golden_study_tests.labels(event.package, event.version, result).inc(event.result == result)
    if event.result == "passed":
        families.golden_study_success.labels(event.package, event.version).set_to_current_time()


def _shadowed(families: Families, event: events.ShadowCompared) -> None:
    families.shadow_runs.labels(event.pipeline, event.package, event.version, event.result).inc()
    if event.score_difference >= 0:
        families.shadow_difference.labels(event.package, event.version).observe(event.score_difference)


def _prior_settled(families: Families, event: events.PriorSettled) -> None:
    families.prior_fetches.labels(event.pipeline, event.outcome).inc()
    families.prior_wait.labels(event.pipeline).observe(event.seconds)


def _drifted(families: Families, event: events.DriftAlarmRaised) -> None:
    families.drift_alarms.labels(event.pipeline, event.package).inc()


def _reloaded(families: Families, event: events.ConfigurationReloaded) -> None:
    families.config_reloads.labels(event.result).inc()
    families.config_reload_successful.set(event.result == "applied")
    if event.config_sha256_8:
        _configured(families, event.config_sha256_8)


def _collector_reached(families: Families, event: events.AuditCollectorReached) -> None:  # noqa: ARG001 - one form
    families.audit_collector_up.set(1)


def _collector_lost(families: Families, event: events.AuditCollectorLost) -> None:  # noqa: ARG001 - one form
    families.audit_collector_up.set(0)


def _audit_sent(families: Families, event: events.AuditSent) -> None:
    families.audit_sent.inc(event.count)


def _audit_dropped(families: Families, event: events.AuditDropped) -> None:
    families.audit_dropped.inc(event.count)


MOVES: dict[type[Event], Callable[[Families, Any], None] | None] = {
    events.NodeStarted: _started,
    events.NodeStopping: None,
    events.NodeDraining: None,
    events.AssociationAccepted: _accepted,
    events.AssociationRejected: _rejected,
    events.ConnectionDropped: _dropped,
    events.TlsHandshake: _handshake,
    events.ViewerRefused: _viewer_refused,
    events.TraceCollectorChanged: None,
    events.CertificateLoaded: _certificate,
    events.CertificateRejected: _certificate_rejected,
    events.InstanceReceived: _received,
    events.AdmissionRefused: _not_admitted,
    events.QuarantineEntered: _quarantined,
    events.QuarantineTrimmed: _trimmed,
    events.DataDeleted: _deleted,
    events.StorageAudited: _audited,
    events.StudyClosed: _closed,
    events.StudyRouted: _routed,
    events.StageFinished: _stage_finished,
    events.StageFailed: _stage_failed,
    events.JobsReconciled: _reconciled,
    events.InferenceFinished: _inferred,
    events.StudyAnalysed: _analysed,
    events.AnalysisRefused: _refused,
    events.ResultReady: _result,
    events.PriorityRaised: _raised,
    events.ObjectHeld: _held,
    events.SourceItemsLeftOut: None,
    events.ContextsNegotiated: None,
    events.ResultsSuperseded: _superseded,
    events.ObjectDelivered: _delivered,
    events.RetryPlanned: _retried,
    events.CircuitChanged: None,
    events.CommitmentSettled: _committed,
    events.CommitmentReported: _reported,
    events.NotificationSent: _notified,
    events.WorkerRestarted: _restarted,
    events.PackageLoaded: _loaded,
    events.PackageRetired: _retired,
    events.ProviderPassedOver: _passed_over,
    events.GoldenTested: _golden,
    events.GoldenStudiesTested: _golden_studies,
    events.ShadowCompared: _shadowed,
    events.PriorSettled: _prior_settled,
    events.DriftAlarmRaised: _drifted,
    events.ConfigurationReloaded: _reloaded,
    events.AuditCollectorReached: _collector_reached,
    events.AuditCollectorLost: _collector_lost,
    events.AuditSent: _audit_sent,
    events.AuditDropped: _audit_dropped,
}
