# SPDX-License-Identifier: Apache-2.0
"""The selection layer is scikit-learn's L1 logistic regression, finds what was planted, and is the same each time."""

import warnings
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from sklearn.linear_model import LogisticRegression  # noqa: E402
from sklearn.metrics import roc_auc_score  # noqa: E402

from models.fusion.evaluation import auc, clustered_auc  # noqa: E402
from models.fusion.path import Stability, choose_penalty, follow, penalties, stability  # noqa: E402
from models.fusion.selection import Data, SelectionNetwork, fit, largest_penalty  # noqa: E402
from models.fusion.table import Table  # noqa: E402

ROWS, INPUTS = 160, 12
PLANTED = (0, 1, 2)


def _drawn(seed: int, *, rows: int = ROWS, inputs: int = INPUTS) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, inputs))
    logit = x[:, :3] @ np.array([1.8, -1.4, 1.0]) - 0.4
    y = (rng.uniform(size=rows) < 1 / (1 + np.exp(-logit))).astype(np.int64)
    return (x - x.mean(axis=0)) / x.std(axis=0), y


def _fitted(x: Any, y: Any, penalty: float, **parameters: Any) -> Any:
    return fit(SelectionNetwork(x.shape[1], **parameters), Data.of(x, y), penalty=penalty)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_equals_scikit_learns_l1_logistic_regression(seed: int, share: float) -> None:
    x, y = _drawn(seed)
    penalty = share * largest_penalty(Data.of(x, y))
    peer = LogisticRegression(l1_ratio=1, C=1 / (len(y) * penalty), solver="saga", tol=1e-10, max_iter=100_000)
    peer.fit(x, y)
    network = _fitted(x, y, penalty)
    np.testing.assert_allclose(network.weight.detach().numpy(), peer.coef_[0], atol=2e-5)
    assert float(network.bias.detach()) == pytest.approx(peer.intercept_[0], abs=2e-5)
    assert ((network.importance.numpy() > 0) == (np.abs(peer.coef_[0]) > 1e-9)).all()


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.floats(0.02, 1.2))
def test_the_optimum_satisfies_its_conditions(seed: int, share: float) -> None:
    """|gradient| is the penalty where a weight is not 0, against its sign, and at most the penalty elsewhere."""
    x, y = _drawn(seed, rows=60, inputs=5)
    penalty = share * largest_penalty(Data.of(x, y))
    network = _fitted(x, y, penalty)
    with torch.no_grad():
        residual = network(torch.from_numpy(x)).sigmoid().numpy() - y
        weight = network.weight.numpy()
    gradient = x.T @ residual / len(y)
    assert abs(residual.mean()) < 1e-5
    assert (np.abs(gradient) <= penalty + 1e-5).all()
    np.testing.assert_allclose(gradient[weight != 0], -penalty * np.sign(weight[weight != 0]), atol=1e-5)
    if share >= 1:
        assert not weight.any()


def test_the_path_starts_with_nothing_and_selects_what_was_planted_first() -> None:
    x, y = _drawn(5, rows=400)
    data = Data.of(x, y)
    path = penalties(data)
    networks = follow(data, path, hidden=0, seed=0)
    counts = [int((network.importance > 0).sum()) for network in networks]
    assert counts[0] == 0
    assert counts[-1] > 3
    third = next(network for network, count in zip(networks, counts, strict=True) if count >= 3)
    assert set(np.argsort(-third.importance.numpy())[:3].tolist()) == set(PLANTED)
    alone = fit(SelectionNetwork(INPUTS), data, penalty=float(path[5]))
    np.testing.assert_allclose(networks[5].weight.detach(), alone.weight.detach(), atol=1e-4)


def test_a_hidden_layer_finds_what_no_sum_can() -> None:
    """The target is the sign of a product: no input matters alone."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5))
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    network = _fitted(x, y, 0.003, hidden=8, seed=1)
    with torch.no_grad():
        found = roc_auc_score(y, network(torch.from_numpy(x)).numpy())
        linear = roc_auc_score(y, _fitted(x, y, 0.01)(torch.from_numpy(x)).numpy())
    assert found > 0.9
    assert linear < 0.65
    assert set(np.argsort(-network.importance.numpy())[:2].tolist()) == {0, 1}
    assert network.importance[2:].max() < 0.3 * network.importance[:2].min()


def test_a_hidden_layers_weights_carry_the_scale_alone() -> None:
    network = SelectionNetwork(4, hidden=3, seed=0)
    x = torch.randn(6, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = network(x)
    with torch.no_grad():
        network.directions.mul_(torch.tensor([2.0, 0.1, 30.0, 1.0]))
    torch.testing.assert_close(network(x), before)


def _table(x: Any, y: Any, *, per_patient: int = 2) -> Table:
    names = np.array([f"P{index // per_patient:03d}" for index in range(len(y))])
    numbers = {f"x{index}": x[:, index] for index in range(x.shape[1])}
    return Table(numbers=numbers, words={}, target=y, patients=names, studies=names)


def _silent(_: str) -> None:
    """Progress that nobody watches."""


def test_the_penalty_is_the_largest_within_one_standard_error() -> None:
    x, y = _drawn(2, rows=300)
    choice = choose_penalty(_table(x, y), hidden=0, seed=0, progress=_silent)
    best = int(choice.mean.argmin())
    assert 0 < choice.chosen <= best
    assert choice.mean[choice.chosen] <= choice.mean[best] + choice.error[best]
    assert choice.mean[choice.chosen - 1] > choice.mean[best] + choice.error[best]
    again = choose_penalty(_table(x, y), hidden=0, seed=0, progress=_silent)
    np.testing.assert_array_equal(again.mean, choice.mean)


def test_stability_selects_what_was_planted_and_little_else() -> None:
    x, y = _drawn(7, rows=300)
    data = Data.of(x, y)
    patients = np.array([f"P{index // 2}" for index in range(300)])
    path = largest_penalty(data) * np.array([1.0, 0.6, 0.4])
    found = stability(data, patients, path, hidden=0, seed=0, progress=_silent, samples=20)
    assert set(np.flatnonzero(found.stable).tolist()) >= set(PLANTED[:2])
    assert not found.stable[3:].any()
    assert ((found.frequency > 0) & (found.frequency < 1)).any()  # the halves differ
    assert found.mean_selected == pytest.approx(found.frequency.sum())
    again = stability(data, patients, path, hidden=0, seed=0, progress=_silent, samples=20)
    np.testing.assert_array_equal(found.frequency, again.frequency)


def test_the_bound_on_false_selections() -> None:
    assert Stability(frequency=np.zeros(40), mean_selected=4.0).false_bound == pytest.approx(16 / (0.5 * 40))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 1000), st.integers(2, 40))
def test_the_area_is_scikit_learns(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.permutation(np.arange(rows) % 2)
    scores = rng.integers(0, 6, size=rows).astype(float)
    assert auc(target, scores) == pytest.approx(roc_auc_score(target, scores))


def test_the_interval_counts_patients_not_rows() -> None:
    """Ten copies of each patient's row tell nothing new: the interval stays, where rows as units would shrink it."""
    rng = np.random.default_rng(0)
    target = np.arange(60) % 2
    scores = target + rng.normal(scale=1.2, size=60)
    names = np.array([f"P{index}" for index in range(60)])
    once = clustered_auc(target, scores, names, seed=0, resamples=400)
    copied = clustered_auc(np.repeat(target, 10), np.repeat(scores, 10), np.repeat(names, 10), seed=0, resamples=400)
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.15)
    assert (copied.patients, copied.rows) == (60, 600)
    as_units = clustered_auc(
        np.repeat(target, 10), np.repeat(scores, 10), np.arange(600).astype(str), seed=0, resamples=400
    )
    assert as_units.high - as_units.low < 0.5 * (once.high - once.low)
    assert once.low < once.value < once.high


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    """Two normals a distance of 1 apart: the area is 0.760."""
    hits = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        target = np.arange(80) % 2
        found = clustered_auc(target, target + rng.normal(size=80), np.arange(80).astype(str), seed=seed, resamples=200)
        hits += found.low <= 0.7602 <= found.high
    assert 34 <= hits <= 40


def test_scikit_learn_warns_of_nothing_here() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x, y = _drawn(0)
        _fitted(x, y, 0.05)
