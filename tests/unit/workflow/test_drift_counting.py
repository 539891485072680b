# SPDX-License-Identifier: Apache-2.0
"""What counting a study does in the ledger: once each, an alarm that stands, and what a person may say to it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes import PACKAGE
from harness.drift_studies import reference, study
from node import SETTINGS, Node
from service.domain.drift import DriftState, Monitored
from service.domain.entry import JobRecord, JobState
from service.domain.event import DriftAlarmRaised
from service.domain.result import Outcome, PackageIdentity, Priority
from service.ports import AnalysisSummary
from service.settings import DriftSettings, Settings
from service.workflow.drift import (
    MOST_HISTORY,
    acknowledged,
    count_study,
    restarted,
    standing_caveats,
    with_baseline,
)
from service.workflow.population import population_of

LEAST = 10
REFERENCE = reference(studies=300)
WATCHED = replace(PACKAGE, drift=REFERENCE)
SOON = SETTINGS.model_copy(update={"drift": DriftSettings(least_studies=LEAST)})
GROSS = {"level": 9.0}
BY = {"by": "Dr. A", "note": "tube replaced", "at": 9.0}


class Site:
    """A ledger in which studies are counted, without a flow around it."""

    def __init__(self, root: Path, settings: Settings = SOON, **packages: Any) -> None:
        self.node = Node(root, settings=settings, packages={"fake": WATCHED, **packages})
        self.rng = np.random.default_rng(5)
        self.events: list[DriftAlarmRaised] = []

    def count(
        self, names: Sequence[str], moved: dict[str, float] | None = None, package: PackageIdentity | None = None
    ) -> None:
        for name in names:
            self.count_one(name, study(self.rng, moved=moved), package=package)

    def count_one(self, name: str, monitored: Monitored | None, *, package: PackageIdentity | None = None) -> None:
        summary = AnalysisSummary(outcome=Outcome.NO_FINDINGS, headline="h", monitored=monitored)
        with self.node.ledger.transaction() as transaction:
            job = job_of(name, package or WATCHED.identity)
            self.events += count_study(self.node.parts, transaction, job, summary, at=1.0)

    def state(self) -> DriftState | None:
        with self.node.ledger.reading() as view:
            return view.drift.state("fake", WATCHED.identity)

    @property
    def watch(self) -> DriftState:
        state = self.state()
        assert state is not None
        return state

    def save(self, state: DriftState) -> None:
        with self.node.ledger.transaction() as transaction:
            transaction.drift.save(state)

    def caveats(self) -> tuple[str, ...]:
        with self.node.ledger.reading() as view:
            found = standing_caveats(self.node.parts, view, job_of("any", WATCHED.identity))
        return tuple(reason.message for reason in found)


def job_of(study_uid: str, package: PackageIdentity) -> JobRecord:
    numbers = dict.fromkeys(("id", "study_id", "revision_id", "result_revision"), 1)
    counts = dict.fromkeys(("crashes", "starts", "encode_failures", "attempt"), 0)
    texts = {"key": "k", "pipeline": "fake", "outcome": "", "headline": "", "task_id": ""}
    return JobRecord(
        **numbers,
        **counts,
        **texts,
        study_instance_uid=study_uid,
        package=package,
        priority=Priority.ROUTINE,
        state=JobState.QUEUED,
        input_sop_instance_uids=(),
        flags=(),
        refusals=(),
        received_at=0.0,
        created_at=0.0,
    )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.node.database.dispose()


@pytest.fixture
def alarmed(site: Site) -> Site:
    site.count([f"1.{number}" for number in range(LEAST)], GROSS)
    assert site.watch.alarm is not None
    return site


def test_a_shift_raises_one_alarm_and_results_carry_its_caveat(alarmed: Site) -> None:
    (event,) = alarmed.events
    assert (event.package, event.channels, event.kinds, event.studies) == ("fake", ("level",), ("pixels",), LEAST)
    (message,) = alarmed.caveats()
    assert message.startswith("performance not assured: since 1970-01-01 ")
    assert "(pixels: level)" in message
    alarmed.count(["2.1"], GROSS)
    assert len(alarmed.events) == 1


def test_an_alarm_takes_up_what_shifts_later_and_tells_of_it(alarmed: Site) -> None:
    alarmed.count([f"3.{number}" for number in range(30)], {**GROSS, "score": 5.0})
    assert alarmed.watch.alarm is not None
    assert alarmed.watch.alarm.channels == ("level", "score")
    assert [event.channels for event in alarmed.events] == [("level",), ("level", "score")]


def test_usual_studies_leave_the_watch_silent(site: Site) -> None:
    site.count([f"1.{number}" for number in range(3 * LEAST)])
    assert (site.events, site.watch.alarm, site.caveats()) == ([], None, ())
    assert site.watch.reference == "usual studies"
    assert set(site.watch.psi) == {entry.channel for entry in REFERENCE.overall.channels}


def test_a_study_that_comes_again_is_counted_once(site: Site) -> None:
    site.count(["1.1", "1.2"])
    before = site.watch
    site.count(["1.1", "1.2", "1.1"], GROSS)
    assert site.watch == before


def test_order_and_repetition_of_a_replay_change_nothing(tmp_path: Path) -> None:
    """Two nodes that are given the same studies, one of them some twice, come to the same watch."""
    rng = np.random.default_rng(3)
    studies = [(f"1.{number}", study(rng)) for number in range(20)]
    states = []
    for folder, stream in (("a", studies), ("b", [*studies[:7], *studies[2:7], *studies[7:]])):
        (tmp_path / folder).mkdir()
        site = Site(tmp_path / folder)
        for name, monitored in stream:
            site.count_one(name, monitored)
        states.append(site.watch.monitor)
        site.node.database.dispose()
    assert states[0] == states[1]


def test_what_was_not_measured_is_not_counted(site: Site) -> None:
    site.count_one("1.1", None)
    assert site.state() is None


def test_studies_of_a_package_that_was_replaced_are_kept_and_move_no_watch(site: Site) -> None:
    old = replace(WATCHED.identity, version="0", sha256="0" * 64)
    site.count(["1.1"], package=old)
    with site.node.ledger.reading() as view:
        assert len(view.drift.studies("fake", old, since=0, until=9)) == 1
        assert view.drift.states() == ()


@pytest.mark.parametrize("where", ["site", "pipeline"])
def test_a_watch_that_is_switched_off_keeps_and_says_nothing(tmp_path: Path, where: str) -> None:
    own = SOON.pipelines["fake"].model_copy(update={"drift": where == "site"})
    drift = DriftSettings(enabled=where != "site", least_studies=LEAST)
    off = Site(tmp_path, SOON.model_copy(update={"drift": drift, "pipelines": {"fake": own}}))
    off.count([f"1.{number}" for number in range(LEAST)], GROSS)
    assert off.state() is None
    on = DriftState(pipeline="fake", package=WATCHED.identity)
    with_alarm = Site(tmp_path)
    with_alarm.count([f"2.{number}" for number in range(LEAST)], GROSS)
    assert with_alarm.caveats()
    assert off.caveats() == ()
    assert on.alarm is None
    for site in (off, with_alarm):
        site.node.database.dispose()


def test_a_package_without_reference_is_learned(tmp_path: Path) -> None:
    site = Site(tmp_path, fake=PACKAGE)
    site.count([f"1.{number}" for number in range(2 * LEAST)], GROSS)
    assert site.watch.learning
    assert (site.watch.monitor.studies, site.events) == (2 * LEAST, [])
    site.node.database.dispose()


def test_an_acknowledged_alarm_stands(alarmed: Site) -> None:
    alarmed.save(acknowledged(alarmed.watch, **BY))
    alarm = alarmed.watch.alarm
    assert alarm is not None
    assert (alarm.acknowledged_by, alarm.note, alarm.acknowledged_at) == ("Dr. A", "tube replaced", 9.0)
    assert len(alarmed.caveats()) == 1
    alarmed.count(["5.1"], GROSS)
    assert alarmed.watch.alarm == alarm


def test_a_restart_watches_anew_by_the_same_reference(alarmed: Site) -> None:
    alarmed.save(restarted(alarmed.watch, **BY, relearns=False))
    assert (alarmed.watch.alarm, alarmed.caveats()) == (None, ())
    assert [(alarm.ended_at, alarm.acknowledged_by) for alarm in alarmed.watch.history] == [(9.0, "Dr. A")]
    alarmed.count([f"6.{number}" for number in range(LEAST)], GROSS)
    assert alarmed.watch.alarm is not None
    assert alarmed.watch.alarm.studies == LEAST


def test_after_relearning_nothing_is_compared_until_a_person_confirms_a_baseline(alarmed: Site) -> None:
    alarmed.save(restarted(alarmed.watch, **BY, relearns=True))
    alarmed.count([f"7.{number}" for number in range(2 * LEAST)], GROSS)
    assert (alarmed.watch.learning, alarmed.watch.alarm) == (True, None)
    baseline = replace(REFERENCE, source="studies of this site", confirmed_by="Dr. B")
    alarmed.save(with_baseline(alarmed.watch, baseline, at=11.0))
    alarmed.count([f"8.{number}" for number in range(LEAST)], GROSS)
    assert alarmed.watch.reference == "studies of this site"
    assert alarmed.watch.alarm is not None


def test_the_sites_own_baseline_goes_before_the_package(site: Site) -> None:
    rng = np.random.default_rng(8)
    site.count(["1.1"])
    own = reference(studies=300, seed=2)
    site.save(with_baseline(site.watch, replace(own, source="own"), at=2.0))
    site.count_one("1.2", study(rng))
    assert (site.watch.reference, site.watch.monitor.studies) == ("own", 1)


def test_what_needs_an_alarm_asks_for_one_and_a_baseline_for_none(site: Site, tmp_path: Path) -> None:
    site.count(["1.1"])
    for change in (acknowledged, restarted):
        more = {"relearns": False} if change is restarted else {}
        with pytest.raises(ValueError, match="no alarm stands"):
            change(site.watch, **BY, **more)  # type: ignore[operator]
    site.count([f"1.{number}" for number in range(2, LEAST + 2)], GROSS)
    with pytest.raises(ValueError, match="an alarm stands"):
        with_baseline(site.watch, REFERENCE, at=1.0)


def test_the_history_is_bounded(alarmed: Site) -> None:
    state = alarmed.watch
    for _ in range(MOST_HISTORY + 5):
        state = replace(restarted(state, **BY, relearns=False), alarm=state.alarm)
    assert len(state.history) == MOST_HISTORY


@pytest.mark.parametrize("wanted", [True, False])
def test_a_site_may_have_no_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, wanted: bool) -> None:
    monkeypatch.setattr("service.domain.population.LEAST_EXAMS", 3)
    pipelines = {"fake": SOON.pipelines["fake"].model_copy(update={"decile": wanted})}
    site = Site(tmp_path, SOON.model_copy(update={"pipelines": pipelines}))
    site.count("abcd")
    job = replace(job_of("a", WATCHED.identity), created_at=2.0)
    with site.node.ledger.reading() as view:
        assert population_of(site.node.parts, view, job) is None, "only mammography is ranked"
        monkeypatch.setattr("service.workflow.population.RANKED", {"fake": "Exam score"})
        among = population_of(site.node.parts, view, job)
        assert population_of(site.node.parts, view, replace(job, package=None)) is None
    site.node.database.dispose()
    assert (among.exams if among else 0) == (3 if wanted else 0), "the other three"
