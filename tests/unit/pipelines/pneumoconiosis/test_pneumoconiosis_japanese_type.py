# SPDX-License-Identifier: Apache-2.0
"""The candidate type: every step of the scale, one lung and both, with and without large opacities."""

import pytest

from service.pipelines.pneumoconiosis.japanese_type import TYPE_OF_PROFUSION, JapaneseType, type_candidate
from service.pipelines.pneumoconiosis.large_opacities import LargeCategory
from service.pipelines.pneumoconiosis.reading import PROFUSION, FilmReading, ZoneReading, read_film

ZONES = ("RU", "RM", "RL", "LU", "LM", "LL")


def film(*steps: float) -> FilmReading:
    return read_film(
        [
            ZoneReading(name=name, expected_step=step, score=0.5, shape_scores=(0, 1, 0, 0, 0, 0), area_cm2=80.0)
            for name, step in zip(ZONES, steps, strict=True)
        ]
    )


@pytest.mark.parametrize(
    ("profusion", "type_"),
    [
        ("0/-", "PR0"),
        ("0/0", "PR0"),
        ("0/1", "PR0"),
        ("1/0", "PR1"),
        ("1/1", "PR1"),
        ("1/2", "PR1"),
        ("2/1", "PR2"),
        ("2/2", "PR2"),
        ("2/3", "PR2"),
        ("3/2", "PR3"),
        ("3/3", "PR3"),
        ("3/+", "PR3"),
    ],
)
def test_each_step_of_the_scale_has_its_type(profusion, type_):
    candidate = type_candidate(film(*[PROFUSION.index(profusion)] * 6), LargeCategory.NONE)
    assert candidate.type == type_
    assert candidate.why == f"profusion {profusion}"


def test_the_table_has_every_step_once():
    assert tuple(TYPE_OF_PROFUSION) == PROFUSION


@pytest.mark.parametrize("steps", [(9, 9, 9, 0, 0, 0), (0, 1, 0, 9, 9, 9), (5, 5, 5, 2, 0, 0)])
def test_types_one_to_three_take_both_lungs(steps):
    candidate = type_candidate(film(*steps), LargeCategory.NONE)
    assert candidate.type is None
    assert "both lungs" in candidate.why
    mirrored = type_candidate(film(*map(max, zip(steps, steps[3:] + steps[:3], strict=True))), LargeCategory.NONE)
    assert mirrored.type is not None


def test_a_film_without_disease_takes_none_of_either():
    assert type_candidate(film(2, 0, 0, 0, 0, 0), LargeCategory.NONE).type is JapaneseType.PR0


@pytest.mark.parametrize("category", [LargeCategory.A, LargeCategory.B, LargeCategory.C])
@pytest.mark.parametrize("steps", [(0,) * 6, (9, 0, 0, 0, 0, 0), (11,) * 6])
def test_a_large_opacity_is_type_four_whatever_else(category, steps):
    candidate = type_candidate(film(*steps), category)
    assert candidate.type is JapaneseType.PR4
    assert category.value in candidate.why


@pytest.mark.parametrize("steps", [(0,) * 6, (6,) * 6, (9, 9, 9, 0, 0, 0)])
def test_unread_large_opacities_leave_type_four_open(steps):
    candidate = type_candidate(film(*steps), None)
    assert candidate.type is not JapaneseType.PR4
    assert candidate.why.endswith("large opacities were not read, so that type 4 is not excluded")
