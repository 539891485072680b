# SPDX-License-Identifier: Apache-2.0
"""A study that kills its worker: tried once more, set aside, and analysed again when a person says so."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fakes import FakeAnalyst, ct_dataset, incoming
from node import Node, running
from service.domain.errors import WorkerCrashedError, WorkerTimeoutError
from service.domain.event import QuarantineEntered
from service.domain.quarantine import Quarantined
from service.ports import AnalysisRequest, StoreOutcome
from service.workflow.release import Release


def poisoned(node: Node) -> tuple[Quarantined, ...]:
    with node.ledger.reading() as view:
        return view.quarantine.rows(limit=10)


def send(node: Node, study: int) -> None:
    for number in (1, 2):
        assert node.receive(incoming(ct_dataset(study, number))) is StoreOutcome.STORED


def crashing(study: int, error: Callable[[], Exception]) -> Callable[[AnalysisRequest], None]:
    def before(request: AnalysisRequest) -> None:
        if request.study_instance_uid == f"1.2.826.0.1.{study}":
            raise error()

    return before


@pytest.mark.parametrize(
    ("error", "ended_by"),
    [
        (lambda: WorkerCrashedError("x", ended_by="SIGKILL"), "SIGKILL"),
        (lambda: WorkerCrashedError("x", ended_by="memory"), "memory"),
        (lambda: WorkerTimeoutError("x", ended_by="deadline"), "deadline"),
    ],
)
def test_a_study_that_kills_its_worker_twice_is_set_aside_and_the_next_goes_on(
    tmp_path: Path, error: Callable[[], Exception], ended_by: str
) -> None:
    analyst = FakeAnalyst(before=crashing(1, error))
    with running(tmp_path, analyst=analyst) as node:
        send(node, 1)
        send(node, 2)
        node.wait(lambda: node.rows("select state from job order by id") == [("finished",)] * 2)
        outcomes = "select outcome from job join study on study.id = job.study_id order by study.study_instance_uid"
        assert node.rows(outcomes) == [("not_analysed",), ("no_findings",)]
        entry = poisoned(node)[0]
        assert (entry.reason, entry.ended_by, entry.stage, entry.path) == ("poison", ended_by, "analyse", None)
        assert (entry.job_key,) in node.rows("select key from job")
        assert len(entry.inputs_sha256) == 64
        assert [event.reason for event in node.observer.of(QuarantineEntered)] == ["poison"]
        assert analyst.analysed.count(entry.job_key) == 2


def test_a_released_study_is_analysed_again_with_a_fresh_count(tmp_path: Path) -> None:
    crashes = iter([True, True])

    def before(_: AnalysisRequest) -> None:
        if next(crashes, False):
            raise WorkerCrashedError("x", ended_by="SIGSEGV")

    with running(tmp_path, analyst=FakeAnalyst(before=before), reconcile_seconds=0.5) as node:
        send(node, 1)
        node.wait(lambda: node.rows("select outcome, state from job") == [("not_analysed", "finished")])
        entry = poisoned(node)[0]
        assert Release(node.parts)(entry) == ""
        node.wait(lambda: len(node.rows("select * from job where state = 'finished'")) == 2)
        assert node.rows("select outcome, crashes, result_revision from job order by id desc limit 1") == [
            ("no_findings", 0, 2)
        ]
        assert node.analyst.encoded[-1].sets[0].predecessors
        assert poisoned(node) == ()
        assert len(node.destination.stored()) == 2
        assert Release(node.parts)(entry)  # later work took its place


def test_a_study_that_poisons_again_is_set_aside_again(tmp_path: Path) -> None:
    analyst = FakeAnalyst(before=crashing(1, lambda: WorkerCrashedError("x", ended_by="SIGABRT")))
    with running(tmp_path, analyst=analyst, reconcile_seconds=0.5) as node:
        send(node, 1)
        node.wait(lambda: len(poisoned(node)) == 1)
        node.wait(lambda: node.rows("select state from job") == [("finished",)])
        assert Release(node.parts)(poisoned(node)[0]) == ""
        node.wait(lambda: node.rows("select state from job") == [("finished",)] * 2)
        assert [entry.reason for entry in poisoned(node)] == ["poison"]
        assert len(analyst.analysed) == 4
