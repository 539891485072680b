# SPDX-License-Identifier: Apache-2.0
"""The flow counts each study once, raises the alarm in the ledger, and flags what comes after, also after a restart.

The studies are made up; tests/integration/test_drift_node.py has real images in a real node.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import PACKAGE, FakeAnalyst, ct_dataset, incoming
from harness.drift_studies import reference, study
from node import SETTINGS, Node, running
from service.domain.drift import PERFORMANCE_NOT_ASSURED, DriftState, Monitored
from service.domain.event import DriftAlarmRaised, PriorityRaised
from service.domain.result import PackageStatus, Triage
from service.ports import AnalysisRequest, InstalledPackage
from service.settings import DriftSettings, Settings

WATCHED = replace(PACKAGE, drift=reference(studies=300))
LEAST = 10
SOON = SETTINGS.model_copy(update={"drift": DriftSettings(least_studies=LEAST)})
URGENT = Triage(score=0.9, operating_point="review_first", threshold=0.5, above_operating_point=True)


def stream(moved: dict[str, float]) -> Any:
    """What is measured of one study after the other."""
    rng = np.random.default_rng(5)

    def of(request: AnalysisRequest) -> Monitored:
        assert request.pipeline == "fake"
        return study(rng, moved=moved)

    return of


def send(node: Node, *numbers: int, slices: tuple[int, ...] = (1, 2)) -> None:
    for number in numbers:
        for index in slices:
            node.receive(incoming(ct_dataset(number, index)))
    node.wait_idle()


def state(node: Node, package: InstalledPackage = WATCHED) -> DriftState:
    with node.ledger.reading() as view:
        found = view.drift.state("fake", package.identity)
    assert found is not None
    return found


def node_with(root: Path, moved: dict[str, float], settings: Settings = SOON, **changes: Any) -> Any:
    analyst = FakeAnalyst(monitored=stream(moved), triage=URGENT)
    return running(root, analyst=analyst, settings=settings, **{"packages": {"fake": WATCHED}, **changes})


@pytest.fixture
def shifted(tmp_path: Path) -> Iterator[Node]:
    """A node that has just raised an alarm."""
    with node_with(tmp_path, {"level": 9.0}) as node:
        send(node, *range(1, LEAST + 1))
        yield node


def test_a_shift_raises_one_alarm_and_every_later_result_says_so(shifted: Node) -> None:
    assert [request.caveats for request in shifted.analyst.requests] == [()] * LEAST
    (event,) = shifted.observer.of(DriftAlarmRaised)
    assert (event.package, event.channels, event.kinds, event.studies) == ("fake", ("level",), ("pixels",), LEAST)
    send(shifted, 50)
    (caveat,) = shifted.analyst.requests[-1].caveats
    assert caveat.code == PERFORMANCE_NOT_ASSURED
    assert "pixels: level" in caveat.message
    assert len(shifted.observer.of(DriftAlarmRaised)) == 1
    assert state(shifted).monitor.studies == LEAST + 1


def test_usual_studies_raise_no_alarm(tmp_path: Path) -> None:
    with node_with(tmp_path, {}) as node:
        send(node, *range(1, LEAST + 5))
        assert node.observer.of(DriftAlarmRaised) == []
        assert state(node).alarm is None
        assert state(node).reference == "usual studies"
        assert set(state(node).psi) == {entry.channel for entry in WATCHED.drift.overall.channels}


def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    for part in range(2):
        with node_with(tmp_path, {"level": 9.0}) as node:
            send(node, *range(100 * part + 1, 100 * part + 1 + LEAST // 2))
            raised = node.observer.of(DriftAlarmRaised)
            assert state(node).monitor.studies == (part + 1) * LEAST // 2
    assert len(raised) == 1
    with node_with(tmp_path, {}) as node:
        send(node, 300)
        assert node.analyst.requests[-1].caveats[0].code == PERFORMANCE_NOT_ASSURED


def test_a_study_that_is_analysed_again_counts_once(tmp_path: Path) -> None:
    with node_with(tmp_path, {}) as node:
        send(node, 1)
        before = state(node)
        send(node, 1, slices=(3,))  # a late slice: another revision, another analysis
        assert len(node.analyst.analysed) == 2
        assert state(node) == before
        assert node.rows("select count(*) from drift_study") == [(1,)]


def test_a_package_without_reference_is_learned_and_never_alarms(tmp_path: Path) -> None:
    with node_with(tmp_path, {"level": 9.0}, packages={"fake": PACKAGE}) as node:
        send(node, *range(1, LEAST + 3))
        assert node.observer.of(DriftAlarmRaised) == []
        assert state(node).learning
        assert state(node).monitor.studies == LEAST + 2


@pytest.mark.parametrize("where", ["site", "pipeline"])
def test_a_watch_that_is_switched_off_keeps_nothing(tmp_path: Path, where: str) -> None:
    own = SOON.pipelines["fake"].model_copy(update={"drift": where == "site"})
    drift = DriftSettings(enabled=where != "site", least_studies=LEAST)
    settings = SOON.model_copy(update={"drift": drift, "pipelines": {"fake": own}})
    with node_with(tmp_path, {"level": 9.0}, settings) as node:
        send(node, 1)
        assert node.rows("select count(*) from drift_study") == [(0,)]
        assert node.rows("select count(*) from drift_watch") == [(0,)]


@pytest.mark.parametrize("suspend", [False, True])
def test_a_site_may_let_no_priority_be_raised_while_the_alarm_stands(tmp_path: Path, suspend: bool) -> None:
    drift = DriftSettings(least_studies=LEAST, suspend_priority=suspend)
    settings = SOON.model_copy(update={"drift": drift})
    trusted = replace(WATCHED, identity=replace(WATCHED.identity, status=PackageStatus.APPROVED))
    with node_with(tmp_path, {"level": 9.0}, settings, packages={"fake": trusted}) as node:
        send(node, *range(1, LEAST + 1))
        assert len(node.observer.of(PriorityRaised)) == LEAST
        send(node, 50)
        assert len(node.observer.of(PriorityRaised)) == (LEAST if suspend else LEAST + 1)
