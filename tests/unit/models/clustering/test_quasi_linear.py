# SPDX-License-Identifier: Apache-2.0
"""The estimator is scikit-learn's k-means and Gaussian mixture, and scikit-fuzzy's c-means, where it should be."""

import math
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the optional extra `train`")

from scipy.optimize import linear_sum_assignment, minimize_scalar
from scipy.special import softmax
from skfuzzy.cluster import cmeans
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris, make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.mixture import GaussianMixture

from models.clustering.mixture import COVARIANCE_TYPES
from models.clustering.quasi_linear import QuasiLinearClustering
from models.clustering.start import begin, draw_centres

K = 3


def _samples(seed: int = 0, *, count: int = 240, dimensions: int = 3) -> Any:
    samples, _ = make_blobs(
        count, dimensions, centers=K, cluster_std=(0.6, 1.1, 1.7), center_box=(-4, 4), random_state=seed
    )
    return samples


def _fitted(samples: Any, centres: Any, *, steps: int = 500, **parameters: Any) -> Any:
    model = QuasiLinearClustering(len(centres), init=centres, max_iter=steps, **({"tol": 0.0} | parameters))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(samples)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("beta", "tau"), [(0.0, math.inf), (1e-4, 1e8)])
def test_is_k_means(seed: int, beta: float, tau: float) -> None:
    samples = _samples(seed)
    centres = draw_centres(samples, K, seed=seed)
    peer = KMeans(K, init=centres, n_init=1, algorithm="lloyd", tol=0, max_iter=500).fit(samples)
    model = _fitted(samples, centres, beta=beta, tau=tau)
    np.testing.assert_allclose(model.cluster_centers_, peer.cluster_centers_, atol=1e-6)
    np.testing.assert_array_equal(model.labels_, peer.labels_)
    if math.isinf(tau):
        assert model.energy_ == pytest.approx(peer.inertia_, rel=1e-10)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("exponent", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("tau", [math.inf, 1e10])
def test_is_fuzzy_c_means(seed: int, exponent: float, tau: float) -> None:
    samples = _samples(seed)
    centres = draw_centres(samples, K, seed=seed) + 0.01
    model = _fitted(samples, centres, beta=exponent - 1, tau=tau, tol=1e-14, steps=5000)
    squares = ((samples[None] - centres[:, None]) ** 2).sum(axis=2)
    start = softmax(-np.log(squares) / (exponent - 1), axis=0)
    found, shares, *_ = cmeans(samples.T, K, exponent, error=1e-12, maxiter=20_000, init=start)
    np.testing.assert_allclose(model.cluster_centers_, found, atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(samples), shares.T, atol=1e-6)


@pytest.mark.parametrize("covariance", ["spherical", "diag", "full"])
@pytest.mark.parametrize("beta", [0.0, 1e-9])
@pytest.mark.parametrize("steps", [1, 4, 60])
def test_is_a_gaussian_mixture_step_by_step(covariance: Any, beta: float, steps: int) -> None:
    samples = _samples(4)
    centres = draw_centres(samples, K, seed=4)
    model = _fitted(samples, centres, steps=steps, beta=beta, covariance_type=covariance, mixing="estimated")
    peer = _gaussian_mixture(samples, centres, covariance, steps)
    np.testing.assert_allclose(model.cluster_centers_, peer.means_, atol=1e-6)
    np.testing.assert_allclose(model.covariances_, peer.covariances_, atol=1e-6)
    np.testing.assert_allclose(model.weights_, peer.weights_, atol=1e-6)
    np.testing.assert_allclose(model.predict_proba(samples), peer.predict_proba(samples), atol=1e-6)
    constant = samples.shape[1] / 2 * math.log(2 * math.pi)
    np.testing.assert_allclose(model.score_samples(samples), peer.score_samples(samples) + constant, atol=1e-5)


def _gaussian_mixture(samples: Any, centres: Any, covariance: Any, steps: int) -> Any:
    start = begin(samples, centres, covariance=covariance, floor=1e-9)
    precisions = {"spherical": 1 / start.spectrum[:, 0], "diag": 1 / start.spectrum}
    if covariance == "full":
        precisions["full"] = np.einsum("kij,kj,klj->kil", start.basis, 1 / start.spectrum, start.basis)
    peer = GaussianMixture(
        K,
        covariance_type=covariance,
        means_init=centres,
        weights_init=np.full(K, 1 / K),
        precisions_init=precisions[covariance],
        reg_covar=0,
        tol=0,
        max_iter=steps,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return peer.fit(samples)


def test_is_maximum_entropy_clustering() -> None:
    samples, tau = _samples(2), 0.4
    model = _fitted(samples, draw_centres(samples, K, seed=2), beta=0.0, tau=tau)
    squares = ((samples[:, None] - model.cluster_centers_) ** 2).sum(axis=2)
    shares = softmax(-tau * squares, axis=1)
    np.testing.assert_allclose(model.predict_proba(samples), shares, atol=1e-12)
    np.testing.assert_allclose(model.cluster_centers_, shares.T @ samples / shares.sum(axis=0)[:, None], atol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.2, 1.0, 4.0])
@pytest.mark.parametrize("covariance", ["spherical", "diag", "full"])
def test_one_cluster_is_mean_and_covariance_of_the_data_for_every_beta(beta: float, covariance: Any) -> None:
    samples = _samples(1)
    model = QuasiLinearClustering(1, beta=beta, covariance_type=covariance, random_state=0).fit(samples)
    expected: Any = np.cov(samples.T, bias=True)[None]
    if covariance == "diag":
        expected = samples.var(axis=0)[None]
    if covariance == "spherical":
        expected = [samples.var(axis=0).mean()]
    np.testing.assert_allclose(model.cluster_centers_[0], samples.mean(axis=0), atol=1e-10)
    np.testing.assert_allclose(model.covariances_, expected, rtol=1e-9)


def _centre_error(model: Any, truth: Any) -> float:
    apart = np.sqrt(((model.cluster_centers_[:, None] - truth) ** 2).sum(axis=2))
    return float(apart[linear_sum_assignment(apart)].mean())


def test_outliers_move_centres_less_the_larger_beta_is() -> None:
    """10 % of samples anywhere in a wide box: the error of the centres falls with beta (docs/clustering.md)."""
    truth = np.array([[-5.0, 0.0], [5.0, 0.0], [0.0, 8.0]])
    errors: dict[float, list[float]] = {beta: [] for beta in (0.0, 0.5, 1.0, 2.0)}
    for seed in range(6):
        rng = np.random.default_rng(seed)
        inliers = truth[rng.integers(3, size=270)] + rng.normal(size=(270, 2))
        samples = np.concatenate([inliers, rng.uniform(-30, 30, size=(30, 2))])
        for beta, found in errors.items():
            model = QuasiLinearClustering(3, beta=beta, tau=0.5, n_init=3, random_state=seed).fit(samples)
            found.append(_centre_error(model, truth))
    means = [float(np.mean(found)) for found in errors.values()]
    assert means[0] > means[1] > means[2] > means[3]
    assert means[3] < 0.35 * means[0]


def test_same_seed_same_result_and_other_starts_never_worsen_it() -> None:
    samples = _samples(7)
    first, second = (QuasiLinearClustering(5, random_state=3, n_init=4).fit(samples) for _ in range(2))
    np.testing.assert_array_equal(first.cluster_centers_, second.cluster_centers_)
    single = QuasiLinearClustering(5, random_state=3, n_init=1).fit(samples)
    assert first.energy_ <= single.energy_


def test_an_empty_hard_cluster_moves_to_the_farthest_sample() -> None:
    samples = np.array([[0.0], [1.0], [10.0], [11.0], [30.0]])
    centres = np.array([[0.5], [10.5], [100.0]])
    model = _fitted(samples, centres, beta=0.0, tau=math.inf)
    assert sorted(model.cluster_centers_[:, 0]) == [0.5, 10.5, 30.0]
    assert list(np.diff(model.energies_) <= 0) == [True] * model.n_iter_


def test_an_empty_hard_cluster_does_not_take_the_only_sample_of_another() -> None:
    samples = np.array([[0.0], [1.0], [50.0]])
    model = _fitted(samples, np.array([[0.4], [40.0], [200.0]]), beta=0.0, tau=math.inf)
    assert sorted(model.cluster_centers_[:, 0]) == [0.0, 1.0, 50.0]


@pytest.mark.parametrize("beta", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_variances_beside_the_floor_are_those_that_minimise_the_energy(beta: float, covariance: Any) -> None:
    """Two of three variances lie on the floor; the third is then larger than its scatter, as a search finds it."""
    samples = np.random.default_rng(0).normal(size=(50, 3)) * [3.0, 0.1, 0.02]
    model = QuasiLinearClustering(1, beta=beta, covariance_type=covariance, covariance_floor=0.3, random_state=0)
    model.fit(samples)
    found = model.covariances_[0] if covariance == "diag" else np.linalg.eigvalsh(model.covariances_[0])[::-1]
    centred = samples - samples.mean(axis=0)
    scatter = centred.T @ centred / len(samples)
    parts = np.diag(scatter) if covariance == "diag" else np.linalg.eigvalsh(scatter)[::-1]
    floor, power = 0.3 * samples.var(axis=0).mean(), beta / (2 + 3 * beta)

    def cost(log_variance: float) -> float:
        variances = np.array([math.exp(log_variance), floor, floor])
        return float(variances.prod() ** power * (1 + beta / 2 * (parts / variances).sum()))

    best = math.exp(minimize_scalar(cost, bounds=(0, 6), method="bounded", options={"xatol": 1e-10}).x)
    np.testing.assert_allclose(found, [best, floor, floor], rtol=1e-5)
    assert best > 1.02 * parts[0]


def test_soft_clusters_that_run_empty_are_an_error_that_says_what_to_do() -> None:
    samples = np.array([[0.0], [0.1], [10.0], [10.1]])
    with pytest.raises(ValueError, match=r"no start of 1 kept its 3 clusters \(cluster 2 has lost.*ask for fewer"):
        _fitted(samples, np.array([[0.0], [10.0], [500.0]]), beta=0.0, tau=1.0, mixing="estimated")


@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
@pytest.mark.parametrize("beta", [0.0, 0.7])
def test_degenerate_data_stay_finite(covariance: str, beta: float) -> None:
    flat = np.column_stack([np.repeat([0.0, 5.0], 6), np.ones(12)])
    model = QuasiLinearClustering(2, covariance_type=covariance, beta=beta, random_state=0, n_init=2).fit(flat)
    assert np.isfinite(model.energy_)
    assert len(set(model.labels_)) == 2
    same = QuasiLinearClustering(2, covariance_type=covariance, beta=beta, random_state=0).fit(np.ones((9, 2)))
    np.testing.assert_allclose(same.cluster_centers_, 1.0)


def test_a_full_covariance_of_fewer_samples_than_dimensions_lies_on_the_floor() -> None:
    samples = np.random.default_rng(0).normal(size=(6, 9))
    model = QuasiLinearClustering(2, covariance_type="full", beta=0.2, covariance_floor=1e-3, random_state=0).fit(
        samples
    )
    smallest = np.linalg.eigvalsh(model.covariances_).min()
    assert smallest == pytest.approx(1e-3 * samples.var(axis=0).mean(), rel=1e-6)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_clusters": 0}, "n_clusters=0: it must be at least 1"),
        ({"beta": -0.1}, r"beta=-0.1: it must be in \[0, inf\)"),
        ({"beta": math.inf}, "beta=inf"),
        ({"tau": 0.0}, r"tau=0.0: it must be 'scale' or in \(0, inf\]"),
        ({"tau": "wide"}, "tau='wide'"),
        ({"covariance_type": "tied"}, "covariance_type='tied': it must be one of fixed, spherical, diag, full"),
        ({"mixing": "learnt"}, "mixing='learnt'"),
        ({"n_init": 0}, "n_init=0"),
        ({"max_iter": 0}, "max_iter=0"),
        ({"tol": -1.0}, "tol=-1.0"),
        ({"covariance_floor": 0.0}, "covariance_floor=0.0"),
        ({"n_clusters": 11}, "n_samples=10 should be >= n_clusters=11"),
        ({"covariance_type": "diag", "tau": 2.0}, "tau=2.0: estimated covariances take its place"),
        ({"beta": 0.0, "tau": math.inf, "mixing": "estimated"}, "mixing='estimated': proportions have no effect"),
        ({"init": "random"}, "init='random'"),
        ({"init": np.zeros((2, 3))}, r"init: centres \(2, 3\); they must be finite and \(2, 2\)"),
    ],
)
def test_wrong_parameters_are_refused_by_name(parameters: dict[str, Any], message: str) -> None:
    samples = np.arange(20.0).reshape(10, 2)
    with pytest.raises(ValueError, match=message):
        QuasiLinearClustering(**({"n_clusters": 2} | parameters)).fit(samples)


def test_says_when_it_has_not_converged_and_when_it_was_not_fitted() -> None:
    with pytest.warns(ConvergenceWarning, match="still falls after max_iter=1 steps"):
        QuasiLinearClustering(3, max_iter=1, n_init=1, tol=0, random_state=0).fit(_samples())
    with pytest.raises(NotFittedError):
        QuasiLinearClustering(3).predict(_samples())


def test_iris_is_found_as_well_as_by_a_gaussian_mixture() -> None:
    samples, truth = load_iris(return_X_y=True)
    model = QuasiLinearClustering(3, covariance_type="full", mixing="estimated", beta=0.1, random_state=0).fit(samples)
    table = np.zeros((3, 3))
    np.add.at(table, (truth, model.labels_), 1)
    right = table[linear_sum_assignment(-table)].sum()
    assert right >= 140
