# SPDX-License-Identifier: Apache-2.0
"""A study waits for an older one that the archive is asked for; what comes is compared with, and goes nowhere else."""

import base64
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from fakes import PACKAGE, FakeAnalyst, ct_dataset, incoming
from harness.drift_studies import reference
from harness.drift_studies import study as drift_study
from node import SETTINGS, Node, running
from service.audit import Reporter
from service.audit.xml import Source
from service.domain.errors import DestinationUnreachableError, RetrieveRefusedError
from service.domain.event import PriorityRaised, PriorSettled, ResultReady, StudyAnalysed
from service.domain.fetch import FoundSeries, FoundStudy, Moved, PriorQuery
from service.domain.result import PackageIdentity, PackageStatus, Triage
from service.ports import AnalysisRequest, AskedQuery, InstalledPackage, StoreOutcome
from service.settings import Condition, PriorSettings, Settings
from service.workflow import AuditTrail

OLD, NEW = 1, 2
TRUSTED = replace(PACKAGE.identity, status=PackageStatus.APPROVED)
WATCHED = replace(PACKAGE, identity=TRUSTED, drift=reference(studies=300))
URGENT = Triage(score=0.9, operating_point="review_first", threshold=0.5, above_operating_point=True)
SHADOW = InstalledPackage(
    identity=PackageIdentity(name="fake", version="2", sha256="b" * 64, status=PackageStatus.APPROVED), acceptance={}
)


def one_shadow(_pipeline: str) -> Sequence[tuple[str, InstalledPackage]]:
    return (("fake/fake/2", SHADOW),)


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
    lost: int | None = None
    """How many objects it says failed; those that it did not send where it is None and the status is no success."""
    answers: list[StoreOutcome] = field(default_factory=list)
    node: Node | None = None

    def holds(self, *studies: list[Dataset]) -> "Archive":
        for datasets in studies:
            self.studies[str(datasets[0].StudyInstanceUID)] = datasets
        return self

    def wording(self, question: PriorQuery) -> AskedQuery:
        return AskedQuery(sop_class_uid="1", transfer_syntax_uid="2", identifier=question.patient_id.encode())

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
        self.before("sent")
        if self.lost is not None:
            failed = max(0, self.lost)
        return (Moved(status=self.status, completed=sent - min(0, self.lost or 0), failed=failed),)

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


def wait_for_result(node: Node, study: int) -> None:
    query = "select study_instance_uid from job join study on study.id = study_id where state = 'finished'"
    node.wait(lambda: (uid_of(study),) in node.rows(query))


def flags_of(analyst: FakeAnalyst, study: int) -> list[str]:
    return [flag.code for flag in request_of(analyst, study).caveats]


def test_nothing_of_an_older_study_is_sent_raised_counted_or_shadowed(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    analyst = FakeAnalyst(triage=URGENT, monitored=lambda _: drift_study(rng))
    archive = Archive().holds(slices(OLD, "20240301"))
    parts = {"packages": {"fake": WATCHED}, "shadows": one_shadow, "prior_source": archive, "settings": settings()}
    with running(tmp_path, analyst=analyst, **parts) as node:
        archive.node = node
        send(node, slices(NEW, "20250601"))
        wait_for_result(node, NEW)
        node.wait_idle()
        assert node.rows("select as_prior, priority from job order by id") == [(0, "urgent"), (1, "routine")]
        made = "select as_prior, count(*) from job join {0} on job.id = {0}.job_id group by as_prior"
        for table in ("result_object", "delivery", "shadow_run"):
            assert node.rows(made.format(table)) == [(0, 1)], table
        assert node.rows("select count(*) from drift_study") == [(1,)]
    for event in (StudyAnalysed, PriorityRaised, ResultReady):
        assert len(node.observer.of(event)) == 1, event
    assert len(analyst.shadowed) == 1


def test_a_query_is_in_the_audit_trail_before_it_is_made(tmp_path: Path) -> None:
    reporter = Reporter(process_id="1", ae_title="DOKUEI", host="h", source=Source(id="s"))
    archive = Archive(before=failing("find", DestinationUnreachableError("down")))
    with running(tmp_path, settings=settings(), prior_source=archive, audit=AuditTrail(settings(), reporter)) as node:
        send(node, slices(NEW, "20250601"))
        wait_for_result(node, NEW)
        (text,) = (text for (text,) in node.rows("select text from audit_message") if "110112" in text)
    assert base64.b64encode(b"P").decode() in text
    assert 'UserID="PACS"' in text


def test_an_older_study_that_is_sent_later_is_answered_like_any_other(tmp_path: Path) -> None:
    analyst, old = FakeAnalyst(), slices(OLD, "20240301")
    archive = Archive().holds(old)
    with running(tmp_path, analyst=analyst, settings=settings(), prior_source=archive) as node:
        archive.node = node
        send(node, slices(NEW, "20250601"))
        wait_for_result(node, NEW)
        node.wait_idle()
        before = len(analyst.analysed)
        send(node, old)
        node.wait(lambda: len(node.destination.stored()) == 2)
        node.wait_idle()
        assert node.rows("select as_prior from job order by id") == [(0,), (0,)]
        assert node.rows("select fetched from study order by id") == [(0,), (0,)]
        assert len(analyst.analysed) == before + 1
        archive.send(old)  # once it is an ordinary study it remains one
        assert node.rows("select fetched from study order by id") == [(0,), (0,)]
    assert set(node.destination.stored().values()) == {1}
    assert archive.moved == [uid_of(OLD)]


def test_an_older_study_that_is_sent_with_other_bytes_is_answered_too(tmp_path: Path) -> None:
    old = slices(OLD, "20240301")
    archive = Archive().holds(old)
    with running(tmp_path, settings=settings(), prior_source=archive) as node:
        archive.node = node
        send(node, slices(NEW, "20250601"))
        wait_for_result(node, NEW)
        node.wait_idle()
        for dataset in old:
            dataset.StudyDescription = "corrected"
            assert node.receive(incoming(dataset)) is StoreOutcome.CONFLICT
        node.wait(lambda: len(node.destination.stored()) == 2)
        assert node.rows("select as_prior from job order by id") == [(0,), (0,)]


def test_an_older_study_that_is_sent_while_it_is_analysed_is_answered_too(tmp_path: Path) -> None:
    old, archive, held = slices(OLD, "20240301"), Archive().holds(slices(OLD, "20240301")), threading.Event()

    def hold(request: AnalysisRequest) -> None:
        if request.study_instance_uid == uid_of(OLD):
            held.wait(20)

    analyst = FakeAnalyst(before=hold)
    with running(tmp_path, analyst=analyst, settings=settings(), prior_source=archive) as node:
        archive.node = node
        send(node, slices(NEW, "20250601"))
        node.wait(lambda: uid_of(OLD) in {request.study_instance_uid for request in analyst.requests})
        send(node, old)
        node.wait(lambda: node.rows("select count(*) from job where as_prior = 0") == [(2,)])
        held.set()
        node.wait(lambda: len(node.destination.stored()) == 2)
        node.wait_idle()
    assert told(node) == ["comparable"]


def failing(step: str, error: Exception) -> Callable[[str], None]:
    def fail(now: str) -> None:
        if now == step:
            raise error

    return fail


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"before": failing("find", DestinationUnreachableError("down"))}, "unreachable"),
        ({"before": failing("find", RetrieveRefusedError("no"))}, "refused"),
        ({"before": failing("series", DestinationUnreachableError("down"))}, "unreachable"),
        ({"before": failing("move", DestinationUnreachableError("down"))}, "unreachable"),
        ({"before": failing("move", RetrieveRefusedError("no"))}, "refused"),
        ({"status": 0xA801, "sends": lambda _: [], "lost": 0}, "refused"),
        ({"status": 0xB000, "sends": lambda datasets: datasets[:1]}, "incomplete"),
        ({"sends": lambda _: []}, "incomplete"),
        ({"sends": lambda datasets: datasets[:1], "lost": -1}, "incomplete"),
        ({"sends": lambda _: slices(OLD, "20240301", birth_date="19990101")}, "other_patient"),
        ({"sends": lambda _: refused_by_the_pipeline()}, "unusable"),
        ({"sends": lambda _: of_modality("MR")}, "unusable"),
        ({"sends": lambda _: slices(OLD, "20250701")}, "unusable"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_study_goes_on_without_what_the_archive_does_not_give(
    changes: dict[str, Any], outcome: str, tmp_path: Path
) -> None:
    analyst, archive = FakeAnalyst(), Archive(**changes).holds(slices(OLD, "20240301"))
    with running(tmp_path, analyst=analyst, settings=settings(), prior_source=archive) as node:
        archive.node = node
        send(node, slices(NEW, "20250601"))
        wait_for_result(node, NEW)
        node.wait_idle()
        assert len(node.destination.stored()) == 1
        assert node.rows("select count(*) from job where state not in ('finished')") == [(0,)]
        if outcome in {"incomplete", "other_patient"}:
            assert node.rows("select count(*) from job") == [(1,)], (
                "what is not the patient's whole study is not analysed"
            )
    assert told(node) == [outcome]
    assert flags_of(analyst, NEW) == [f"prior_{outcome}"]
    assert request_of(analyst, NEW).prior is None


def refused_by_the_pipeline() -> list[Dataset]:
    datasets = slices(OLD, "20240301")
    for dataset in datasets:
        dataset.StudyDescription = "REFUSE"
    return datasets


def of_modality(modality: str) -> list[Dataset]:
    datasets = slices(OLD, "20240301")
    for dataset in datasets:
        dataset.Modality = modality
    return datasets


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"patient_id": "Q"}, "none"),
        ({"issuer": "ELSEWHERE"}, "none"),
        ({"birth_date": "19990101"}, "none"),
        ({"study_date": "20250601"}, "none"),
        ({"study_date": "20200531"}, "none"),
        ({"modalities": ("MR", "SR")}, "none"),
        ({"study_instance_uid": ""}, "none"),
        ({"birth_date": "", "modalities": ()}, "comparable"),
        ({"study_date": "20200601"}, "comparable"),
    ],
    ids=str,
)
def test_only_an_older_study_of_the_patient_is_asked_for(changes: dict[str, Any], outcome: str, tmp_path: Path) -> None:
    archive = Archive(says=lambda study: replace(study, **changes)).holds(slices(OLD, "20240301"))
    analyst = FakeAnalyst()
    with running(tmp_path, analyst=analyst, settings=settings(), prior_source=archive) as node:
        archive.node = node
        send(node, slices(NEW, "20250601"))
        wait_for_result(node, NEW)
    assert told(node) == [outcome]
    assert archive.moved == [uid_of(OLD)] * (outcome == "comparable")
    assert flags_of(analyst, NEW) == []


@pytest.mark.parametrize("patient", ["*", "P?", ""])
def test_a_patient_id_that_is_a_pattern_is_never_asked_for(patient: str, tmp_path: Path) -> None:
    archive = Archive().holds(slices(OLD, "20240301", patient="P1"))
    with running(tmp_path, settings=settings(), prior_source=archive) as node:
        archive.node = node
        send(node, slices(NEW, "20250601", patient=patient))
        wait_for_result(node, NEW)
    assert archive.asked == []


def test_a_study_waits_no_longer_than_it_may_and_the_older_one_serves_the_next(tmp_path: Path) -> None:
    held, analyst = threading.Event(), FakeAnalyst()

    def hold(step: str) -> None:
        if step == "move":
            held.wait(20)

    archive = Archive(before=hold).holds(slices(OLD, "20240301"))
    with running(tmp_path, analyst=analyst, settings=settings(wait_seconds=2), prior_source=archive) as node:
        archive.node = node
        send(node, slices(NEW, "20250601"))
        send(node, slices(7, "20250601", patient="ANOTHER"))
        wait_for_result(node, NEW)
        assert "late" in told(node)
        assert flags_of(analyst, NEW) == ["prior_late"]
        held.set()
        node.wait_idle()
        assert node.rows("select state from job where as_prior = 1") == [("finished",)]
        send(node, slices(3, "20250701"))
        wait_for_result(node, 3)
    assert request_of(analyst, 3).prior is not None
    assert archive.moved == [uid_of(OLD)]


def test_a_slow_archive_delays_no_study_that_does_not_wait_for_it(tmp_path: Path) -> None:
    held = threading.Event()

    def hold(_step: str) -> None:
        held.wait(20)

    archive = Archive(before=hold).holds(slices(OLD, "20240301"))
    urgent = SETTINGS.rules[0].model_copy(update={"name": "urgent", "priority": "urgent"})
    urgent = urgent.model_copy(update={"when": Condition(attribute="StudyDescription", equals="STAT")})
    rules = (*SETTINGS.rules, urgent)
    with running(tmp_path, settings=settings().model_copy(update={"rules": rules}), prior_source=archive) as node:
        archive.node = node
        send(node, slices(NEW, "20250601"))
        node.wait(lambda: bool(archive.asked))
        hurried = slices(5, "20250601", patient="R")
        for dataset in hurried:
            dataset.StudyDescription = "STAT"
        send(node, hurried)
        send(node, slices(6, "20250601", patient=""))
        wait_for_result(node, 5)
        wait_for_result(node, 6)
        assert node.rows("select count(*) from job where state = 'queued'") == [(1,)]
        held.set()
        wait_for_result(node, NEW)
    assert len(archive.asked) == 1, "what the rules call urgent asks nobody"


@pytest.mark.parametrize("step", ["find", "series", "move", "sent"])
def test_a_search_that_breaks_anywhere_is_done_again(step: str, tmp_path: Path, database_url: str | None) -> None:
    broken: list[str] = []

    def fail_once(now: str) -> None:
        if now == step and not broken:
            broken.append(now)
            raise RuntimeError("killed")

    analyst, archive = FakeAnalyst(), Archive(before=fail_once).holds(slices(OLD, "20240301"))
    parts = {"settings": settings(wait_seconds=60), "prior_source": archive, "database_url": database_url}
    with running(tmp_path, analyst=analyst, **parts) as node:
        archive.node = node
        send(node, slices(NEW, "20250601"))
        wait_for_result(node, NEW)
        node.wait_idle()
        assert node.rows("select count(*) from instance") == [(4,)]
    assert broken == [step]
    assert told(node) == ["comparable"]
    assert request_of(analyst, NEW).prior is not None


def test_a_node_that_stops_while_a_study_waits_goes_on_after_its_next_start(tmp_path: Path) -> None:
    started, ended = threading.Event(), threading.Event()

    def hold(step: str) -> None:
        if step == "move" and not ended.is_set():
            started.set()
            ended.wait(20)
            raise DestinationUnreachableError("interrupted")

    archive, analyst = Archive(before=hold).holds(slices(OLD, "20240301")), FakeAnalyst()
    archive.interrupt = ended.set  # type: ignore[method-assign]
    with running(tmp_path, analyst=analyst, settings=settings(wait_seconds=60), prior_source=archive) as node:
        archive.node = node
        send(node, slices(NEW, "20250601"))
        assert started.wait(20)
    assert told(node) == []
    with running(tmp_path, analyst=analyst, settings=settings(wait_seconds=60), prior_source=archive) as node:
        archive.node = node
        wait_for_result(node, NEW)
    assert told(node) == ["comparable"]


def test_a_search_whose_archive_left_the_configuration_ends(tmp_path: Path) -> None:
    archive = Archive(before=failing("find", RuntimeError("killed"))).holds(slices(OLD, "20240301"))
    with running(tmp_path, settings=settings(wait_seconds=60), prior_source=archive) as node:
        archive.node = node
        send(node, slices(NEW, "20250601"))
        node.wait(lambda: bool(archive.asked))
    with running(tmp_path) as node:
        wait_for_result(node, NEW)
        node.wait_idle()
    assert told(node) == ["unreachable"]


def test_an_archive_that_names_no_originator_is_known_by_its_title_while_it_is_asked(tmp_path: Path) -> None:
    archive = Archive(originator="").holds(slices(OLD, "20240301"))
    with running(tmp_path, settings=settings(), prior_source=archive) as node:
        archive.node = node
        send(node, slices(NEW, "20250601"))
        wait_for_result(node, NEW)
        node.wait_idle()
        assert told(node) == ["comparable"]
        assert node.rows("select as_prior from job order by id") == [(0,), (1,)]
        archive.send(archive.studies[uid_of(OLD)])  # nobody has asked any more: it comes by itself
        node.wait(lambda: len(node.destination.stored()) == 2)


def test_what_an_archive_that_names_originators_sends_without_one_is_answered(tmp_path: Path) -> None:
    archive = Archive().holds(slices(OLD, "20240301"))

    def with_one_of_its_own(datasets: list[Dataset]) -> list[Dataset]:
        archive.send(datasets[1:], move_originator="")
        return datasets

    archive.sends = with_one_of_its_own
    with running(tmp_path, settings=settings(), prior_source=archive) as node:
        archive.node = node
        archive.send(slices(5, "20200101", patient="ANOTHER"))  # names us, and was not asked for
        wait_for_result(node, 5)
        send(node, slices(NEW, "20250601"))
        node.wait(lambda: len(node.destination.stored()) == 3)
        assert node.rows("select as_prior from job") == [(0,), (0,), (0,)]


def test_two_studies_of_a_patient_wait_for_the_same_older_one(tmp_path: Path) -> None:
    archive, analyst, held = Archive().holds(slices(OLD, "20240301")), FakeAnalyst(), threading.Event()

    def hold(request: AnalysisRequest) -> None:
        if request.study_instance_uid == uid_of(OLD):
            held.wait(20)

    analyst.before = hold
    with running(tmp_path, analyst=analyst, settings=settings(), prior_source=archive) as node:
        archive.node = node
        send(node, slices(NEW, "20250601"))
        node.wait(lambda: uid_of(OLD) in {request.study_instance_uid for request in analyst.requests})
        send(node, slices(3, "20250601"))
        node.wait(lambda: len(archive.moved) == 2)
        node.wait(lambda: node.rows("select count(*) from asked_study where state = 'whole'") == [(2,)])
        held.set()
        wait_for_result(node, NEW)
        wait_for_result(node, 3)
        node.wait_idle()
        assert node.rows("select count(*) from job where as_prior = 1") == [(1,)]
    assert told(node) == ["comparable", "comparable"]


@pytest.mark.parametrize(
    "said", [{"move_originator": "", "calling_ae": "CT1"}, {"move_originator": "WORKSTATION"}], ids=str
)
def test_what_somebody_else_sends_of_an_asked_for_study_is_answered(said: dict[str, str], tmp_path: Path) -> None:
    """Nobody but the archive that we asked can make a study one that nobody is told of."""
    archive = Archive().holds(slices(OLD, "20240301"))
    archive.sends = lambda datasets: archive.send(datasets, **said) and datasets  # type: ignore[assignment,return-value]
    with running(tmp_path, settings=settings(), prior_source=archive) as node:
        archive.node = node
        send(node, slices(NEW, "20250601"))
        node.wait(lambda: len(node.destination.stored()) == 2)
        node.wait_idle()
        assert node.rows("select as_prior from job") == [(0,), (0,)]


def test_nobody_makes_a_study_unheard_by_naming_us_as_the_originator(tmp_path: Path) -> None:
    with running(tmp_path, settings=settings(), prior_source=Archive()) as node:
        for dataset in slices(NEW, "20250601"):
            node.receive(incoming(dataset, move_originator="DOKUEI", calling_ae="PACS"))
        wait_for_result(node, NEW)
        assert node.rows("select as_prior from job") == [(0,)]
        assert len(node.destination.stored()) == 1


def test_several_older_studies_are_fetched_newest_first(tmp_path: Path) -> None:
    archive = Archive().holds(*(slices(number, f"202{number}0301") for number in (1, 2, 3)))
    analyst = FakeAnalyst()
    with running(tmp_path, analyst=analyst, settings=settings(studies=2), prior_source=archive) as node:
        archive.node = node
        send(node, slices(9, "20240601"))
        wait_for_result(node, 9)
        node.wait_idle()
        count = node.rows("select count(*) from job where as_prior = 1")
    assert archive.moved == [uid_of(3), uid_of(2)]
    assert count == [(2,)]
    prior = request_of(analyst, 9).prior
    assert prior is not None
    assert prior.study_date == "20230301"


def test_an_older_study_that_did_not_come_whole_is_asked_for_again_by_the_next(tmp_path: Path) -> None:
    archive, analyst = Archive(status=0xB000).holds(slices(OLD, "20240301")), FakeAnalyst()
    archive.sends = lambda datasets: datasets[:1]
    with running(tmp_path, analyst=analyst, settings=settings(), prior_source=archive) as node:
        archive.node = node
        send(node, slices(NEW, "20250601"))
        wait_for_result(node, NEW)
        node.wait_idle()
        archive.status, archive.sends = 0, lambda datasets: datasets
        send(node, slices(3, "20250701"))
        wait_for_result(node, 3)
    assert told(node) == ["incomplete"], "the second found the first to compare with"
