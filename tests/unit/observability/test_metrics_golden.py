# SPDX-License-Identifier: Apache-2.0
"""Metric names, types and labels are an interface: a change here is a change for every dashboard and alert."""

import dataclasses
import shutil
import subprocess
from pathlib import Path
from typing import get_type_hints

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from service.domain import event as events
from service.domain.event import Event
from service.observability.counting import MOVES, count
from service.observability.gauges import QueueGauges, StorageGauges
from service.observability.metrics import TURNAROUND_BUCKETS, Metrics, modality_label
from service.observability.sentences import SENTENCES
from service.ports.statistics import QueueCounts

GOLDEN = Path(__file__).with_name("metric_names.txt")
EVENT_TYPES = [
    value
    for value in vars(events).values()
    if isinstance(value, type) and issubclass(value, Event) and value is not Event
]


class Queues:
    def counts(self) -> QueueCounts:
        return QueueCounts(
            pending={"analyse": 3},
            oldest_received_at={"analyse": 1.7e9},
            deliveries_pending={"pacs": 2},
            deliveries_refused={"pacs": 1},
            last_delivered_at={"pacs": 1.7e9},
            conflicts=1,
            failed_jobs=4,
        )


def sample(kind: type[Event]) -> Event:
    """An event with a value in every field."""
    values = {"str": "x", "int": 1, "float": 1.0, "bool": True, "tuple": ("x",)}
    hints = get_type_hints(kind)
    names = {
        field.name: getattr(hints[field.name], "__origin__", hints[field.name]) for field in dataclasses.fields(kind)
    }
    return kind(**{name: values[hint.__name__] for name, hint in names.items()})


@pytest.fixture
def registry(tmp_path: Path) -> CollectorRegistry:
    """A registry in which everything has happened once."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    registry.register(QueueGauges(Queues()))
    registry.register(StorageGauges(tmp_path, reserve_bytes=7))
    for kind in EVENT_TYPES:
        count(metrics, sample(kind))
    count(metrics, events.StudyRouted(study_key="x", revision=1, rules=(), pipelines=()))
    count(metrics, received("duplicate"))
    count(metrics, delivered("stored"))
    return registry


def received(outcome: str, modality: str = "CT") -> events.InstanceReceived:
    return events.InstanceReceived(
        peer="ct", modality=modality, outcome=outcome, size_bytes=10, seconds=0.1, study_key="k"
    )


def delivered(status: str) -> events.ObjectDelivered:
    return events.ObjectDelivered(
        study_key="k", destination="pacs", kind="sr", status=status, seconds=0.1, lag_seconds=2
    )


def described(registry: CollectorRegistry) -> list[str]:
    lines = []
    for family in registry.collect():
        labels = sorted({label for item in family.samples for label in item.labels} - {"le"})
        lines.append(f"{family.type} {family.name}{{{','.join(labels)}}}")
    return sorted(lines)


def test_names_types_and_labels_are_the_golden_ones(registry: CollectorRegistry) -> None:
    assert described(registry) == GOLDEN.read_text().splitlines()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_finds_nothing_to_complain_of(registry: CollectorRegistry) -> None:
    result = subprocess.run(
        ["promtool", "check", "metrics"], input=generate_latest(registry), capture_output=True, check=False
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def test_every_event_is_counted_and_has_its_sentence() -> None:
    assert set(EVENT_TYPES) == set(MOVES)
    assert set(EVENT_TYPES) == set(SENTENCES)


def test_the_service_level_is_an_edge_of_a_bucket() -> None:
    assert 300 in TURNAROUND_BUCKETS


def test_a_peer_cannot_make_new_series() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for number in range(1000):
        count(metrics, received("stored", modality=f"M{number}"))
    assert modality_label("CT") == "CT"
    assert (
        registry.get_sample_value(
            "dokuei_instances_received_total", {"peer": "ct", "modality": "other", "status": "stored"}
        )
        == 1000
    )


def test_counts_both_kinds_of_duplicate() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for outcome in ("duplicate", "conflict", "conflict", "stored"):
        count(metrics, received(outcome))
    assert registry.get_sample_value("dokuei_duplicates_total", {"kind": "identical"}) == 1
    assert registry.get_sample_value("dokuei_duplicates_total", {"kind": "conflict"}) == 2


def test_lag_counts_only_what_arrived() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for status in ("stored", "unreachable", "refused"):
        count(metrics, delivered(status))
    assert registry.get_sample_value("dokuei_delivery_lag_seconds_count", {"destination": "pacs"}) == 1


def test_storage_gauges_tell_free_space_and_reserve(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    registry.register(StorageGauges(tmp_path, reserve_bytes=7, free_bytes=lambda _folder: 99))
    assert registry.get_sample_value("dokuei_storage_free_bytes") == 99
    assert registry.get_sample_value("dokuei_storage_reserve_bytes") == 7


def test_a_missing_folder_leaves_the_other_metrics(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    registry.register(StorageGauges(tmp_path / "absent", reserve_bytes=7))
    assert registry.get_sample_value("dokuei_storage_free_bytes") is None
    assert registry.get_sample_value("dokuei_storage_reserve_bytes") == 7


def test_stages_in_which_nothing_waits_are_zero(registry: CollectorRegistry) -> None:
    assert registry.get_sample_value("dokuei_pending", {"stage": "analyse"}) == 3
    assert registry.get_sample_value("dokuei_pending", {"stage": "route"}) == 0
