# SPDX-License-Identifier: Apache-2.0
"""What a package declares of distances, calibration and sets, through the whole pipeline on one phantom film."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from models.phantoms.chest_radiograph.film import anatomy, radiograph, stored
from models.phantoms.chest_radiograph.opacities import ZONES, Disease
from models.phantoms.dicom import PhantomStudy, write_dx
from service.domain.reliability import (
    UNDECLARED,
    CalibrationMethod,
    ConformalSet,
    Limit,
    Reliability,
    ScoreCalibration,
    SetMethod,
)
from service.domain.result import Outcome, PackageStatus, RunStatus
from service.domain.study import Selection
from service.pipelines.pneumoconiosis import PneumoconiosisPipeline
from service.pipelines.pneumoconiosis.profusion_sets import StepRange, profusion_sets
from service.pipelines.pneumoconiosis.reading import PROFUSION, read_film, read_zone

NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
PIPELINE = PneumoconiosisPipeline()
PITCH_MM = 0.5


class Declaring:
    """The demonstration package, which declares more and whose graphs have the outputs that this needs."""

    def __init__(self, package, reliability, *, extra=None, status=PackageStatus.DEMONSTRATION):
        self._package, self.reliability, self._extra = package, reliability, extra or {}
        self.identity = replace(package.identity, status=status)

    def __getattr__(self, name):
        return getattr(self._package, name)

    def run(self, graph, inputs):
        outputs = self._package.run(graph, inputs)
        count = len(next(iter(outputs.values())))
        return outputs | {name: np.full(count, value, np.float32) for name, value in self._extra.get(graph, {}).items()}


@pytest.fixture(scope="module")
def selection(tmp_path_factory, as_instance, package):
    body = anatomy(12, shape=(840, 760), pitch_mm=PITCH_MM)
    pixels = stored(
        radiograph(body, disease=Disease(levels=dict.fromkeys(ZONES, 8), primary="q", secondary="q"), seed=1)
    )
    path = tmp_path_factory.mktemp("film") / "film.dcm"
    instance = as_instance(write_dx(path, pixels, study=PhantomStudy(seed="doubts"), pixel_spacing_mm=PITCH_MM))
    chosen = PIPELINE.select([instance], {**package.acceptance, "pixel_spacing_max_mm": 0.5})
    assert isinstance(chosen, Selection)
    return chosen


@pytest.fixture(scope="module")
def analyse(selection, package):
    def run(reliability, **options):
        return PIPELINE.run(selection, Declaring(package, reliability, **options), analysed_at=NOW)

    return run


@pytest.fixture(scope="module")
def plain(selection, package):
    return PIPELINE.run(selection, package, analysed_at=NOW)


def limits(graph):
    return tuple(
        Limit(graph=graph, output=name, threshold=10.0, quantile=0.99, n=480)
        for name in ("distance_shallow", "distance_deep")
    )


USUAL = {"distance_shallow": 9.0, "distance_deep": 10.0}
STRANGE = {"distance_shallow": 9.0, "distance_deep": 10.5}


def test_a_package_that_declares_nothing_is_read_as_before(analyse, plain):
    """The shipped package declares distances, which are numbers more and nothing else."""
    silent = analyse(UNDECLARED)
    undeclared = {name: value for name, value in plain.values.items() if "distance" not in name}
    assert len(undeclared) == len(plain.values) - 2
    assert (silent.values, silent.findings, silent.flags, silent.summary) == (
        undeclared,
        plain.findings,
        plain.flags,
        plain.summary,
    )
    assert silent.heatmaps[0].lines == plain.heatmaps[0].lines
    assert not any("distance" in name or "calibrated" in name or "_set" in name for name in silent.values)


@pytest.mark.parametrize("graph", ["lungseg", "zones"])
def test_a_film_outside_the_training_distribution_is_not_analysed(analyse, graph):
    result = analyse(Reliability(out_of_distribution=limits(graph)), extra={graph: STRANGE})
    assert result.outcome is Outcome.NOT_ANALYSED
    (reason,) = result.refusals
    assert reason.code == "out_of_distribution"
    assert f"{graph} distance_deep 10.5 is above 10" in reason.message
    assert "distance_shallow" not in reason.message
    assert result.values[f"{graph}_distance_deep"] == 10.5
    assert result.headline == "Not analysed: out of distribution"
    assert result.triage is None
    assert {run.status for run in result.runs} == {RunStatus.FAILED}


def test_a_usual_film_is_read_and_its_distances_are_kept(analyse, plain):
    result = analyse(
        Reliability(out_of_distribution=(*limits("lungseg"), *limits("zones"))),
        extra={"lungseg": USUAL, "zones": USUAL},
    )
    assert result.findings == plain.findings
    kept = {f"{graph}_{name}": value for graph in ("lungseg", "zones") for name, value in USUAL.items()}
    assert result.values == {**plain.values, **kept}


def calibration(target, intercept):
    return ScoreCalibration(
        target=target,
        method=CalibrationMethod.PLATT,
        parameters={"slope": 1.0, "intercept": intercept},
        n=1000,
        positives=500,
        prevalence=0.5,
    )


def test_calibrated_scores_are_stated_of_film_and_zones_but_thresholds_stay(analyse, plain):
    declared = Reliability(calibration=(calibration("film", -3.0), calibration("zone", -5.0)))
    result = analyse(declared, status=PackageStatus.RESEARCH)
    film, *zones = result.findings
    plain_film, *plain_zones = plain.findings
    for finding, before, shift in ((film, plain_film, 3.0), (zones[0], plain_zones[0], 5.0)):
        odds = before.score / (1 - before.score) * np.exp(-shift)
        assert finding.score == pytest.approx(odds / (1 + odds), abs=1e-4)
        assert finding.calibrated
    assert result.triage == plain.triage
    assert result.values["overall_score"] == plain.values["overall_score"]
    assert result.values["overall_calibrated"] == pytest.approx(film.score, abs=1e-5)
    assert result.values["zone_RU_calibrated"] == pytest.approx(zones[0].score, abs=1e-5)
    lines = result.heatmaps[0].lines
    assert not any("uncalibrated" in line for line in lines)
    assert any(line.startswith("Calibrated: ") for line in lines)


def test_a_demonstration_states_no_probability(analyse, plain):
    result = analyse(Reliability(calibration=(calibration("film", -3.0),)))
    assert result.findings == plain.findings
    assert result.heatmaps[0].lines == plain.heatmaps[0].lines
    assert result.summary == plain.summary
    assert result.values["overall_calibrated"] < plain.values["overall_score"]


def sets(target, quantile):
    return ConformalSet(target=target, method=SetMethod.ORDINAL, level=0.8, quantile=quantile, n=100)


def test_sets_are_printed_and_kept(analyse, plain):
    result = analyse(Reliability(conformal=(sets("film", 0.8), sets("zone", 0.8))))
    low, high = (PROFUSION.index(step) for step in result.values["overall_set"])
    assert low <= round(plain.values["overall_expected_step"]) <= high
    assert high > low
    profusion = next(e.value.value for e in plain.findings[0].evaluations).removeprefix("ILO-PROF-")
    expected = f"Profusion {profusion}, 80 % set {PROFUSION[low]} to {PROFUSION[high]}"
    assert expected in result.heatmaps[0].lines
    assert expected in result.summary
    assert {name for name in result.values if name.endswith("_set")} == {
        "overall_set",
        *(f"zone_{zone}_set" for zone in ZONES),
    }
    assert any(line.startswith("Left upper, middle, lower, 80 % sets: ") for line in result.summary)


def test_disagreeing_models_are_a_flag_and_the_score_is_still_there(analyse, plain):
    limit = Limit(graph="zones", output="divergence", threshold=0.1, quantile=0.99, n=480)
    result = analyse(Reliability(disagreement=(limit,)), extra={"zones": {"divergence": 0.3}})
    assert [flag.code for flag in result.flags if flag not in plain.flags] == ["indeterminate"]
    assert result.findings == plain.findings
    assert result.values["zones_divergence"] == pytest.approx(0.3)


def test_the_votes_of_several_readers_say_how_sure_they_are(analyse, plain):
    result = analyse(UNDECLARED, extra={"zones": {"margin": 0.62, "divergence": 0.054}})
    told = ("Confidence: mean margin 0.62 between 1/0 or more and less",)
    told += ("Disagreement of the models: mean divergence 0.05 nats",)
    silent = analyse(UNDECLARED)
    assert result.values == {**silent.values, "mean_margin": 0.62, "mean_divergence": 0.054}
    assert result.summary == (*plain.summary, *told)
    assert result.heatmaps[0].lines == (*plain.heatmaps[0].lines, *told)
    assert result.findings == plain.findings


def film_at(step, *, spread=1.0):
    """Read six equal zones whose probabilities lie around a step."""
    logits = ((step - np.arange(11) - 0.5) / spread).astype(np.float32)
    return read_film([read_zone(name, logits, np.zeros(6, np.float32), area_cm2=80.0) for name in ZONES])


@pytest.mark.parametrize(("step", "settled"), [(0.5, True), (2.5, False), (7.0, True)])
def test_a_set_on_both_sides_of_1_0_is_indeterminate(step, settled):
    found = profusion_sets(film_at(step, spread=0.4), Reliability(conformal=(sets("film", 0.9),)))
    assert (found.flags() == ()) is settled
    if not settled:
        (flag,) = found.flags()
        assert flag.code == "indeterminate"
        assert "80 % set of the overall profusion" in flag.message


@pytest.mark.parametrize(("low", "high", "indeterminate"), [(0, 2, False), (2, 3, True), (3, 6, False)])
def test_the_border_is_between_0_1_and_1_0(low, high, indeterminate):
    assert StepRange(low=low, high=high, level=0.8).is_indeterminate is indeterminate


def test_the_films_probabilities_keep_its_expected_step():
    reading = film_at(5.3)
    assert sum(reading.above) == pytest.approx(reading.expected_step)
    zones = [reading.zones[0], *film_at(0.0, spread=0.1).zones[1:]]
    mixed = read_film(zones)
    assert sum(mixed.above) == pytest.approx(mixed.expected_step), "over the same zones as the mean"


def test_an_empty_set_stands_for_the_most_probable_step():
    lac = ConformalSet(target="film", method=SetMethod.LAC, level=0.8, quantile=0.0, n=100)
    found = profusion_sets(film_at(5.0), Reliability(conformal=(lac,)))
    assert found.film is not None
    assert (found.film.low, found.film.high) == (5, 5)
