# SPDX-License-Identifier: Apache-2.0
"""Counts what happens: an observer of events, and the collectors that look at queues and disks when scraped."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import ProcessCollector, disable_created_metrics
from prometheus_client.registry import CollectorRegistry

from service.domain.event import Event
from service.observability.counting import MOVES
from service.observability.families import NAMESPACE, Families
from service.observability.gauges import (
    AssociationGauges,
    DriftGauges,
    MemberGauges,
    QueueGauges,
    SpoolGauge,
    StorageGauges,
)
from service.observability.gpu import GpuGauges
from service.observability.machine import ClockGauges, WorkerGauges
from service.ports.drift import DriftReader
from service.ports.members import Alone, Members
from service.ports.statistics import QueueStatistics, Workers


class Metrics:
    """The node's metrics; an `Observer`. Safe to call from any thread."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # series of which Prometheus makes nothing
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

    def add_queue_collector(self, statistics: QueueStatistics, *, members: Members | None = None) -> None:
        """Show what waits in the ledger, asked at each scrape; of several members the one that leads does."""
        members = members or Alone()
        self._registry.register(QueueGauges(statistics, leads=members.leads))
        self._registry.register(SpoolGauge(statistics, leads=members.leads))
        self._registry.register(MemberGauges(members))

    def add_association_collector(self, peers: Iterable[str]) -> list[Callable[[], Mapping[str, int]]]:
        """Show what is open by peer; what is appended to the returned list is asked at each scrape."""
        gauges = AssociationGauges(peers)
        self._registry.register(gauges)
        return gauges.sources

    def add_worker_collector(self, census: Callable[[], Mapping[str, Workers]]) -> None:
        """Show the child processes."""
        self._registry.register(WorkerGauges(census))

    def add_machine_collectors(self, nvml: Any | None = None) -> None:
        """Show this process, the kernel's clock, and the GPUs where there is `nvml` (gpu.open_nvml)."""
        ProcessCollector(namespace=NAMESPACE, registry=self._registry)
        self._registry.register(ClockGauges())
        if nvml is not None:
            self._registry.register(GpuGauges(nvml))

    def add_storage_collector(self, folder: Path, reserve_bytes: int) -> None:
        """Show the free space of the file system that holds `folder`, and the reserve below which nothing is taken."""
        self._registry.register(StorageGauges(folder, reserve_bytes))

    def add_drift_collector(self, reader: DriftReader, *, members: Members | None = None) -> None:
        """Show the watch over drift, asked at each scrape; of several members the one that leads does."""
        self._registry.register(DriftGauges(reader, leads=(members or Alone()).leads))
