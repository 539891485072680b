# SPDX-License-Identifier: Apache-2.0
"""Curves do what they say; what cannot be a curve, a set or a limit cannot be made."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.reliability import (
    CalibrationMethod,
    ConformalSet,
    Limit,
    Reliability,
    ScoreCalibration,
    SetMethod,
    conformal_rank,
    logit,
    shift_prior,
    sigmoid,
)

scores = st.floats(0, 1)
shares = st.floats(0.001, 0.999)


def curve(method: CalibrationMethod, **parameters: float | tuple[float, ...]) -> ScoreCalibration:
    return ScoreCalibration(
        target="film", method=method, parameters=parameters, n=1000, positives=400, prevalence=0.4, site_prevalence=0.1
    )


CURVES = (
    curve(CalibrationMethod.TEMPERATURE, temperature=2.5),
    curve(CalibrationMethod.PLATT, slope=0.7, intercept=-1.3),
    curve(CalibrationMethod.ISOTONIC, scores=(0.2, 0.4, 0.8), probabilities=(0.1, 0.1, 0.9)),
)


@given(scores, scores, st.sampled_from(CURVES))
def test_a_higher_score_never_means_less(one: float, other: float, calibration: ScoreCalibration) -> None:
    low, high = (calibration.apply(score) for score in sorted((one, other)))
    assert 0 <= low <= high <= 1


def test_values_of_each_curve() -> None:
    temperature, platt, isotonic = CURVES
    assert temperature.apply(0.5) == 0.5
    assert temperature.apply(0.9) == pytest.approx(1 / (1 + (1 / 9) ** 0.4))
    assert platt.apply(0.5) == pytest.approx(1 / (1 + math.exp(1.3)))
    assert [isotonic.apply(score) for score in (0.0, 0.3, 0.6, 1.0)] == pytest.approx([0.1, 0.1, 0.5, 0.9])


@given(st.floats(0.001, 0.999))
def test_a_temperature_of_one_and_platts_identity_change_nothing(score: float) -> None:
    assert curve(CalibrationMethod.TEMPERATURE, temperature=1.0).apply(score) == pytest.approx(score)
    assert curve(CalibrationMethod.PLATT, slope=1.0, intercept=0.0).apply(score) == pytest.approx(score)
    assert sigmoid(logit(score)) == pytest.approx(score)


@given(shares, shares, shares)
def test_a_prior_shift_can_be_undone_and_keeps_the_order(probability: float, before: float, after: float) -> None:
    there = shift_prior(probability, before=before, after=after)
    assert shift_prior(there, before=after, after=before) == pytest.approx(probability)
    assert (there > probability) == (after > before) or there == pytest.approx(probability)


def test_the_site_gets_its_own_number() -> None:
    platt = CURVES[1]
    assert platt.at_site(0.4) == pytest.approx(0.1), "at the calibration's own prevalence the odds are the prior's"


@pytest.mark.parametrize(
    ("n", "level", "rank"), [(9, 0.9, 9), (99, 0.9, 90), (100, 0.9, 91), (4, 0.8, 4), (3, 0.8, 4), (99, 0.55, 55)]
)
def test_the_rank_assures_the_level(n: int, level: float, rank: int) -> None:
    assert conformal_rank(n, level) == rank


def test_what_is_not_declared_is_not_there() -> None:
    sets = ConformalSet(target="zone", method=SetMethod.LAC, level=0.8, quantile=0.5, n=4)
    found = Reliability(calibration=CURVES[:1], conformal=(sets,))
    assert (found.calibration_of("film"), found.sets_of("zone")) == (CURVES[0], sets)
    assert (found.calibration_of("zone"), found.sets_of("film")) == (None, None)


def test_a_limit_is_the_quantile_of_enough_cases() -> None:
    Limit(graph="zones", output="distance_deep", threshold=1.0, quantile=0.99, n=100)
    with pytest.raises(ValueError, match="n 99 is too few"):
        Limit(graph="zones", output="distance_deep", threshold=1.0, quantile=0.99, n=99)
    with pytest.raises(ValueError, match="threshold is nan"):
        Limit(graph="zones", output="distance_deep", threshold=math.nan, quantile=0.99, n=100)
