# SPDX-License-Identifier: Apache-2.0
"""The error equals one made from scikit-learn's curve; debiased, it does not find error where there is none."""

import numpy as np
import pytest

sklearn_calibration = pytest.importorskip("sklearn.calibration", reason="needs the optional extra `train`")

from models.calibration.metrics import (  # noqa: E402
    draw_reliability,
    measure_classes,
    measure_scores,
    reliability_table,
)


def _drawn(count, *, bend=1.0, seed=0):
    rng = np.random.default_rng(seed)
    scores = rng.random(count)
    return scores, rng.random(count) < scores**bend


def test_error_equals_scikit_learns_curve():
    scores, truth = _drawn(2000, bend=2.0)
    share, mean = sklearn_calibration.calibration_curve(truth, scores, n_bins=15)
    cases = np.histogram(scores, bins=np.linspace(0, 1, 16))[0]
    assert measure_scores(scores, truth).ece == pytest.approx(float(cases @ np.abs(share - mean)) / 2000, abs=1e-9)


def test_table_holds_every_case_once_even_at_the_edges():
    scores = np.array([0.0, 0.2, 0.2, 1.0])
    table = reliability_table(scores, np.array([False, True, False, True]), bins=5)
    assert [row.cases for row in table] == [3, 0, 0, 0, 1]
    assert (table[0].mean_score, table[0].share) == (pytest.approx(0.4 / 3), pytest.approx(1 / 3))
    assert np.isnan(table[1].share)


def test_debiased_error_of_calibrated_scores_is_nearer_to_nothing():
    plain, debiased = zip(
        *((found.ece, found.ece_debiased) for found in (measure_scores(*_drawn(400, seed=s)) for s in range(40))),
        strict=True,
    )
    assert np.mean(plain) > 0.04
    # Chance enters a resampled table twice, which makes the square root of two: 2 - sqrt(2) of it stays.
    assert np.mean(debiased) == pytest.approx((2 - np.sqrt(2)) * np.mean(plain), rel=0.05)


def test_debiasing_leaves_an_error_that_is_there():
    scores, truth = _drawn(5000, bend=3.0)
    found = measure_scores(scores, truth)
    assert found.ece_debiased == pytest.approx(found.ece, rel=0.05)
    assert found.ece == pytest.approx(np.mean(scores - scores**3), abs=0.02)


def test_classes_are_measured_by_the_most_probable_one_and_brier_over_all():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    found = measure_classes(probabilities, np.array([0, 1, 0]))
    assert found.ece == pytest.approx((0.3 + 0.2 + 0.6) / 3)
    assert found.brier == pytest.approx((0.09 + 0.04 + 0.01 + 0.01 + 0.04 + 0.01 + 0.64 + 0.04 + 0.36) / 3)


def test_the_picture_repeats(tmp_path):
    tables = {"film": reliability_table(*_drawn(500))}
    for name in ("one.png", "two.png"):
        draw_reliability(tables, tmp_path / name)
    data = (tmp_path / "one.png").read_bytes()
    assert data.startswith(b"\x89PNG")
    assert data == (tmp_path / "two.png").read_bytes()
