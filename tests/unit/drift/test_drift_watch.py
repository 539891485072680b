# SPDX-License-Identifier: Apache-2.0
"""The watch: soon on a shift, silent on usual studies, the same after a restart and for the same studies."""

from dataclasses import replace

import numpy as np
import pytest

from harness.drift_studies import reference, study
from service.domain.drift import Monitor, Monitored
from service.drift.detector import BETS
from service.drift.psi import psi
from service.drift.reference import place
from service.drift.watch import Rules, indices, shifted, step, watched

RULES = Rules()
USUAL = reference()
PSI = 0.25
"""Of the shift that must be seen within SOON studies."""
SOON = 200
BEGINNING = Monitor()


def studies_until_alarm(
    rng: np.random.Generator, *, count: int, monitor: Monitor = BEGINNING, **changes: object
) -> int:
    """Return after how many studies the watch alarms; 0 when it does not."""
    for number in range(1, count + 1):
        monitor = step(monitor, USUAL, study(rng, **changes), key=f"{rng.random()}", rules=RULES)  # type: ignore[arg-type]
        if shifted(monitor, USUAL, RULES):
            return number
    return 0


def population_psi(moved: float) -> float:
    """The index of a shift, from so many studies that chance plays no part."""
    channel = USUAL.overall.channel("score")
    assert channel is not None
    rng = np.random.default_rng(11)
    bins = np.bincount([place(channel, rng.normal() + moved) for _ in range(40_000)], minlength=len(channel.counts))
    usual = np.bincount([place(channel, rng.normal()) for _ in range(40_000)], minlength=len(channel.counts))
    return psi(usual.tolist(), bins.tolist())


def test_a_shift_of_a_quarter_of_psi_is_seen_within_two_hundred_studies() -> None:
    moved = 0.5
    assert population_psi(moved) == pytest.approx(PSI, abs=0.03)
    seeds = [np.random.default_rng([seed, 5]) for seed in range(10)]
    delays = [studies_until_alarm(rng, count=400, moved={"score": moved}) for rng in seeds]
    assert all(delays)
    assert np.median(delays) < SOON
    assert sum(delay <= SOON for delay in delays) >= 9


def test_twenty_usual_streams_are_silent() -> None:
    for seed in range(20):
        assert studies_until_alarm(np.random.default_rng([seed, 6]), count=400) == 0, seed


def test_a_gross_fault_is_seen_within_a_few_studies_of_a_watch_that_stands() -> None:
    rng, monitor = np.random.default_rng(8), Monitor()
    for number in range(100):
        monitor = step(monitor, USUAL, study(rng), key=str(number), rules=RULES)
    assert 0 < studies_until_alarm(rng, count=50, monitor=monitor, moved={"level": 8.0}) <= 15


def test_the_channels_that_moved_are_named() -> None:
    rng, monitor = np.random.default_rng(9), Monitor()
    for number in range(150):
        monitor = step(monitor, USUAL, study(rng, moved={"noise": 1.5}), key=str(number), rules=RULES)
    assert shifted(monitor, USUAL, RULES) == ("noise",)
    index = indices(monitor, USUAL)
    assert index["noise"] > 1
    assert index["level"] < 0.3


def test_no_alarm_comes_before_the_least_number_of_studies() -> None:
    rng = np.random.default_rng(10)
    assert studies_until_alarm(rng, count=40, moved={"level": 8.0}) == RULES.least_studies


def test_ignored_channels_are_not_watched() -> None:
    rules, rng, monitor = Rules(ignore=frozenset({"level"})), np.random.default_rng(12), Monitor()
    assert "level" not in watched(USUAL, rules)
    for number in range(60):
        monitor = step(monitor, USUAL, study(rng, moved={"level": 8.0}), key=str(number), rules=rules)
    assert shifted(monitor, USUAL, rules) == ()
    assert "level" not in {**monitor.evidence, **monitor.recent}


def test_a_channel_that_is_missing_keeps_its_evidence() -> None:
    monitor = step(Monitor(), USUAL, study(np.random.default_rng(13)), key="1", rules=RULES)
    after = step(monitor, USUAL, Monitored(numbers={"noise": 0.0}), key="2", rules=RULES)
    assert after.evidence["score"] == monitor.evidence["score"]
    assert after.evidence["noise"] != monitor.evidence["noise"]
    nothing = step(monitor, USUAL, Monitored(), key="3", rules=RULES)
    assert (nothing.studies, nothing.evidence) == (2, monitor.evidence)


def test_a_watch_that_was_kept_with_fewer_bets_goes_on() -> None:
    monitor = step(Monitor(), USUAL, study(np.random.default_rng(13)), key="1", rules=RULES)
    older = replace(monitor, evidence={name: row[:6] for name, row in monitor.evidence.items()})
    assert shifted(replace(older, studies=100), USUAL, RULES) == ()
    first, second = (
        step(one, USUAL, study(np.random.default_rng(14)), key="2", rules=RULES) for one in (monitor, older)
    )
    assert second.evidence["score"][:6] == first.evidence["score"][:6]
    assert len(second.evidence["score"]) == BETS


def test_only_the_last_studies_count_for_the_index() -> None:
    rules, rng, monitor = Rules(window=50), np.random.default_rng(14), Monitor()
    for number in range(120):
        monitor = step(monitor, USUAL, study(rng), key=str(number), rules=rules)
    assert {len(bins) for bins in monitor.recent.values()} == {50}


def test_the_same_studies_give_the_same_watch() -> None:
    def run() -> Monitor:
        rng, monitor = np.random.default_rng(15), Monitor()
        for number in range(30):
            monitor = step(monitor, USUAL, study(rng), key=str(number), rules=RULES)
        return monitor

    assert run() == run()
