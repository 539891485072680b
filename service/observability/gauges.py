# SPDX-License-Identifier: Apache-2.0
"""Gauges that are asked for when they are scraped: queues from the ledger, space from the disk."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.domain.errors import StorageError
from service.ports.statistics import QueueCounts, QueueStatistics

STAGES = ("close", "route", "analyse", "encode", "deliver", "notify")


class QueueGauges(Collector):
    """What waits, per stage and per destination.

    Timestamps of the oldest instead of ages: they stay true while a scrape is cached, and an alert computes the age.
    """

    def __init__(self, statistics: QueueStatistics) -> None:
        self._statistics = statistics

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name the metrics without asking the ledger, which may not be open yet when this is registered."""
        yield from _families(NOTHING)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Ask the ledger; nothing when it cannot be read, which /readyz reports."""
        try:
            counts = self._statistics.counts()
        except StorageError:
            return
        yield from _families(counts)


NOTHING = QueueCounts(
    pending={},
    oldest_received_at={},
    deliveries_pending={},
    deliveries_refused={},
    last_delivered_at={},
    conflicts=0,
    failed_jobs=0,
)


def _families(counts: QueueCounts) -> Iterator[GaugeMetricFamily]:
    pending = {stage: counts.pending.get(stage, 0) for stage in STAGES}
    yield _labelled("pending", "Jobs that wait.", "stage", pending)
    yield _labelled(
        "oldest_pending_received_timestamp_seconds",
        "When the oldest study that waits in a stage arrived.",
        "stage",
        counts.oldest_received_at,
    )
    yield _labelled(
        "delivery_pending", "Objects that wait for a destination.", "destination", counts.deliveries_pending
    )
    yield _labelled(
        "delivery_refused", "Objects that a destination refused for good.", "destination", counts.deliveries_refused
    )
    yield _labelled(
        "delivery_last_success_timestamp_seconds",
        "When a destination last took an object.",
        "destination",
        counts.last_delivered_at,
    )
    yield GaugeMetricFamily("dokuei_conflicts", "Instances kept aside: same UID, other bytes.", counts.conflicts)
    yield GaugeMetricFamily("dokuei_failed_jobs", "Jobs that ended in failure.", counts.failed_jobs)


def _labelled(name: str, text: str, label: str, values: Mapping[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"dokuei_{name}", text, labels=[label])
    for value, number in sorted(values.items()):
        family.add_metric([value], number)
    return family


class StorageGauges(Collector):
    """Free space where studies lie, and the reserve below which nothing is taken in."""

    def __init__(self, folder: Path, *, reserve_bytes: int, free_bytes: Callable[[Path], int] | None = None) -> None:
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._free_bytes = free_bytes or free_space_bytes

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Ask the file system."""
        yield GaugeMetricFamily(
            "dokuei_storage_reserve_bytes", "Free space below which nothing is taken in.", self._reserve_bytes
        )
        try:
            free = self._free_bytes(self._folder)
        except OSError:
            return
        yield GaugeMetricFamily("dokuei_storage_free_bytes", "Free space where studies lie.", free)


def free_space_bytes(folder: Path) -> int:
    """Return the free space of the file system that holds the folder; raises OSError when it is not there."""
    return shutil.disk_usage(folder).free
