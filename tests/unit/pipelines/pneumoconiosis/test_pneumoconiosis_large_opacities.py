# SPDX-License-Identifier: Apache-2.0
"""The two rules for large opacities at every one of their boundaries."""

import pytest

from service.pipelines.pneumoconiosis.large_opacities import (
    FieldAreas,
    LargeCategory,
    LargeOpacity,
    ilo_category,
    japanese_category,
    large_only,
)

NONE, A, B, C = LargeCategory
AREAS = FieldAreas(right_upper_zone_cm2=60.0, right_lung_cm2=240.0, left_lung_cm2=210.0)
"""A third of the smaller lung field is 70 cm2: between the two limits the rules part."""


def opacities(*longest_mm: float, area_cm2: float = 1.0) -> list[LargeOpacity]:
    each = area_cm2 / max(1, len(longest_mm))
    return [LargeOpacity(side="R", longest_mm=length, area_cm2=each) for length in longest_mm]


@pytest.mark.parametrize("rule", [ilo_category, japanese_category])
@pytest.mark.parametrize(
    ("longest_mm", "category"),
    [
        ((), NONE),
        ((10.0,), NONE),
        ((9.9, 9.9, 9.9, 9.9, 9.9, 9.9), NONE),
        ((10.1,), A),
        ((50.0,), A),
        ((50.1,), B),
        ((25.0, 25.0), A),
        ((25.0, 25.1), B),
        ((45.0, 10.0), A),
        ((45.0, 10.1), B),
    ],
)
def test_diameters_are_summed_over_what_is_large(rule, longest_mm, category):
    assert rule(opacities(*longest_mm), AREAS) is category


@pytest.mark.parametrize(
    ("area_cm2", "ilo", "japanese"),
    [(59.9, B, B), (60.0, B, B), (60.1, C, B), (70.0, C, B), (70.1, C, C)],
)
def test_areas_are_held_against_the_right_upper_zone_and_a_third_of_a_lung(area_cm2, ilo, japanese):
    for found in (opacities(90.0, area_cm2=area_cm2), opacities(40.0, 30.0, 20.0, area_cm2=area_cm2)):
        assert ilo_category(found, AREAS) is ilo
        assert japanese_category(found, AREAS) is japanese


def test_the_smaller_lung_counts_on_either_side():
    found = opacities(90.0, area_cm2=75.0)
    for right, left in ((240.0, 210.0), (210.0, 240.0)):
        areas = FieldAreas(right_upper_zone_cm2=100.0, right_lung_cm2=right, left_lung_cm2=left)
        assert ilo_category(found, areas) is B
        assert japanese_category(found, areas) is C


def test_what_is_small_adds_neither_length_nor_area():
    small = [LargeOpacity(side="L", longest_mm=10.0, area_cm2=100.0)]
    assert large_only(small) == ()
    assert ilo_category([*opacities(30.0), *small], AREAS) is A
    assert japanese_category([*opacities(30.0), *small], AREAS) is A
