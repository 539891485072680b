# SPDX-License-Identifier: Apache-2.0
"""The metrics of a big hospital's node, months after its start: everything has happened with everybody."""

from collections.abc import Iterator
from pathlib import Path

from harness.nvml import FakeGpu, FakeNvml
from service.domain import event as events
from service.domain.event import Event
from service.observability.metrics import Metrics
from service.ports.statistics import QueueCounts, Workers

STAGES = ("close", "route", "analyse", "encode", "deliver", "commit", "notify", "shadow")
DESTINATIONS = ("pacs", "archive", "second")
PIPELINES = ("pneumoconiosis", "diffuse_lung", "mammography")
OUTCOMES = ("findings", "no_findings", "partly_analysed", "not_analysed")
KINDS = ("sr", "heatmap", "mammography_cad", "presentation_state", "segmentation")


class BusyQueues:
    """A ledger in which something waits everywhere."""

    def counts(self) -> QueueCounts:
        each, now = dict.fromkeys(DESTINATIONS, 3), dict.fromkeys(DESTINATIONS, 1.7e9)
        return QueueCounts(
            pending=dict.fromkeys(STAGES, 3),
            oldest_received_at=dict.fromkeys(STAGES, 1.7e9),
            deliveries_pending=each,
            deliveries_refused=each,
            deliveries_abandoned=each,
            deliveries_declined=each,
            commitments_pending=each,
            circuits=each,
            last_delivered_at=now,
            conflicts=1,
            failed_jobs=1,
        )

    def spool_bytes(self) -> int:
        return 10**9


def populated(folder: Path, *, peers: int, models: int) -> Metrics:
    """Return the metrics of a node with so many peers and packages; a peer sends two modalities."""
    metrics = Metrics()
    names = [f"peer-{number}" for number in range(peers)]
    metrics.add_queue_collector(BusyQueues())
    metrics.add_storage_collector(folder, 1)
    metrics.add_machine_collectors(FakeNvml(FakeGpu(), FakeGpu()))
    metrics.add_association_collector(names)
    metrics.add_worker_collector(lambda: {"active": Workers(warm=2, starting=0, process_ids=(1, 2))})
    for event in (*_of_the_node(), *_of_peers([*names, "other"]), *_of_models(models), *_of_destinations()):
        metrics(event)
    return metrics


def _of_the_node() -> Iterator[Event]:
    yield events.NodeStarted(version="1.0.0", ae_title="DOKUEI", port=11112, config_sha256_8="00000000")
    for stage in STAGES:
        yield events.StageFinished(stage=stage, seconds=1, study_key="k")
        yield events.StageFailed(stage=stage, study_key="k", pipeline="p", error="StorageError", retryable=True)
    for name in ("node", *DESTINATIONS):
        yield events.CertificateLoaded(certificate=name, expires_at=1.8e9)
    for number in range(20):
        yield events.ConnectionDropped(reason=f"reason-{number}")
        yield events.AssociationRejected(peer="other", reason=f"reason-{number}")
        yield events.TlsHandshake(result=f"result-{number}")
        yield events.QuarantineEntered(peer="other", reason=f"fault-{number}", study_key="k", size_bytes=1)


def _of_peers(names: list[str]) -> Iterator[Event]:
    for peer in names:
        yield events.AssociationAccepted(peer=peer)
        yield events.AssociationRejected(peer=peer, reason="draining")
        for modality in ("CT", "SR"):
            for outcome in ("stored", "duplicate", "conflict", "out_of_resources", "cannot_understand"):
                yield events.InstanceReceived(
                    peer=peer, modality=modality, outcome=outcome, size_bytes=1, seconds=0.1, study_key="k"
                )
        for reason in ("truncated", "identity"):
            yield events.AdmissionRefused(peer=peer, reason=reason, study_key="k", detail="")


def _of_models(count: int) -> Iterator[Event]:
    for number in range(count):
        pipeline, name = PIPELINES[number % 3], f"model-{number}"
        model = {"package": name, "version": "1.0.0"}
        yield events.PackageLoaded(**model, status="approved", sha256_8="0" * 8, device="cuda")
        yield events.ProviderPassedOver(**model, provider="cuda", reason="lost", used="cpu", detail="")
        yield events.GoldenTested(**model, result="passed", difference=0, seconds=1)
        yield events.GoldenStudiesTested(**model, result="passed", studies=1, seconds=1)
        for device in ("cuda", "cpu"):
            yield events.InferenceFinished(**model, graph="main", device=device, seconds=1)
        for outcome in OUTCOMES:
            yield events.StudyAnalysed(**model, study_key="k", pipeline=pipeline, outcome=outcome, score=0.5)
        for result in ("agrees", "differs", "failed", "skipped"):
            yield events.ShadowCompared(**model, study_key="k", pipeline=pipeline, result=result, score_difference=0.1)
    for pipeline in PIPELINES:
        for reason in range(12):
            yield events.AnalysisRefused(study_key="k", pipeline=pipeline, reason=f"reason-{reason}")
        for priority in ("routine", "urgent"):
            for outcome in OUTCOMES:
                yield events.ResultReady(
                    study_key="k",
                    pipeline=pipeline,
                    outcome=outcome,
                    priority=priority,
                    package="m",
                    package_version="1",
                    turnaround_seconds=1,
                )


def _of_destinations() -> Iterator[Event]:
    for name in DESTINATIONS:
        for kind in KINDS:
            for status in ("stored", "refused", "unreachable", "declined"):
                yield events.ObjectDelivered(
                    study_key="k", destination=name, kind=kind, status=status, seconds=1, lag_seconds=1
                )
        for result in ("committed", "denied", "unanswered"):
            yield events.CommitmentSettled(destination=name, result=result, count=1)
    for stage in ("deliver", "commit", "circuit", "report"):
        yield events.RetryPlanned(stage=stage, destination="pacs", seconds=1)
