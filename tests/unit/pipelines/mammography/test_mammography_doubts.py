# SPDX-License-Identifier: Apache-2.0
"""What a package declares of distances and calibration, through the mammography pipeline."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from mammography_instances import BrightestSpot, from_file

from models.phantoms.dicom import PhantomStudy
from models.phantoms.mammogram.breast import random_breast
from models.phantoms.mammogram.files import StoredAs, write_mg_view
from models.phantoms.mammogram.view import draw_view
from service.domain.reliability import (
    CalibrationMethod,
    ConformalSet,
    Limit,
    Reliability,
    ScoreCalibration,
    SetMethod,
)
from service.domain.result import Outcome, PackageStatus, Presence
from service.domain.study import Selection
from service.pipelines.mammography import MammographyPipeline
from service.results.words.wording import JAPANESE

PIPELINE = MammographyPipeline()


class Declaring(BrightestSpot):
    """The rule, with outputs of its own for each view in turn."""

    def __init__(self, reliability=BrightestSpot.reliability, *, status=PackageStatus.DEMONSTRATION, **extra):
        self.reliability, self._extra = reliability, extra
        self._masks: list[float] = []
        self.identity = replace(BrightestSpot.identity, status=status)

    def run(self, graph, inputs):
        mask = float(inputs["image"][0, 1].sum())  # stays the same while a view is read and explained
        if mask not in self._masks:
            self._masks.append(mask)
        number = self._masks.index(mask)
        extra = {name: np.array([values[number]], np.float32) for name, values in self._extra.items()}
        return super().run(graph, inputs) | extra


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    folder, breast, study = tmp_path_factory.mktemp("exam"), random_breast("L", 5), PhantomStudy(seed="doubts")
    for name in ("CC", "MLO"):
        picture = draw_view(breast, name, pitch_mm=0.4)
        path = folder / f"{name}.dcm"
        write_mg_view(path, picture, breast=breast, view=name, study=study, stored=StoredAs())
    return tuple(from_file(path) for path in sorted(folder.iterdir()))


def run(views, package):
    return PIPELINE.run(Selection(instances=views), package, analysed_at=datetime(2026, 4, 1, tzinfo=UTC))


LIMITS = tuple(
    Limit(graph="detector", output=name, threshold=10.0, quantile=0.99, n=480)
    for name in ("distance_shallow", "distance_deep")
)
GATE = Reliability(out_of_distribution=LIMITS)


def test_one_strange_view_is_refused_and_the_other_is_read(views):
    package = Declaring(GATE, distance_shallow=[11.0, 9.0], distance_deep=[1.0] * 2)
    result = run(views, package)
    assert result.outcome is Outcome.PARTLY_ANALYSED
    (reason,) = result.refusals
    assert reason.code == "out_of_distribution"
    assert "detector distance_shallow 11 is above 10" in reason.message
    assert len(result.values["views"]) == 1
    assert {view["detector_distance_shallow"] for view in result.values["views"]} == {9.0}


def test_an_exam_of_strange_views_is_not_analysed(views):
    result = run(views, Declaring(GATE, distance_shallow=[1.0] * 2, distance_deep=[99.0] * 2))
    assert result.outcome is Outcome.NOT_ANALYSED
    assert [reason.code for reason in result.refusals] == ["out_of_distribution"] * 2
    assert result.triage is None


def test_disagreement_is_a_flag_and_no_refusal(views):
    limit = Limit(graph="detector", output="divergence", threshold=0.1, quantile=0.99, n=480)
    result = run(views, Declaring(Reliability(disagreement=(limit,)), divergence=[0.0, 0.3]))
    assert result.outcome is Outcome.FINDINGS
    assert [flag.code for flag in result.flags] == ["indeterminate"]
    assert result.refusals == ()


def calibration(target):
    return ScoreCalibration(
        target=target,
        method=CalibrationMethod.PLATT,
        parameters={"slope": 1.0, "intercept": -2.0},
        n=1000,
        positives=500,
        prevalence=0.5,
    )


CALIBRATED = Reliability(calibration=(calibration("mark"), calibration("exam")))


def test_marks_state_calibrated_scores_and_thresholds_stay(views):
    plain, result = run(views, Declaring()), run(views, Declaring(CALIBRATED, status=PackageStatus.RESEARCH))
    odds = 9 * np.exp(-2.0)
    marks = [finding for finding in result.findings if finding.presence is Presence.PRESENT]
    assert len(marks) == 2
    for mark in marks:
        assert mark.score == pytest.approx(odds / (1 + odds), abs=1e-6)
        assert mark.calibrated
    assert [mark.label for mark in marks] == [mark.label for mark in plain.findings]
    assert result.triage == plain.triage
    exam = plain.values["exam"] / (1 - plain.values["exam"]) * np.exp(-2.0)
    assert result.values["exam_calibrated"] == pytest.approx(exam / (1 + exam), abs=1e-4)
    assert result.summary[-1].startswith("Calibrated: ")


def test_a_demonstration_states_no_probability(views):
    plain, result = run(views, Declaring()), run(views, Declaring(CALIBRATED))
    assert (result.findings, result.summary, result.headline) == (plain.findings, plain.summary, plain.headline)
    assert set(result.values) - set(plain.values) == {"exam_calibrated"}


@pytest.mark.parametrize(
    ("quantile", "answers", "said"),
    [
        (0.3, ["lesion"], "Exam, 90 % set: lesion"),
        (0.99, ["no lesion", "lesion"], "Exam, 90 % set: no lesion or lesion"),
        (0.001, [], "Exam, 90 % set: neither answer"),
    ],
)
def test_the_set_of_an_exam_is_told_and_an_unsettled_one_flagged(views, quantile, answers, said):
    declared = ConformalSet(target="exam", method=SetMethod.LAC, level=0.9, quantile=quantile, n=40)
    result = run(views, Declaring(Reliability(conformal=(declared,))))
    assert result.values["exam_set"] == answers
    assert result.summary[-1] == said
    assert JAPANESE.line(said) != said
    flags = [flag for flag in result.flags if flag.code == "indeterminate"]
    assert bool(flags) == (len(answers) != 1)
    assert result.outcome is Outcome.FINDINGS, "a flag makes no exam partly analysed"


def test_without_sets_nothing_is_said_of_them(views):
    result = run(views, Declaring())
    assert "exam_set" not in result.values
    assert not any("set:" in line for line in result.summary)
