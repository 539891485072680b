# SPDX-License-Identifier: Apache-2.0
"""ILO arithmetic: the 12-point scale, the overall profusion, shapes and categories."""

import numpy as np
import pytest

from service.pipelines.pneumoconiosis.reading import (
    PROFUSION,
    ZoneReading,
    nearest_step,
    read_film,
    read_zone,
)

ZONES = ("RU", "RM", "RL", "LU", "LM", "LL")


def zone(
    name: str, step: float, *, score: float = 0.5, shapes: tuple[float, ...] = (0, 0.9, 0, 0, 0, 0)
) -> ZoneReading:
    return ZoneReading(name=name, expected_step=step, score=score, shape_scores=shapes, area_cm2=80.0)


def film(*steps: float, **more):
    return read_film([zone(name, step, **more) for name, step in zip(ZONES, steps, strict=True)])


def test_the_expected_step_is_the_sum_of_the_probabilities_of_lying_above_each_step():
    sure = np.where(np.arange(11) < 4, 30, -30).astype(np.float32)
    reading = read_zone("RU", sure, np.zeros(6, np.float32), area_cm2=1.0)
    assert reading.expected_step == pytest.approx(4.0)
    assert reading.profusion == "1/1"
    assert reading.score == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("expected", "written"), [(0.0, "0/-"), (1.49, "0/0"), (2.5, "1/0"), (10.6, "3/+"), (99, "3/+")]
)
def test_the_nearest_of_twelve_steps(expected, written):
    assert PROFUSION[nearest_step(expected)] == written


def test_overall_profusion_is_the_mean_over_affected_zones():
    reading = film(5, 5, 1, 7, 1, 0)
    assert reading.expected_step == pytest.approx(17 / 3)
    assert reading.profusion == "2/1"


def test_without_an_affected_zone_the_mean_is_over_all():
    reading = film(0, 1, 1, 0, 1, 0)
    assert (reading.profusion, reading.abnormal, reading.category) == ("0/0", False, 0)


@pytest.mark.parametrize(
    ("step", "category", "abnormal"), [(2, 0, False), (3, 1, True), (5, 1, True), (6, 2, True), (9, 3, True)]
)
def test_categories(step, category, abnormal):
    reading = film(*[step] * 6)
    assert (reading.category, reading.abnormal) == (category, abnormal)


def test_the_score_is_the_mean_of_the_two_highest_zones():
    zones = [zone(name, 1, score=score) for name, score in zip(ZONES, (0.1, 0.9, 0.2, 0.7, 0.3, 0.0), strict=True)]
    assert read_film(zones).score == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("shapes", "written"),
    [
        ((0.1, 0.9, 0.2, 0, 0, 0), ("q", "q")),
        ((0.1, 0.9, 0.6, 0, 0, 0), ("q", "r")),
        ((0, 0, 0, 0.9, 0.5, 0), ("s", "t")),
    ],
)
def test_the_second_shape_repeats_the_first_unless_it_has_half_of_it(shapes, written):
    reading = film(*[6] * 6, shapes=shapes)
    assert (reading.primary, reading.secondary) == written


def test_one_sided_disease_is_not_bilateral():
    assert not film(6, 6, 6, 0, 0, 0).bilateral
    assert not film(6, 0, 0, 2, 0, 0).bilateral
    assert film(6, 0, 0, 3, 0, 0).bilateral
