# SPDX-License-Identifier: Apache-2.0
"""The flow counts studies and flags what comes after an alarm, also after a restart and with late slices.

The studies are made up; tests/integration/test_drift_node.py has real images in a real node, and
tests/unit/workflow/test_drift_counting.py every case of counting.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import PACKAGE, FakeAnalyst, ct_dataset, incoming
from harness.drift_studies import reference, study
from node import SETTINGS, Node, running
from service.domain.drift import PERFORMANCE_NOT_ASSURED, Monitored
from service.domain.event import DriftAlarmRaised, PriorityRaised
from service.domain.result import PackageStatus, Triage
from service.ports import AnalysisRequest
from service.settings import DriftSettings

LEAST = 10
TRUSTED = replace(PACKAGE.identity, status=PackageStatus.APPROVED)
WATCHED = replace(PACKAGE, identity=TRUSTED, drift=reference(studies=300))
SOON = SETTINGS.model_copy(update={"drift": DriftSettings(least_studies=LEAST, suspend_priority=True)})
URGENT = Triage(score=0.9, operating_point="review_first", threshold=0.5, above_operating_point=True)


def send(node: Node, *numbers: int, slices: tuple[int, ...] = (1, 2)) -> None:
    for number in numbers:
        for index in slices:
            node.receive(incoming(ct_dataset(number, index)))
    node.wait_idle()


def shifting(root: Path) -> Any:
    """A node with a trusted package, and studies that are all much too bright and urgent."""
    rng = np.random.default_rng(5)

    def bright(request: AnalysisRequest) -> Monitored:
        assert request.pipeline == "fake"
        return study(rng, moved={"level": 9.0})

    analyst = FakeAnalyst(monitored=bright, triage=URGENT)
    return running(root, analyst=analyst, settings=SOON, packages={"fake": WATCHED})


def test_an_alarm_outlives_a_restart_flags_results_and_suspends_priority(tmp_path: Path) -> None:
    with shifting(tmp_path) as node:
        send(node, *range(1, LEAST))
        send(node, 1, slices=(3,))  # a late slice: the study is analysed again, and counted once
        assert len(node.analyst.analysed) == LEAST
        assert node.observer.of(DriftAlarmRaised) == []
    with shifting(tmp_path) as node:
        send(node, LEAST)
        (event,) = node.observer.of(DriftAlarmRaised)
        assert (event.channels, event.studies) == (("level",), LEAST)
        assert node.analyst.requests[-1].caveats == ()
        assert len(node.observer.of(PriorityRaised)) == 1
        send(node, 50)
        (caveat,) = node.analyst.requests[-1].caveats
        assert caveat.code == PERFORMANCE_NOT_ASSURED
        assert "pixels: level" in caveat.message
        assert len(node.observer.of(PriorityRaised)) == 1  # the alarm stands, and the site wants none raised then
        assert node.rows("select count(*) from drift_study") == [(LEAST + 1,)]


def test_an_exam_is_ranked_among_those_before_it_and_a_restart_forgets_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database_url: str | None
) -> None:
    """The fifth exam is the first with enough before it; the others it hears of are the ones that the ledger has."""
    monkeypatch.setattr("service.domain.population.LEAST_EXAMS", 4)
    monkeypatch.setattr("service.workflow.population.RANKED", {"fake": "Exam score"})

    def scored(request: AnalysisRequest) -> Monitored:
        return Monitored(numbers={"score": len(request.job_key) / 100}, words={"outcome": "no_findings"})

    requests = []
    for numbers in ((1, 2, 3), (4, 5, 6)):
        analyst = FakeAnalyst(monitored=scored)
        with running(tmp_path, analyst=analyst, database_url=database_url) as node:
            for number in numbers:
                send(node, number)
        requests += analyst.requests
    seen = [0 if request.population is None else request.population.exams for request in requests]
    assert seen == [0, 0, 0, 0, 4, 5]
