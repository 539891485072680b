# SPDX-License-Identifier: Apache-2.0
"""Sets equal MAPIE's, hold what they promise on exchangeable cases, and lose it where cases have changed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax
from scipy.stats import binom

pytest.importorskip("sklearn", reason="needs the optional extra `train`")

from sklearn.base import BaseEstimator, ClassifierMixin

from models.calibration.conformal import calibrate_sets, coverage
from service.domain.reliability import SetMethod, conformal_rank
from service.pipelines.conformal import conformity_scores, prediction_sets, step_probabilities


class Given(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose probabilities are the numbers that it is given."""

    def fit(self, _x, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, x):
        return x

    def predict(self, x):
        return x.argmax(axis=1)


def _cases(count, *, classes=6, seed=0, sureness=1.0):
    """Probabilities, and truth drawn from them; with a sureness above 1 the probabilities claim too much."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (count, classes))
    truth = np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)
    return softmax(sureness * logits, axis=1), truth


def _scale(count, *, seed=0, noise=1.0):
    """A 12-point scale read by eleven estimates of lying above a step, as the zone reader gives them."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(-1, 12, count)
    truth = np.clip(np.rint(place + noise * rng.logistic(0, 0.8, count)), 0, 11).astype(int)
    above = expit((place[:, None] - np.arange(11) - 0.5) / 0.8)
    return step_probabilities(above), truth


@pytest.mark.parametrize("level", [0.8, 0.9])
@pytest.mark.parametrize("method", [SetMethod.LAC, SetMethod.APS])
def test_sets_equal_mapies(method, level):
    mapie = pytest.importorskip("mapie.classification", reason="needs the optional extra `test`")
    probabilities, truth = _cases(1500)
    model = mapie.SplitConformalClassifier(
        Given().fit(None, truth),
        confidence_level=level,
        conformity_score=method.value,
        prefit=True,
        random_state=7,
    )
    model.conformalize(probabilities[:500], truth[:500])
    last = {"include_last_label": True} if method is SetMethod.APS else {}
    _, expected = model.predict_set(probabilities[500:], conformity_score_params=last)
    shares = np.random.RandomState(7).uniform(size=500)  # MAPIE's own numbers
    scores = conformity_scores(probabilities[:500], truth[:500], shares, method=method)
    quantile = float(np.sort(scores)[conformal_rank(500, level) - 1])
    ours = prediction_sets(probabilities[500:], method=method, quantile=quantile)
    assert np.array_equal(ours, expected[:, :, 0])


@pytest.mark.parametrize("level", [0.8, 0.9])
@pytest.mark.parametrize("method", [SetMethod.LAC, SetMethod.ORDINAL])
@pytest.mark.parametrize("sureness", [1.0, 3.0])
def test_coverage_is_nominal_within_binomial_error_whatever_the_probabilities_claim(method, level, sureness):
    """Over 60 calibrations of 400 cases each: the mean coverage of a split is between level and level + 1 / (n + 1)."""
    held = total = 0
    for seed in range(60):
        cases = _cases if method is SetMethod.LAC else _scale
        options = {"sureness": sureness} if method is SetMethod.LAC else {"noise": sureness}
        probabilities, truth = cases(800, seed=seed, **options)
        sets = calibrate_sets(probabilities[:400], truth[:400], target="zone", method=method, level=level)
        found = coverage(sets, probabilities[400:], truth[400:])
        held, total = held + round(found.share * found.cases), total + found.cases
    # Cases of one split share its quantile: their spread is that of the quantile and of the cases together.
    spread = np.sqrt(level * (1 - level) * (1 / 400 + 1 / 400) / 60)
    assert abs(held / total - level) < 3.5 * spread + 1 / 401
    assert binom.cdf(held, total, level + 0.05) < 1e-6, "and not above either"


def test_adaptive_sets_hold_at_least_what_they_promise():
    for level in (0.8, 0.9):
        probabilities, truth = _cases(4000, seed=3)
        sets = calibrate_sets(probabilities[:2000], truth[:2000], target="pattern", method=SetMethod.APS, level=level)
        assert coverage(sets, probabilities[2000:], truth[2000:]).share > level


def test_coverage_is_lost_under_shift():
    """What a card must say: the promise is for cases like those of calibration, and no other."""
    probabilities, truth = _scale(1000, seed=1)
    sets = calibrate_sets(probabilities, truth, target="zone", method=SetMethod.ORDINAL, level=0.9)
    same, shifted = coverage(sets, *_scale(2000, seed=2)), coverage(sets, *_scale(2000, seed=2, noise=3.0))
    assert same.low < 0.9 < same.high + 0.02
    assert shifted.high < 0.8


@given(st.lists(st.floats(0.001, 1), min_size=2, max_size=12), st.floats(0, 1))
def test_ordinal_sets_have_no_gap_and_hold_the_most_probable_step(weights, quantile):
    probabilities = np.array([weights]) / sum(weights)
    (members,) = prediction_sets(probabilities, method=SetMethod.ORDINAL, quantile=quantile)
    assert members[np.argmax(probabilities)]
    places = np.flatnonzero(members)
    assert places[-1] - places[0] + 1 == len(places)


@given(st.lists(st.floats(0, 1), min_size=11, max_size=11))
def test_steps_are_probabilities_and_keep_the_expected_step_of_falling_estimates(above):
    (steps,) = step_probabilities(np.array([above]))
    assert steps.min() >= 0
    assert steps.sum() == pytest.approx(1)
    falling = np.sort(above)[::-1]
    (ordered,) = step_probabilities(falling[None])
    assert ordered @ np.arange(12) == pytest.approx(falling.sum())


@pytest.mark.parametrize("method", list(SetMethod))
def test_a_higher_quantile_never_takes_an_answer_away(method):
    probabilities, _ = _cases(200)
    small, large = (prediction_sets(probabilities, method=method, quantile=q) for q in (0.6, 0.8))
    assert np.all(large >= small)
    assert large.sum() > small.sum()


def test_too_few_cases_are_refused():
    probabilities, truth = _cases(8)
    with pytest.raises(ValueError, match="hold out 9 cases"):
        calibrate_sets(probabilities, truth, target="zone", method=SetMethod.LAC, level=0.9)
    calibrate_sets(*_cases(9), target="zone", method=SetMethod.LAC, level=0.9)


def test_the_same_seed_gives_the_same_quantile():
    first, second, other = (
        calibrate_sets(*_cases(100), target="pattern", method=SetMethod.APS, level=0.8, seed=seed).quantile
        for seed in (1, 1, 2)
    )
    assert first == second != other
