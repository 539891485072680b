# SPDX-License-Identifier: Apache-2.0
"""Curves equal scikit-learn's and an independent optimiser's, and bring made-up scores back to their probabilities."""

import numpy as np
import pytest

sklearn_calibration = pytest.importorskip("sklearn.calibration", reason="needs the optional extra `train`")

from scipy.optimize import minimize  # noqa: E402
from scipy.special import expit, log_softmax, logit  # noqa: E402
from sklearn.base import BaseEstimator, ClassifierMixin  # noqa: E402
from sklearn.frozen import FrozenEstimator  # noqa: E402
from sklearn.isotonic import IsotonicRegression  # noqa: E402

from models.calibration.scores import calibrate_scores, class_temperature, score_temperature  # noqa: E402
from service.domain.reliability import CalibrationMethod, shift_prior  # noqa: E402


def _scores(count=4000, *, slope=0.5, intercept=-0.7, seed=0):
    """Scores of a model that is too sure of itself, and truth drawn from the probabilities that they stand for."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2.5, count)
    return expit(logits), rng.random(count) < expit(slope * logits + intercept)


class Given(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose decision is the number that it is given."""

    classes_ = (False, True)

    def __init__(self):
        self.classes_ = np.array([False, True])

    def fit(self, _x, _y):
        return self

    def predict(self, x):
        return x[:, 0] > 0

    def decision_function(self, x):
        return x[:, 0]


def test_class_temperature_equals_another_optimisers_and_finds_the_one_that_was_applied():
    rng = np.random.default_rng(1)
    true_logits = rng.normal(0, 2, (3000, 5))
    truth = np.array([rng.choice(5, p=np.exp(row)) for row in log_softmax(true_logits, axis=1)])
    logits = 2.5 * true_logits

    def loss(log_t):
        return -log_softmax(logits / np.exp(log_t[0]), axis=1)[np.arange(3000), truth].mean()

    found = class_temperature(logits.astype(np.float32), truth)
    assert found == pytest.approx(
        np.exp(minimize(loss, [0.0], method="Nelder-Mead", options={"xatol": 1e-9}).x[0]), rel=1e-5
    )
    assert found == pytest.approx(2.5, rel=0.05)


def test_score_temperature_is_class_temperature_of_two_classes():
    scores, truth = _scores(intercept=0.0)
    two = np.column_stack([np.zeros(len(scores)), logit(scores)])
    assert score_temperature(scores, truth) == pytest.approx(class_temperature(two, truth.astype(int)), rel=1e-5)
    assert score_temperature(scores, truth) == pytest.approx(2.0, rel=0.1)


def test_logits_that_separate_everything_have_no_temperature():
    with pytest.raises(ValueError, match="hold out more cases"):
        class_temperature(np.array([[9.0, 0], [0, 9]]), np.array([0, 1]))


def test_platt_equals_scikit_learns():
    scores, truth = _scores(300)
    reference = sklearn_calibration.CalibratedClassifierCV(FrozenEstimator(Given()), method="sigmoid")
    reference.fit(logit(scores)[:, None], truth)
    ours = calibrate_scores(scores, truth, target="film")
    assert ours.method is CalibrationMethod.PLATT
    points = np.linspace(0.001, 0.999, 50)
    expected = reference.predict_proba(logit(points)[:, None])[:, 1]
    assert [ours.apply(float(point)) for point in points] == pytest.approx(expected, abs=1e-4)


def test_isotonic_is_chosen_from_200_positives_on_and_equals_scikit_learns():
    scores, truth = _scores()
    assert truth.sum() >= 200
    ours = calibrate_scores(scores, truth, target="film")
    assert ours.method is CalibrationMethod.ISOTONIC
    reference = IsotonicRegression(out_of_bounds="clip", y_min=0, y_max=1).fit(scores, truth)
    points = np.linspace(0, 1, 101)
    assert [ours.apply(float(point)) for point in points] == pytest.approx(reference.predict(points), abs=1e-4)


@pytest.mark.parametrize(("positives", "method"), [(199, CalibrationMethod.PLATT), (200, CalibrationMethod.ISOTONIC)])
def test_the_number_of_positives_decides(positives, method):
    scores, truth = _scores()
    keep = np.concatenate([np.flatnonzero(truth)[:positives], np.flatnonzero(~truth)[:300]])
    fitted = calibrate_scores(scores[keep], truth[keep], target="film")
    assert (fitted.method, fitted.positives, fitted.n) == (method, positives, positives + 300)
    assert fitted.prevalence == pytest.approx(positives / (positives + 300), abs=1e-6)


@pytest.mark.parametrize("method", list(CalibrationMethod))
def test_calibrated_scores_are_the_probabilities_that_truth_was_drawn_from(method):
    intercept = 0.0 if method is CalibrationMethod.TEMPERATURE else -0.7
    scores, truth = _scores(20_000, intercept=intercept)
    fitted = calibrate_scores(scores, truth, target="film", method=method)
    points = np.linspace(0.05, 0.95, 19)
    found = np.array([fitted.apply(float(point)) for point in points])
    assert np.abs(found - expit(0.5 * logit(points) + intercept)).mean() < 0.02


def test_prior_shift_is_bayes_theorem():
    """Sick cases have score a with probability 0.6, healthy ones 0.2; only the prevalence differs between places."""

    def posterior(prevalence):
        return prevalence * 0.6 / (prevalence * 0.6 + (1 - prevalence) * 0.2)

    for before, after in ((0.5, 0.02), (0.1, 0.3), (0.2, 0.2)):
        assert shift_prior(posterior(before), before=before, after=after) == pytest.approx(posterior(after))
    assert shift_prior(0.0, before=0.5, after=0.1) == 0
    assert shift_prior(1.0, before=0.5, after=0.1) == 1


def test_both_numbers_are_kept():
    scores, truth = _scores(600)
    fitted = calibrate_scores(scores, truth, target="film", site_prevalence=0.01)
    probability = fitted.apply(0.9)
    assert fitted.at_site(probability) == pytest.approx(shift_prior(probability, before=fitted.prevalence, after=0.01))
    assert fitted.at_site(probability) < probability
    assert calibrate_scores(scores, truth, target="film").at_site(0.5) is None


def test_cases_of_one_kind_and_scores_that_fall_are_refused():
    with pytest.raises(ValueError, match="hold out cases of both kinds"):
        calibrate_scores(np.array([0.1, 0.2]), np.array([False, False]), target="film")
    scores, truth = _scores(300)
    with pytest.raises(ValueError, match="scores fall with the disease"):
        calibrate_scores(1 - scores, truth, target="film")
