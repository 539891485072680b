# SPDX-License-Identifier: Apache-2.0
"""Predictive values against a direct count of people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.screening import Performance, predictive_values

people = st.integers(0, 500)


def performance(sensitivity: float, specificity: float) -> Performance:
    return Performance(sensitivity=sensitivity, specificity=specificity, measured_on="a test")


@given(found=people, missed=people, false=people, clear=people)
def test_they_are_the_shares_that_a_count_gives(found: int, missed: int, false: int, clear: int) -> None:
    ill, well = found + missed, false + clear
    if not ill or not well:
        return
    got = predictive_values(performance(found / ill, clear / well), prevalence=ill / (ill + well))
    assert got.positive == (pytest.approx(found / (found + false), abs=1e-9) if found + false else None)
    assert got.negative == (pytest.approx(clear / (clear + missed), abs=1e-9) if clear + missed else None)


def test_the_worked_example_of_screening_at_two_percent() -> None:
    got = predictive_values(performance(0.95, 0.90), prevalence=0.02)
    assert got.positive == pytest.approx(0.1624, abs=5e-5)
    assert got.negative == pytest.approx(0.99887, abs=5e-6)


def test_nobody_on_a_side_has_no_share() -> None:
    assert predictive_values(performance(0.0, 1.0), prevalence=0.1).positive is None
    assert predictive_values(performance(1.0, 0.0), prevalence=0.1).negative is None


@pytest.mark.parametrize(
    ("sensitivity", "specificity", "prevalence", "name"),
    [(1.2, 0.5, 0.1, "sensitivity"), (0.5, -0.1, 0.1, "specificity"), (0.5, 0.5, 2.0, "prevalence")],
)
def test_what_is_no_share_is_refused_by_name(
    sensitivity: float, specificity: float, prevalence: float, name: str
) -> None:
    with pytest.raises(ValueError, match=name):
        predictive_values(performance(sensitivity, specificity), prevalence=prevalence)
