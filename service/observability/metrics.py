# SPDX-License-Identifier: Apache-2.0
"""Counts what happens: an observer of events, and the collectors that look at queues and disks when scraped."""

from pathlib import Path

from prometheus_client.registry import CollectorRegistry

from service.domain.event import Event
from service.observability.counting import MOVES
from service.observability.families import Families
from service.observability.gauges import DriftGauges, QueueGauges, StorageGauges
from service.ports.drift import DriftReader
from service.ports.statistics import QueueStatistics


class Metrics:
    """The node's metrics; an `Observer`. Safe to call from any thread."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._registry = registry or CollectorRegistry()
        self._families = Families(self._registry)

    @property
    def registry(self) -> CollectorRegistry:
        """What /metrics shows."""
        return self._registry

    def __call__(self, event: Event, /) -> None:
        """Move the metrics that the event is about."""
        move = MOVES.get(type(event))
        if move is not None:
            move(self._families, event)

    def add_queue_collector(self, statistics: QueueStatistics) -> None:
        """Show what waits in the ledger, asked at each scrape."""
        self._registry.register(QueueGauges(statistics))

    def add_storage_collector(self, folder: Path, reserve_bytes: int) -> None:
        """Show the free space of the file system that holds `folder`, and the reserve below which nothing is taken."""
        self._registry.register(StorageGauges(folder, reserve_bytes))

    def add_drift_collector(self, reader: DriftReader) -> None:
        """Show the watch over drift, asked at each scrape."""
        self._registry.register(DriftGauges(reader))
