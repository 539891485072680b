# SPDX-License-Identifier: Apache-2.0
"""The node of the simulation: real store, ledger and workflow; virtual time, engine and archive."""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from fakes import CT, PACKAGE, SR, FakeAnalyst, FakePipeline, Recorder
from service.domain.entry import JobRecord, NewJob
from service.domain.instance import Instance
from service.domain.result import Outcome, Priority
from service.domain.study import study_key
from service.ports import AnalysisSummary, EncodeRequest, ResultObject
from service.settings import Settings
from service.storage import FileStore, SqlLedger, create_database, migrate, open_folder
from service.workflow import Flow, FlowParts, TakeReport
from service.workflow.stages import ENCODE, task, task_id
from simulation.archive import VirtualArchive
from simulation.clock import VirtualClock
from simulation.engine import VirtualEngine

RECONCILE_SECONDS = 600.0
"""Ten times the node's: a pass costs real time, and days have many."""
TASK_SECONDS = 0.01
SETTINGS: dict[str, Any] = {
    "destinations": [{"name": "pacs", "ae_title": "PACS", "host": "h", "port": 1, "commitment": "request"}],
    "rules": [],
    "pipelines": {"fake": {"package": "fake", "version": "1"}},
}


class TwoObjects(FakeAnalyst):
    """Makes a report and a picture of each job."""

    def encode(self, request: EncodeRequest) -> tuple[ResultObject, ...]:
        objects = []
        for number, kind in enumerate(("sr", "heatmap")):
            path = request.analysis.folder / f"{kind}.dcm"
            path.write_text(f"{request.analysis.job_key} {kind}")
            uid = f"2.25.{2 * int(request.analysis.job_key) + number}"
            objects.append(ResultObject(kind=kind, sop_class_uid=SR, sop_instance_uid=uid, path=path))
        return tuple(objects)


@dataclass
class World:
    """Everything, and the events that are to come."""

    root: Path
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=lambda: SETTINGS)
    reconcile_seconds: float = RECONCILE_SECONDS
    modalities: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.clock = VirtualClock()
        self.observer = Recorder()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count(1)
        folder = open_folder(self.root / "data")
        self.database = create_database(folder.root)
        sa.event.listen(self.database, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
        migrate(self.database)
        self.engine = VirtualEngine(self.database, self.clock)
        self.ledger = SqlLedger(self.database, root=folder.root, enqueue=self.engine.enqueue)
        self.archive = VirtualArchive(clock=self.clock, later=self.later)
        self.others: dict[str, VirtualArchive] = {
            entry["name"]: VirtualArchive(clock=self.clock, later=self.later, name=entry["name"])
            for entry in self.settings["destinations"][1:]
        }
        archives = {"pacs": self.archive, **self.others}
        self.parts = FlowParts(
            settings=Settings.model_validate(self.settings),
            clock=self.clock,
            observer=self.observer,
            ledger=self.ledger,
            store=FileStore(folder, reserve_bytes=0),
            analyst=TwoObjects(),
            pipelines={"fake": FakePipeline()},
            packages={"fake": PACKAGE},
            destinations=archives,
            notifiers={},
            study_key=partial(study_key, site_key=b"k"),
            archives=archives,
            modalities=self.modalities,
            draw=self.random.uniform,
        )
        self._next_pass = self.reconcile_seconds
        self.boot()

    def boot(self) -> None:
        """Begin a new life of the process, with the ledger and the tasks of the last one."""
        self.flow = Flow(self.parts, self.engine)
        for archive in (self.archive, *self.others.values()):
            archive.listener = TakeReport(self.parts)
        committing = [entry.name for entry in self.parts.settings.destinations if entry.commitment == "request"]
        with self.ledger.transaction() as transaction:
            transaction.circuits.follow(tuple(self.parts.destinations))
            transaction.deliveries.follow(tuple(self.parts.destinations), committing=committing, at=self.parts.now())

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Let something happen in so many seconds."""
        heapq.heappush(self._events, (self.clock.monotonic() + seconds, next(self._numbers), action))

    def add_job(self, priority: Priority = Priority.ROUTINE) -> JobRecord:
        """Add a study whose analysis is done."""
        number = next(self._numbers)
        with self.ledger.transaction() as transaction:
            at = self.parts.now()
            image = _image(self.root / "data", number)
            study = transaction.studies.add_instance(image, peer="ct", at=at)
            frozen = transaction.studies.freeze(study.id, reason="quiet", task_id=str, at=at)
            transaction.studies.routed(frozen.id, rules=(), pipelines=("fake",), at=at)
            new = NewJob(
                key=str(number),
                revision_id=frozen.id,
                study_id=study.id,
                pipeline="fake",
                package=None,
                priority=priority,
                input_sop_instance_uids=(image.sop_instance_uid,),
            )
            job = transaction.jobs.add(new, task_id=lambda row_id: task_id(ENCODE, row_id, 0), at=at)
            assert job is not None
            summary = AnalysisSummary(outcome=Outcome.FINDINGS, headline="h")
            transaction.jobs.analysed(job.id, summary, priority=priority, task_id=job.task_id, at=at)
            transaction.enqueue(task(ENCODE, job.id, attempt=0, priority=priority))
        return job

    def run(self, *, seconds: float, until_idle: bool = False) -> None:
        """Let so much time pass, or less when nothing is left to happen."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self._happen()
            if self.engine.run_one():
                self.clock.advance(TASK_SECONDS)
            elif until_idle and not self._events and not self.unfinished():
                return
            else:
                self._sleep(end)

    def run_until_idle(self, *, hours: float = 48.0) -> None:
        """Let time pass until nothing is left to do."""
        self.run(seconds=hours * 3600, until_idle=True)
        assert not self.unfinished(), self.unfinished()

    def unfinished(self) -> tuple[Any, ...]:
        with self.ledger.reading() as view:
            return view.unfinished()

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.database.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(statement))]

    def _happen(self) -> None:
        while self._events and self._events[0][0] <= self.clock.monotonic():
            heapq.heappop(self._events)[2]()
        if self._next_pass <= self.clock.monotonic():
            self.flow.reconcile()
            self._next_pass = self.clock.monotonic() + self.reconcile_seconds

    def _sleep(self, end: float) -> None:
        """Jump to whatever comes next."""
        moments = [self._next_pass, end, *(event[0] for event in self._events[:1])]
        due = self.engine.next_due()
        if due is not None:
            moments.append(self.clock.monotonic() + max(0.0, due - self.clock.wall()))
        self.clock.advance(max(0.0, min(moments) - self.clock.monotonic()))


def _image(root: Path, number: int) -> Instance:
    return Instance(
        sop_instance_uid=f"1.2.{number}.1",
        sop_class_uid=CT,
        study_instance_uid=f"1.2.{number}",
        series_instance_uid=f"1.2.{number}.0",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=root / f"{number}.dcm",
        sha256=str(number),
        size_bytes=1,
    )
