# SPDX-License-Identifier: Apache-2.0
"""Metric names, types and labels are an interface: a change here is a change for every dashboard and alert."""

import dataclasses
import os
import re
import shutil
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import get_type_hints

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from harness.busy_metrics import populated
from harness.nvml import FakeGpu, FakeNvml
from harness.processes import wait_until
from service.domain import event as events
from service.domain.drift import DriftKind
from service.domain.errors import StorageError
from service.domain.event import Event
from service.domain.member import Member, Role
from service.observability.counting import MOVES
from service.observability.families import TURNAROUND_BUCKETS
from service.observability.labels import MAX_VALUES
from service.observability.metrics import Metrics
from service.observability.sentences import LEVELS, SENTENCES, WORSE
from service.ports.drift import DriftMode, DriftStatus
from service.ports.statistics import QueueCounts, Workers

GOLDEN = Path(__file__).with_name("metric_names.txt")
OPERATIONS = Path(__file__).resolve().parents[3] / "docs" / "operations.md"
MAX_SERIES = 2000
EVENT_TYPES = [
    value
    for value in vars(events).values()
    if isinstance(value, type) and issubclass(value, Event) and value is not Event
]
THE_KERNELS = {"dokuei_clock_offset_seconds", "dokuei_clock_synchronised"}
"""What the kernel may well call zero."""
NOT_COUNTED = {
    events.NodeStopping,
    events.NodeDraining,
    events.CircuitChanged,
    events.SourceItemsLeftOut,
    events.ContextsNegotiated,
    events.TraceCollectorChanged,
}
"""Events that are logged alone: the process ends, and nobody could scrape the count; the ledger has the state."""


class Queues:
    def counts(self) -> QueueCounts:
        return QueueCounts(
            pending={"analyse": 3, "route": 0},
            oldest_received_at={"analyse": 1.7e9},
            deliveries_pending={"pacs": 2},
            deliveries_refused={"pacs": 1},
            deliveries_abandoned={"old": 1},
            deliveries_declined={"pacs": 1},
            held=3,
            commitments_pending={"pacs": 2},
            circuits={"pacs": 2},
            last_delivered_at={"pacs": 1.7e9},
            conflicts=1,
            quarantined=2,
            quarantined_bytes=4,
            failed_jobs=4,
            audit_pending=9,
        )

    def spool_bytes(self) -> int:
        return 12


class Watches:
    def statuses(self) -> tuple[DriftStatus, ...]:
        watch = DriftStatus(pipeline="p", model="m", version="1", mode=DriftMode.USUAL, studies=9, since=1.0)
        alarm = replace(watch, mode=DriftMode.ALARM, kinds=(DriftKind.PIXELS,), psi={"score": 0.3, "noise": 2.0})
        return (alarm, replace(watch, model="learning", mode=DriftMode.LEARNING), replace(watch, model="usual"))


class Pair:
    """A receiver and a worker, of which this process leads or does not."""

    def __init__(self, *, leads: bool = True) -> None:
        self._leads = leads

    def leads(self) -> bool:
        return self._leads

    def lives(self, name: str) -> bool:
        return any(member.name == name for member in self.present())

    def present(self) -> tuple[Member, ...]:
        roles = (Role.RECEIVER, Role.WORKER)
        return tuple(
            Member(name=role.value, role=role, joined=number, version="1", config_sha256_8="0")
            for number, role in enumerate(roles)
        )


class ClosedLedger:
    def counts(self) -> QueueCounts:
        raise StorageError("the ledger cannot be read")

    def statuses(self) -> tuple[DriftStatus, ...]:
        raise StorageError("the ledger cannot be read")

    def spool_bytes(self) -> int:
        raise StorageError("the ledger cannot be read")


def sample(kind: type[Event]) -> Event:
    """An event with a value in every field."""
    values = {"str": "x", "int": 1, "float": 1.0, "bool": True, "tuple": ("x",)}
    hints = get_type_hints(kind)
    names = {
        field.name: getattr(hints[field.name], "__origin__", hints[field.name]) for field in dataclasses.fields(kind)
    }
    return kind(**{name: values[hint.__name__] for name, hint in names.items()})


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def registry(metrics: Metrics, tmp_path: Path) -> CollectorRegistry:
    """A registry in which everything has happened once."""
    gpu = FakeGpu(ecc_errors=1)
    gpu.faults.append(79)
    metrics.add_queue_collector(Queues(), members=Pair())
    metrics.add_storage_collector(tmp_path, 7)
    metrics.add_drift_collector(Watches())
    metrics.add_machine_collectors(FakeNvml(gpu))
    metrics.add_worker_collector(lambda: {"active": Workers(warm=1, starting=1, process_ids=(os.getpid(),))})
    metrics.add_association_collector(["ct"]).append(lambda: {"ct": 2})
    for kind in EVENT_TYPES:
        metrics(sample(kind))
    metrics(events.StudyRouted(study_key="x", revision=1, rules=(), pipelines=()))
    metrics(received("duplicate"))
    metrics(delivered("stored"))
    metrics(events.PackageLoaded(package="x", version="x", status="approved", sha256_8="12345678"))
    metrics(events.GoldenTested(package="x", version="x", result="passed", difference=0.1, seconds=1))
    metrics(events.GoldenStudiesTested(package="x", version="x", result="passed", studies=2, seconds=1))
    metrics(events.ConfigurationReloaded(result="applied"))
    wait_until(lambda: b"spool_bytes 12" in generate_latest(metrics.registry), seconds=5, what="no spool")
    return metrics.registry


def received(outcome: str, *, modality: str = "CT", peer: str = "ct") -> events.InstanceReceived:
    return events.InstanceReceived(
        peer=peer, modality=modality, outcome=outcome, size_bytes=10, seconds=0.1, study_key="k"
    )


def delivered(status: str) -> events.ObjectDelivered:
    return events.ObjectDelivered(
        study_key="k", destination="pacs", kind="sr", status=status, seconds=0.1, lag_seconds=2
    )


def exposed_name(name: str, kind: str) -> str:
    return f"{name}_total" if kind == "counter" else name


def described(registry: CollectorRegistry) -> list[str]:
    lines = []
    for family in registry.collect():
        labels = sorted({label for item in family.samples for label in item.labels} - {"le"})
        lines.append(f"{family.type} {exposed_name(family.name, family.type)}{{{','.join(labels)}}}")
    return sorted(lines)


def series(registry: CollectorRegistry, name: str) -> int:
    return sum(item.name == name for family in registry.collect() for item in family.samples)


def test_names_types_and_labels_are_the_golden_ones(registry: CollectorRegistry) -> None:
    assert described(registry) == GOLDEN.read_text().splitlines()


def test_every_metric_is_moved_by_something(registry: CollectorRegistry) -> None:
    still = [family.name for family in registry.collect() if not any(item.value for item in family.samples)]
    assert set(still) <= THE_KERNELS


def test_promtool_finds_nothing_to_complain_of(registry: CollectorRegistry) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("PROMTOOL MISSING: install the package prometheus to have the exposition checked")
    result = subprocess.run(
        [promtool, "check", "metrics"], input=generate_latest(registry), capture_output=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def documented() -> list[str]:
    rows = re.findall(r"^\| `(dokuei_\w+)` \| (\w+) \|([^|]*)\|", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
    labels = [sorted(re.findall(r"\w+", row[2])) for row in rows]
    return sorted(f"{row[1]} {row[0]}{{{','.join(names)}}}" for row, names in zip(rows, labels, strict=True))


def test_the_operators_table_lists_every_metric(registry: CollectorRegistry) -> None:
    assert documented() == described(registry)


def test_every_event_has_its_row_in_the_tables() -> None:
    assert set(MOVES) == set(EVENT_TYPES)
    assert {kind for kind, move in MOVES.items() if move is None} == NOT_COUNTED
    assert set(SENTENCES) == set(EVENT_TYPES)
    assert set(LEVELS) | set(WORSE) <= set(EVENT_TYPES)


def test_no_event_has_a_field_that_every_line_has() -> None:
    reserved = {"timestamp", "level", "event", "message"}
    assert not [kind for kind in EVENT_TYPES if reserved & {field.name for field in dataclasses.fields(kind)}]


def test_the_service_level_is_an_edge_of_a_bucket() -> None:
    assert 300 in TURNAROUND_BUCKETS


def test_odd_modalities_make_one_series(metrics: Metrics) -> None:
    for number in range(20_000):
        metrics(received("stored", modality=f"M{number}"))
    assert series(metrics.registry, "dokuei_instances_received_total") == 1
    labels = {"peer": "ct", "modality": "other", "status": "stored"}
    assert metrics.registry.get_sample_value("dokuei_instances_received_total", labels) == 20_000


def test_odd_peers_make_a_bounded_number_of_series(metrics: Metrics) -> None:
    for number in range(20_000):
        metrics(events.AssociationAccepted(peer=f"p{number}"))
    assert series(metrics.registry, "dokuei_associations_total") == MAX_VALUES + 1
    labels = {"peer": "other", "result": "accepted"}
    assert metrics.registry.get_sample_value("dokuei_associations_total", labels) == 20_000 - MAX_VALUES


def test_text_that_is_no_word_is_no_label(metrics: Metrics) -> None:
    metrics(events.WorkerRestarted(reason="reading PatientName 'YAMADA^TARO' failed"))
    assert b"YAMADA" not in generate_latest(metrics.registry)
    assert metrics.registry.get_sample_value("dokuei_worker_restarts_total", {"reason": "other"}) == 1


def test_twenty_peers_and_ten_models_stay_below_the_limit(tmp_path: Path) -> None:
    metrics = populated(tmp_path, peers=20, models=10)
    assert generate_latest(metrics.registry).count(b"\ndokuei_") <= MAX_SERIES


def test_counts_both_kinds_of_duplicate(metrics: Metrics) -> None:
    for outcome in ("duplicate", "conflict", "conflict", "stored"):
        metrics(received(outcome))
    assert metrics.registry.get_sample_value("dokuei_duplicates_total", {"kind": "identical"}) == 1
    assert metrics.registry.get_sample_value("dokuei_duplicates_total", {"kind": "conflict"}) == 2


def test_lag_counts_only_what_arrived(metrics: Metrics) -> None:
    for status in ("stored", "unreachable", "refused"):
        metrics(delivered(status))
    assert metrics.registry.get_sample_value("dokuei_delivery_lag_seconds_count", {"destination": "pacs"}) == 1


def test_threads_do_not_lose_counts(metrics: Metrics) -> None:
    def work() -> None:
        for _ in range(500):
            metrics(received("stored"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert metrics.registry.get_sample_value("dokuei_received_bytes_total", {"peer": "ct"}) == 8 * 500 * 10


def test_queues_are_asked_at_each_scrape(metrics: Metrics) -> None:
    metrics.add_queue_collector(Queues())
    assert metrics.registry.get_sample_value("dokuei_pending", {"stage": "analyse"}) == 3
    assert metrics.registry.get_sample_value("dokuei_pending", {"stage": "route"}) == 0
    assert metrics.registry.get_sample_value("dokuei_ledger_up") == 1


def test_members_are_counted_by_role_and_a_role_that_nobody_has_is_shown(metrics: Metrics) -> None:
    metrics.add_queue_collector(Queues(), members=Pair())
    shown = {role: metrics.registry.get_sample_value("dokuei_members", {"role": role.value}) for role in Role}
    assert shown == {Role.RECEIVER: 1, Role.WORKER: 1, Role.SENDER: 0, Role.ALL: None}


def test_a_member_that_does_not_lead_shows_nothing_of_what_all_share(metrics: Metrics) -> None:
    metrics.add_queue_collector(Queues(), members=Pair(leads=False))
    metrics.add_drift_collector(Watches(), members=Pair(leads=False))
    text = generate_latest(metrics.registry).decode()
    assert "\ndokuei_ledger_up 1.0\n" in text
    assert not re.findall(r"^dokuei_(?:pending|members|drift_alarm|spool_bytes|circuit_state)\b.*", text, re.MULTILINE)


def test_a_node_that_is_alone_has_no_members(metrics: Metrics) -> None:
    metrics.add_queue_collector(Queues())
    assert b"dokuei_members{" not in generate_latest(metrics.registry)


def test_a_ledger_that_cannot_be_read_leaves_the_other_metrics(metrics: Metrics) -> None:
    metrics.add_queue_collector(ClosedLedger())
    metrics(received("stored"))
    text = generate_latest(metrics.registry)
    assert b"\ndokuei_ledger_up 0.0\n" in text
    assert b"\ndokuei_received_bytes_total" in text
    assert b"dokuei_pending" not in text


def test_storage_tells_free_space_and_reserve(metrics: Metrics, tmp_path: Path) -> None:
    metrics.add_storage_collector(tmp_path, 7)
    free = metrics.registry.get_sample_value("dokuei_storage_free_bytes", {"volume": "data"})
    assert free == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
    assert metrics.registry.get_sample_value("dokuei_storage_reserve_bytes") == 7


def test_a_missing_folder_leaves_the_other_metrics(metrics: Metrics, tmp_path: Path) -> None:
    metrics.add_storage_collector(tmp_path / "absent", 7)
    assert metrics.registry.get_sample_value("dokuei_storage_free_bytes", {"volume": "data"}) is None
    assert metrics.registry.get_sample_value("dokuei_storage_reserve_bytes") == 7


def test_the_watch_over_drift_says_each_kind_and_nothing_while_it_learns(metrics: Metrics) -> None:
    metrics.add_drift_collector(Watches())

    def alarm(model: str, kind: str) -> float | None:
        labels = {"pipeline": "p", "model": model, "kind": kind}
        return metrics.registry.get_sample_value("dokuei_drift_alarm", labels)

    assert (alarm("m", "pixels"), alarm("m", "outputs"), alarm("usual", "pixels")) == (1, 0, 0)
    assert alarm("learning", "pixels") is None
    assert metrics.registry.get_sample_value("dokuei_score_psi", {"model": "m", "version": "1"}) == 0.3
    assert metrics.registry.get_sample_value("dokuei_score_psi", {"model": "usual", "version": "1"}) is None


def test_a_ledger_that_cannot_be_read_says_nothing_of_drift(metrics: Metrics) -> None:
    metrics.add_drift_collector(ClosedLedger())
    assert b"dokuei_drift_alarm{" not in generate_latest(metrics.registry)


def test_settings_in_effect_are_the_only_ones(metrics: Metrics) -> None:
    metrics(events.NodeStarted(version="1", ae_title="D", port=1, config_sha256_8="aaaaaaaa"))
    metrics(events.ConfigurationReloaded(result="rejected"))
    assert metrics.registry.get_sample_value("dokuei_config_info", {"sha256_8": "aaaaaaaa"}) == 1
    metrics(events.ConfigurationReloaded(result="applied", config_sha256_8="bbbbbbbb"))
    assert series(metrics.registry, "dokuei_config_info") == 1
    assert metrics.registry.get_sample_value("dokuei_config_info", {"sha256_8": "bbbbbbbb"}) == 1


def test_counters_of_alerts_begin_at_zero(metrics: Metrics) -> None:
    """A counter that is first seen at one has not moved, says Prometheus: no alert would fire."""
    metrics(events.NodeStarted(version="1", ae_title="D", port=1))
    metrics(events.CertificateLoaded(certificate="node", expires_at=1))
    metrics(events.GoldenTested(package="m", version="1", result="passed", difference=0, seconds=1))
    metrics(events.GoldenStudiesTested(package="m", version="1", result="passed", studies=1, seconds=1))
    model = {"model": "m", "version": "1", "result": "failed"}
    zeros = {
        "dokuei_worker_restarts_total": {"reason": "crashed"},
        "dokuei_certificate_loads_total": {"certificate": "node", "result": "rejected"},
        "dokuei_golden_tests_total": model,
        "dokuei_golden_study_tests_total": model,
        "dokuei_audit_dropped_total": {},
    }
    assert {name: metrics.registry.get_sample_value(name, labels) for name, labels in zeros.items()} == dict.fromkeys(
        zeros, 0
    )


def analysed(score: float, *, positive: bool = False) -> events.StudyAnalysed:
    return events.StudyAnalysed(
        study_key="k", pipeline="p", package="m", version="1", outcome="findings", score=score, positive=positive
    )


def test_scores_fall_into_twenty_equal_bins(metrics: Metrics) -> None:
    for number in range(20):
        metrics(analysed(number / 20 + 0.025, positive=number >= 15))
    metrics(analysed(-1))
    edges = {
        item.labels["le"]: item.value
        for family in metrics.registry.collect()
        for item in family.samples
        if item.name == "dokuei_model_score_bucket"
    }
    assert [edges[le] for le in edges] == [*range(1, 21), 20]
    model = {"model": "m", "version": "1"}
    assert metrics.registry.get_sample_value("dokuei_inference_total", {**model, "outcome": "findings"}) == 21
    assert metrics.registry.get_sample_value("dokuei_model_positive_total", model) == 5


def test_exemplars_name_the_study_key_alone_and_only_in_openmetrics(metrics: Metrics) -> None:
    metrics(received("stored"))
    metrics(
        events.ResultReady(
            study_key="0123456789ab",
            pipeline="p",
            outcome="findings",
            priority="routine",
            package="m",
            package_version="1",
            turnaround_seconds=42,
        )
    )
    text = openmetrics.generate_latest(metrics.registry).decode()
    exemplars = re.findall(r"^(dokuei_\w+_bucket)\{.*\} \S+ # \{(.*)\}", text, re.MULTILINE)
    assert exemplars == [
        ("dokuei_store_duration_seconds_bucket", 'study_key="k"'),
        ("dokuei_study_turnaround_seconds_bucket", 'study_key="0123456789ab"'),
    ]
    assert b"study_key" not in generate_latest(metrics.registry)


def test_no_series_says_when_another_was_made(registry: CollectorRegistry) -> None:
    assert b"_created" not in generate_latest(registry)


def test_a_package_that_is_mended_is_no_longer_rejected(metrics: Metrics) -> None:
    model = {"package": "m", "version": "1"}
    metrics(events.PackageLoaded(**model, status="rejected", sha256_8="", error="the file was altered"))
    rejected = {"model": "m", "version": "1", "sha256_8": "", "status": "rejected", "role": "active"}
    assert metrics.registry.get_sample_value("dokuei_model_info", rejected) == 1
    metrics(events.PackageLoaded(**model, status="approved", sha256_8="12345678"))
    assert series(metrics.registry, "dokuei_model_info") == 1
    assert metrics.registry.get_sample_value("dokuei_model_info", rejected) is None
