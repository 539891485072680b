# SPDX-License-Identifier: Apache-2.0
"""Shadow packages see what the active one sees; nobody is told, nothing is raised, and nothing waits for them."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes import PACKAGE, FakeAnalyst, FakePipeline, ct_dataset, incoming
from node import Node, running
from service.domain.errors import PackageError, WorkerCrashedError
from service.domain.event import PriorityRaised, ShadowCompared
from service.domain.instance import Instance
from service.domain.result import Outcome, PackageIdentity, PackageStatus, Reason, Triage
from service.domain.study import Refusal, Selection
from service.ports import AnalysisRequest, AnalysisSummary, InstalledPackage, StoreOutcome
from service.workflow import shadow as shadow_module

SHADOW = InstalledPackage(
    identity=PackageIdentity(name="fake", version="2", sha256="b" * 64, status=PackageStatus.APPROVED), acceptance={}
)
URGENT = Triage(score=0.9, operating_point="review_first", threshold=0.5, above_operating_point=True)
CALM = Triage(score=0.2, operating_point="review_first", threshold=0.5, above_operating_point=False)


def one_shadow(pipeline: str) -> Sequence[tuple[str, InstalledPackage]]:
    return (("fake/fake/2", SHADOW),) if pipeline == "fake" else ()


def saying(outcome: Outcome, triage: Triage | None) -> AnalysisSummary:
    return AnalysisSummary(outcome=outcome, headline="Shadow", triage=triage)


def send(node: Node, study: int, **changes: Any) -> None:
    for number in (1, 2):
        assert node.receive(incoming(ct_dataset(study, number, **changes))) is StoreOutcome.STORED


def compared(node: Node) -> list[ShadowCompared]:
    return node.observer.of(ShadowCompared)


def test_a_shadow_is_computed_recorded_and_compared_and_nobody_is_told(tmp_path: Path) -> None:
    analyst = FakeAnalyst(triage=CALM, shadow_summary=saying(Outcome.FINDINGS, URGENT))
    with running(tmp_path, analyst=analyst, shadows=one_shadow) as node:
        send(node, 1)
        node.wait_idle()
        ((request, key),) = analyst.shadowed
        assert key == "fake/fake/2"
        assert request.package == SHADOW.identity
        assert request.folder.parent.name == request.job_key  # aside: the active result is not touched
        assert (request.folder.parent / "result").read_text() == "no findings"
        row = node.rows(
            "select package_version, state, active_outcome, outcome, active_score, score, agrees from shadow_run"
        )
        assert row == [("2", "compared", "no_findings", "findings", 0.2, 0.9, 0)]
        (event,) = compared(node)
        assert (event.result, event.version) == ("differs", "2")
        assert event.score_difference == pytest.approx(0.7)
        # An approved package above its operating point: as the active one it would have raised the priority.
        assert node.rows("select priority, outcome, package_version from job") == [("routine", "no_findings", "1")]
        assert node.observer.of(PriorityRaised) == []
        assert len(node.destination.stored()) == 1
        with node.ledger.reading() as view:
            (summary,) = view.shadows.summaries()
        assert (summary.compared, summary.disagreed, summary.failed, summary.pending) == (1, 1, 0, 0)
        assert summary.score_difference == pytest.approx(0.7)


def test_a_shadow_that_says_the_same_agrees(tmp_path: Path) -> None:
    analyst = FakeAnalyst(triage=CALM, shadow_summary=saying(Outcome.NO_FINDINGS, replace(CALM, score=0.3)))
    with running(tmp_path, analyst=analyst, shadows=one_shadow) as node:
        send(node, 1)
        node.wait_idle()
        (event,) = compared(node)
        assert event.result == "agrees"
        assert event.score_difference == pytest.approx(0.1)


def test_nothing_waits_for_a_shadow(tmp_path: Path) -> None:
    """Three studies are done and delivered while the shadow of the first hangs."""
    release = threading.Event()
    analyst = FakeAnalyst(before_shadow=lambda _: release.wait(30) and None)
    with running(tmp_path, analyst=analyst, shadows=one_shadow) as node:
        try:
            for study in (1, 2, 3):
                send(node, study)
            node.wait(lambda: node.rows("select count(*) from job where state = 'finished'") == [(3,)])
            assert len(node.destination.stored()) == 3
            assert compared(node) == []
        finally:
            release.set()
        node.wait_idle()
        assert len(compared(node)) == 3


def test_a_study_that_the_active_package_refuses_is_shown_to_the_shadow_too(tmp_path: Path) -> None:
    with running(tmp_path, shadows=one_shadow) as node:
        send(node, 1, description="REFUSE")
        node.wait_idle()
        assert node.analyst.shadowed == []  # its own acceptance profile refuses by the headers
        assert [event.result for event in compared(node)] == ["agrees"]


@pytest.mark.parametrize("error", [PackageError("x"), WorkerCrashedError("x", ended_by="SIGSEGV")])
def test_a_shadow_that_fails_costs_the_study_nothing(tmp_path: Path, error: Exception) -> None:
    def fail(_: AnalysisRequest) -> None:
        raise error

    with running(tmp_path, analyst=FakeAnalyst(before_shadow=fail), shadows=one_shadow, reconcile_seconds=0.3) as node:
        send(node, 1)
        node.wait_idle()
        assert node.rows("select state, error from shadow_run") == [("failed", type(error).__name__)]
        assert [event.result for event in compared(node)] == ["failed"]
        assert node.rows("select outcome, state, crashes from job") == [("no_findings", "finished", 0)]
        assert node.rows("select count(*) from quarantine") == [(0,)]


def test_a_shadow_that_left_the_configuration_is_not_run(tmp_path: Path) -> None:
    """It was configured when the study was analysed, and no longer when its turn came."""
    asked: list[str] = []

    def once(pipeline: str) -> Sequence[tuple[str, InstalledPackage]]:
        asked.append(pipeline)
        return one_shadow(pipeline) if len(asked) == 1 else ()

    with running(tmp_path, shadows=once) as node:
        send(node, 1)
        node.wait_idle()
        assert node.rows("select state, error from shadow_run") == [("failed", "not_configured")]
        assert node.analyst.shadowed == []


def test_more_than_can_wait_is_skipped_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow_module, "MAX_WAITING", 0)
    with running(tmp_path, shadows=one_shadow) as node:
        send(node, 1)
        node.wait_idle()
        assert [event.result for event in compared(node)] == ["skipped"]
        assert node.rows("select * from shadow_run") == []
        assert node.rows("select state from job") == [("finished",)]


def test_the_node_goes_on_with_a_shadow_after_a_restart(tmp_path: Path) -> None:
    def crash(_: AnalysisRequest) -> None:
        raise WorkerCrashedError("the node is killed")

    with running(tmp_path, analyst=FakeAnalyst(before_shadow=crash), shadows=one_shadow, reconcile_seconds=60) as node:
        send(node, 1)
        node.wait(lambda: node.rows("select tries from shadow_run") == [(1,)])
    with running(tmp_path, shadows=one_shadow, reconcile_seconds=0.3) as node:
        node.wait_idle()
        assert node.rows("select state, tries from shadow_run") == [("compared", 2)]


# --- a job whose package is no longer here ---------------------------------------------------------------------------


def test_a_job_made_with_a_package_that_is_gone_is_given_to_the_present_one(tmp_path: Path) -> None:
    """config.yaml names another one after a restart: what the ledger says of it decides what may raise a priority."""
    trusted = InstalledPackage(
        identity=replace(PACKAGE.identity, version="0", sha256="c" * 64, status=PackageStatus.APPROVED), acceptance={}
    )
    packages = {"fake": trusted}

    class Restarted(FakeAnalyst):
        def runs(self, package: PackageIdentity) -> bool:
            packages["fake"] = PACKAGE  # from now on
            return package == PACKAGE.identity

    with running(tmp_path, analyst=Restarted(triage=URGENT), packages=packages) as node:
        send(node, 1)
        node.wait_idle()
        job = node.rows("select package_version, package_status, priority, outcome from job")
        assert job == [("1", "demonstration", "routine", "no_findings")]
        assert node.observer.of(PriorityRaised) == []


def test_the_present_package_may_refuse_such_a_job_by_its_headers(tmp_path: Path) -> None:
    class Stricter(FakePipeline):
        def select(self, instances: Sequence[Instance], acceptance: Mapping[str, Any]) -> Selection | Refusal:
            if acceptance.get("strict"):
                return Refusal(reasons=(Reason(code="lossy", message="lossy"),), instances=tuple(instances))
            return super().select(instances, acceptance)

    packages = {"fake": PACKAGE}

    class Restarted(FakeAnalyst):
        def runs(self, package: PackageIdentity) -> bool:
            packages["fake"] = replace(SHADOW, acceptance={"strict": True})
            return package == SHADOW.identity

    with running(tmp_path, analyst=Restarted(), pipeline=Stricter(), packages=packages) as node:
        send(node, 1)
        node.wait_idle()
        assert node.analyst.refused == [(node.rows("select key from job")[0][0], ("lossy",))]
        assert node.rows("select package_version, outcome from job") == [("2", "not_analysed")]
