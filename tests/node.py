# SPDX-License-Identifier: Apache-2.0
"""A node without a network: the real store, ledger, engine and flow, with fakes behind the other seams."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from fakes import PACKAGE, FakeAnalyst, FakePipeline, FolderDestination, Recorder, SystemClock
from service.domain.study import study_key
from service.engine import DbosEngine
from service.ports import InstalledPackage, PriorSource
from service.settings import CloseSettings, DestinationSettings, Settings
from service.storage import FileStore, SqlLedger, create_database, migrate, open_folder
from service.workflow import AuditTrail, Flow, FlowParts, StoreInstance
from service.workflow.context import no_shadows

DESTINATION = DestinationSettings(
    name="pacs", ae_title="PACS", host="localhost", port=1, retry_first_seconds=0.05, retry_max_seconds=0.2
)
SETTINGS = Settings.model_validate(
    {
        "destinations": [DESTINATION.model_dump()],
        "rules": [{"name": "ct", "when": {"attribute": "Modality", "equals": "CT"}, "pipelines": ["fake"]}],
        "pipelines": {"fake": {"package": "fake", "version": "1"}},
        "close": CloseSettings(quiet_seconds=1.0, settle_seconds=0.2).model_dump(),
    }
)


@dataclass
class Node:
    """A running node and what its test looks at."""

    root: Path
    settings: Settings = SETTINGS
    analyst: FakeAnalyst = field(default_factory=FakeAnalyst)
    observer: Recorder = field(default_factory=Recorder)
    notifiers: dict[str, Any] = field(default_factory=dict)
    pipeline: FakePipeline = field(default_factory=FakePipeline)
    destinations: dict[str, Any] | None = None
    archives: dict[str, Any] = field(default_factory=dict)
    prior_source: PriorSource | None = None
    reconcile_seconds: float = 1.0
    audit: AuditTrail = field(default_factory=AuditTrail)
    database_url: str | None = None
    packages: dict[str, InstalledPackage] = field(default_factory=lambda: {"fake": PACKAGE})
    shadows: Callable[[str], Sequence[tuple[str, InstalledPackage]]] = no_shadows

    def __post_init__(self) -> None:
        folder = open_folder(self.root / "data")
        archive = self.root / "archive"
        archive.mkdir(exist_ok=True)
        self.destination = FolderDestination(name="pacs", folder=archive)
        self.database = create_database(folder.root, url=self.database_url)
        migrate(self.database)
        self.engine = DbosEngine(self.database)
        self.ledger = SqlLedger(self.database, root=folder.root, enqueue=self.engine.enqueue)
        self.store = FileStore(folder, reserve_bytes=self.settings.storage.reserve_bytes)
        self.parts = parts = FlowParts(
            settings=self.settings,
            clock=SystemClock(),
            observer=self.observer,
            ledger=self.ledger,
            store=self.store,
            analyst=self.analyst,
            pipelines={"fake": self.pipeline},
            packages=self.packages,
            shadows=self.shadows,
            destinations={"pacs": self.destination} if self.destinations is None else self.destinations,
            notifiers=self.notifiers,
            study_key=partial(study_key, site_key=b"k"),
            audit=self.audit,
            archives=self.archives,
            prior_source=self.prior_source,
        )
        self.parts = parts
        self.flow = Flow(parts, self.engine, reconcile_seconds=self.reconcile_seconds)
        self.receive = StoreInstance(parts)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.database.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(statement))]

    def wait(self, condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"not reached in {seconds} s; unfinished: {self.unfinished()}")
            time.sleep(0.05)

    def wait_idle(self, *, seconds: float = 30.0) -> None:
        self.wait(lambda: not self.unfinished(), seconds=seconds)

    def unfinished(self) -> tuple[Any, ...]:
        with self.ledger.reading() as view:
            return view.unfinished()


@contextmanager
def running(root: Path, **changes: Any) -> Iterator[Node]:
    """Run a node in this process."""
    node = Node(root, **changes)
    node.flow.start()
    try:
        yield node
    finally:
        node.flow.stop(drain_seconds=5)
        node.database.dispose()
