# SPDX-License-Identifier: Apache-2.0
"""A study waits for an older one that the archive is asked for; what comes is compared with, and goes nowhere else."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from fakes import FakeAnalyst, ct_dataset, incoming
from node import SETTINGS, Node, running
from service.domain.event import PriorSettled
from service.domain.fetch import FoundSeries, FoundStudy, Moved, PriorQuery
from service.ports import AnalysisRequest, StoreOutcome
from service.settings import PriorSettings, Settings

OLD, NEW = 1, 2


def settings(**changes: Any) -> Settings:
    priors = PriorSettings.model_validate({"source": "pacs", "wait_seconds": 20, **changes})
    return SETTINGS.model_copy(update={"priors": priors})


def slices(study: int, date: str, *, patient: str = "P", birth_date: str = "", count: int = 2) -> list[Dataset]:
    found = [ct_dataset(study, number) for number in range(1, count + 1)]
    for dataset in found:
        dataset.PatientID, dataset.StudyDate, dataset.PatientBirthDate = patient, date, birth_date
    return found


def uid_of(study: int) -> str:
    return f"1.2.826.0.1.{study}"


@dataclass
class Archive:
    """An archive of some studies; `says` changes what it answers to a query, `sends` which objects it sends."""

    studies: dict[str, list[Dataset]] = field(default_factory=dict)
    name: str = "pacs"
    originator: str = "DOKUEI"
    calling_ae: str = "PACS"
    asked: list[PriorQuery] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    says: Callable[[FoundStudy], FoundStudy] = lambda study: study
    before: Callable[[str], None] = lambda _step: None
    sends: Callable[[list[Dataset]], list[Dataset]] = lambda datasets: datasets
    status: int = 0
    answers: list[StoreOutcome] = field(default_factory=list)
    node: Node | None = None

    def holds(self, *studies: list[Dataset]) -> "Archive":
        for datasets in studies:
            self.studies[str(datasets[0].StudyInstanceUID)] = datasets
        return self

    def find(self, question: PriorQuery) -> tuple[FoundStudy, ...]:
        self.asked.append(question)
        self.before("find")
        return tuple(self.says(_found(datasets[0])) for datasets in self.studies.values())

    def series(self, study_instance_uid: str) -> tuple[FoundSeries, ...]:
        self.before("series")
        first = self.studies[study_instance_uid][0]
        return (FoundSeries(series_instance_uid=str(first.SeriesInstanceUID), attributes={"Modality": "CT"}),)

    def move(self, study_instance_uid: str, series: Sequence[str], *, seconds: float) -> tuple[Moved, ...]:  # noqa: ARG002 - the port's form
        self.moved.append(study_instance_uid)
        self.before("move")
        datasets = self.studies[study_instance_uid]
        sent = self.send(self.sends(datasets))
        assert len(series) == 1
        failed = len(datasets) - sent if self.status else 0
        return (Moved(status=self.status, completed=sent, failed=failed),)

    def send(self, datasets: Iterable[Dataset], **changes: Any) -> int:
        assert self.node is not None
        said = {"peer": "pacs", "calling_ae": self.calling_ae, "move_originator": self.originator, **changes}
        came = [self.node.receive(incoming(dataset, **said)) for dataset in datasets]
        self.answers += came
        return sum(item in {StoreOutcome.STORED, StoreOutcome.DUPLICATE} for item in came)

    def interrupt(self) -> None:
        pass


def _found(first: Dataset) -> FoundStudy:
    return FoundStudy(
        study_instance_uid=str(first.StudyInstanceUID),
        patient_id=str(first.PatientID),
        birth_date=str(first.PatientBirthDate),
        study_date=str(first.StudyDate),
        modalities=("CT",),
    )


def send(node: Node, datasets: Iterable[Dataset]) -> None:
    for dataset in datasets:
        assert node.receive(incoming(dataset)) in {StoreOutcome.STORED, StoreOutcome.DUPLICATE}


def told(node: Node) -> list[str]:
    return [event.outcome for event in node.observer.of(PriorSettled)]


def request_of(analyst: FakeAnalyst, study: int) -> AnalysisRequest:
    return next(item for item in analyst.requests if item.study_instance_uid == uid_of(study))


def test_an_older_study_is_fetched_and_compared_with(tmp_path: Path, database_url: str | None) -> None:
    analyst, archive = FakeAnalyst(), Archive().holds(slices(OLD, "20240301"))
    with running(
        tmp_path, analyst=analyst, settings=settings(), prior_source=archive, database_url=database_url
    ) as node:
        archive.node = node
        send(node, slices(NEW, "20250601"))
        node.wait(lambda: node.rows("select count(*) from delivery where state = 'delivered'") == [(1,)])
        node.wait_idle()
        delivered = node.destination.stored()
        states = node.rows("select study_id, state, as_prior from job order by id")
    prior = request_of(analyst, NEW).prior
    assert prior is not None
    assert (prior.study_instance_uid, prior.study_date) == (uid_of(OLD), "20240301")
    assert request_of(analyst, NEW).caveats == ()
    assert told(node) == ["comparable"]
    assert len(delivered) == 1, "only the result of the study that was sent leaves the node"
    assert [row[1:] for row in states] == [("finished", 0), ("finished", 1)]
    (question,) = archive.asked
    assert (question.patient_id, question.first_date, question.last_date) == ("P", "20200601", "20250531")
