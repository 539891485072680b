# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.pipelines.mammography.scores import breast_scores, exam_score, noisy_or, sigmoid

scores = st.floats(0, 1)


@pytest.mark.parametrize(("views", "expected"), [([], 0.0), ([0.3], 0.3), ([0.5, 0.5], 0.75), ([1.0, 0.2], 1.0)])
def test_noisy_or(views, expected):
    assert noisy_or(views) == pytest.approx(expected)


@given(st.lists(scores, min_size=1, max_size=6))
def test_noisy_or_is_at_least_the_highest_score(views):
    assert max(views) - 1e-12 <= noisy_or(views) <= 1


def test_a_repeated_view_counts_once_and_breasts_stay_apart():
    views = [("L", "CC", 0.5), ("L", "CC", 0.2), ("L", "MLO", 0.5), ("R", "CC", 0.1)]
    breasts = breast_scores(views)
    assert breasts == {"R": pytest.approx(0.1), "L": pytest.approx(0.75)}
    assert exam_score(breasts) == pytest.approx(0.75)


@pytest.mark.parametrize(("logit", "expected"), [(0.0, 0.5), (1000.0, 1.0), (-1000.0, 0.0)])
def test_sigmoid_stays_finite(logit, expected):
    assert sigmoid(logit) == pytest.approx(expected, abs=1e-9)
