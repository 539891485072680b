# SPDX-License-Identifier: Apache-2.0
"""No fault of a part behind the flow's seams lets a study end without a visible result."""

import http.client
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes import FakeAnalyst, FakePipeline, ct_dataset, incoming
from node import Node, running
from service.domain.errors import OutOfSpaceError, WorkerUnavailableError
from service.domain.event import AnalysisRefused, StageFailed, StageFinished
from service.domain.instance import Instance
from service.domain.study import Completeness, Refusal, Selection
from service.observability.health import Health
from service.observability.http import HttpServer
from service.observability.metrics import Metrics
from service.ports import AnalysisRequest, EncodeRequest, ResultObject, StoreOutcome
from service.settings import HttpSettings
from service.workflow.encode import FAILURES_UNTIL_GIVING_UP


def send(node: Node, study: int, *numbers: int, **changes: Any) -> None:
    for number in numbers:
        dataset = ct_dataset(study, number)
        dataset.update(changes)
        assert node.receive(incoming(dataset)) is StoreOutcome.STORED


def finished(node: Node) -> bool:
    return node.rows("select state from job") == [("finished",)]


class HoldsFindings(FakeAnalyst):
    """Its gate holds every object back but the not-analysed one."""

    def encode(self, request: EncodeRequest) -> tuple[ResultObject, ...]:
        problems = () if self.refused else ("Modality is missing",)
        return tuple(replace(item, problems=problems) for item in super().encode(request))


class HoldsAll(FakeAnalyst):
    """Its gate holds every object back."""

    def encode(self, request: EncodeRequest) -> tuple[ResultObject, ...]:
        return tuple(replace(item, problems=("Modality is missing",)) for item in super().encode(request))


def test_a_result_that_the_gate_holds_back_is_replaced_by_the_not_analysed_one(tmp_path: Path) -> None:
    with running(tmp_path, analyst=HoldsFindings(), reconcile_seconds=0.3) as node:
        send(node, 1, 1, 2)
        node.wait(lambda: finished(node))
        assert [codes for _, codes in node.analyst.refused] == [("encoding_failed",)]
        assert len(node.destination.stored()) == 1
        assert [event.reason for event in node.observer.of(AnalysisRefused)] == ["encoding_failed"]


def test_a_job_without_any_object_ends_as_failed_and_says_so(tmp_path: Path) -> None:
    with running(tmp_path, analyst=HoldsAll(), reconcile_seconds=0.3) as node:
        send(node, 1, 1, 2)
        node.wait(lambda: node.rows("select state from job") == [("failed",)])
        ended = node.observer.of(StageFailed)[-1]
        assert (ended.stage, ended.retryable, bool(ended.study_key)) == ("encode", False, True)
        assert len(node.analyst.encoded) == FAILURES_UNTIL_GIVING_UP
        with node.ledger.reading() as view:
            (held,) = view.jobs.held(limit=9)
        assert (held.destinations, held.problems) == (("pacs",), ("Modality is missing",))


class FaultyPipeline(FakePipeline):
    """Stumbles over every study's headers."""

    def completeness(self, instances: Sequence[Instance]) -> Completeness:  # noqa: ARG002 - the port's form
        raise ZeroDivisionError

    def select(self, instances: Sequence[Instance], acceptance: Mapping[str, Any]) -> Selection | Refusal:  # noqa: ARG002 - the port's form
        raise KeyError("Rows")


def test_a_pipeline_that_stumbles_over_headers_refuses_the_study(tmp_path: Path) -> None:
    with running(tmp_path, pipeline=FaultyPipeline(), reconcile_seconds=0.5) as node:
        send(node, 1, 1, 2)
        node.wait(lambda: finished(node), seconds=10)
        assert [codes for _, codes in node.analyst.refused] == [("selection_failed",)]
        assert {event.stage for event in node.observer.of(StageFailed)} == {"close", "route"}
        assert all(event.study_key and event.pipeline for event in node.observer.of(StageFailed))


class Recovers:
    """Fails a few times as the machine fails, then works."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.left = error, times

    def __call__(self, _: AnalysisRequest) -> None:
        self.left -= 1
        if self.left >= 0:
            raise self.error


@pytest.mark.parametrize("error", [WorkerUnavailableError("no child"), OutOfSpaceError("full")])
def test_what_the_machine_lacks_is_not_held_against_the_study(tmp_path: Path, error: Exception) -> None:
    analyst = FakeAnalyst(before=Recovers(error, 5))
    with running(tmp_path, analyst=analyst, reconcile_seconds=0.2) as node:
        send(node, 1, 1, 2)
        node.wait(lambda: finished(node))
        assert node.rows("select outcome, crashes, starts from job") == [("no_findings", 0, 1)]


def test_every_stage_says_how_long_it_took(tmp_path: Path) -> None:
    with running(tmp_path) as node:
        send(node, 1, 1, 2)
        node.wait(lambda: finished(node))
        events = node.observer.of(StageFinished)
        assert [event.stage for event in events] == ["close", "route", "analyse", "encode", "deliver"]
        assert all(event.study_key and event.seconds >= 0 for event in events)


def test_a_housekeeper_that_hangs_is_no_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path, reconcile_seconds=0.1) as node:
        assert node.flow.problem() == ""
        release = threading.Event()
        monkeypatch.setattr(node.engine, "live", lambda _: release.wait(20) and frozenset())
        send(node, 1, 1)
        node.wait(lambda: "reconciler" in node.flow.problem(), seconds=10)
        release.set()
        node.wait(lambda: node.flow.problem() == "", seconds=10)


def page_of(node: Node) -> HttpServer:
    """The health of a flow as the node's own port shows it."""
    health = Health()
    health.add_live("flow", node.flow.problem)
    settings = HttpSettings.model_construct(host="127.0.0.1", port=0)
    return HttpServer(settings, health=health, registry=Metrics().registry)


def answer(server: HttpServer, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", path)
    status = connection.getresponse().status
    connection.close()
    return status


def test_a_restart_mends_a_loop_that_hangs_within_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    with running(tmp_path, reconcile_seconds=0.1) as node:
        server = page_of(node)
        server.start()
        assert answer(server, "/livez") == 200
        monkeypatch.setattr(node.engine, "live", lambda _: release.wait(20) and frozenset())
        send(node, 1, 1)
        node.wait(lambda: answer(server, "/livez") == 503, seconds=10)
        assert answer(server, "/readyz") == 200  # it still takes studies in, until it is restarted
        release.set()
        server.stop()
    started = time.monotonic()
    with running(tmp_path, reconcile_seconds=0.1) as node:
        server = page_of(node)
        server.start()
        assert answer(server, "/livez") == 200
        node.wait(lambda: finished(node))
        assert answer(server, "/livez") == 200
        server.stop()
    assert time.monotonic() - started < 30
