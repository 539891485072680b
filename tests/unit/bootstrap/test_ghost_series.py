# SPDX-License-Identifier: Apache-2.0
"""Children that are killed leave no series behind, and no counter goes back: there is one exporter, in the parent."""

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from harness.processes import wait_until
from service.bootstrap.packages import ACTIVE
from service.bootstrap.serving import Crew, Serving
from service.domain.event import NodeStarted
from service.domain.result import PackageIdentity, PackageStatus
from service.inference.worker import WorkerPool
from service.observability.metrics import Metrics
from service.ports import InstalledPackage

CHILDREN = 2
IDENTITY = PackageIdentity(name="film", version="1", sha256="ab" * 32, status=PackageStatus.APPROVED)

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Site:
    """Real children of a light package, and the node's own metrics of them."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.metrics(NodeStarted(version="1", ae_title="DOKUEI", port=1))
        self.serving = Serving(self.metrics)
        self.metrics.add_worker_collector(self.serving.workers)
        package = InstalledPackage(identity=IDENTITY, acceptance={})
        self.crew: Crew = self.serving.open({"film": package}, role=ACTIVE, start_pool=self._start)
        self.serving.go_over(self.crew, pipelines=self.crew.packages)
        self.crew.pool.wait_ready(60)

    def _start(self, packages: Any, heard: Any, *, idle: bool) -> WorkerPool:  # noqa: ARG002 - the port's form
        return WorkerPool(
            "crew_entries:start",
            size=CHILDREN,
            deadline_seconds=30,
            memory_bytes=None,
            initial={"packages": {"film": {"sha256": IDENTITY.sha256}}},
            observer=self.metrics,
            on_start=heard,
        )

    def scrape(self) -> tuple[Series, Series]:
        """All series, and those of counters and histograms among them."""
        found, counting = {}, {}
        for family in self.metrics.registry.collect():
            for item in family.samples:
                key = (item.name, tuple(sorted(item.labels.items())))
                found[key] = item.value
                if family.type in {"counter", "histogram"}:
                    counting[key] = item.value
        return found, counting

    def kill_each_child(self) -> None:
        """Kill all children, and wait until each has been replaced and counted."""
        dead, before = self.crew.pool.process_ids, self._restarts()
        for child in dead:
            os.kill(child, signal.SIGKILL)
        wait_until(
            lambda: (
                self.crew.pool.warm == CHILDREN
                and not set(dead) & set(self.crew.pool.process_ids)
                and self._restarts() == before + CHILDREN
            ),
            seconds=60,
            what="the children were not replaced",
        )

    def _restarts(self) -> float:
        value = self.metrics.registry.get_sample_value("dokuei_worker_restarts_total", {"reason": "crashed"})
        assert value is not None
        return value


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.serving.kill()


@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=pytest.mark.attack_long)])
def test_killed_children_leave_no_series(site: Site, kills: int) -> None:
    first, counted = site.scrape()
    for _ in range(kills // CHILDREN):
        site.kill_each_child()
        found, counting = site.scrape()
        assert found.keys() == first.keys()
        assert [key for key, value in counting.items() if value < counted[key]] == []
        counted = counting
    assert counted["dokuei_worker_restarts_total", (("reason", "crashed"),)] == kills
    workers = {labels: value for (name, labels), value in site.scrape()[0].items() if name == "dokuei_workers"}
    assert sum(workers.values()) == CHILDREN
