# SPDX-License-Identifier: Apache-2.0
"""What holds of quasi-linear clustering whatever the samples: the energy never rises, and the reason why."""

import math
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the optional extra `train`")

from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

from models.clustering.generator import Generator
from models.clustering.mixture import COVARIANCE_TYPES, Clusters, membership
from models.clustering.quasi_linear import QuasiLinearClustering
from models.clustering.start import begin
from models.clustering.updates import EmptyClusterError, Rule, majorant, step

BETAS = st.sampled_from([0.0, 1e-8, 0.05, 0.3, 1.0, 3.0])
FEW = settings(max_examples=80, deadline=None, derandomize=True)


@st.composite
def _problems(draw: Any) -> tuple[Any, Clusters, Rule]:
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    count, dimensions, clusters = draw(st.integers(6, 40)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    samples = rng.normal(size=(count, dimensions)) * rng.choice([0.3, 1, 10], size=(count, 1))
    covariance: Any = draw(st.sampled_from(COVARIANCE_TYPES))
    tau = draw(st.sampled_from([0.1, 1.0, 50.0, math.inf])) if covariance == "fixed" else 1.0
    beta = draw(BETAS)
    mixing: Any = draw(st.sampled_from(["uniform", "estimated"]))
    if beta == 0 and math.isinf(tau):
        mixing = "uniform"
    floor = draw(st.sampled_from([1e-6, 0.2, 3.0]))
    rule = Rule(generator=Generator(beta=beta, tau=tau), covariance=covariance, mixing=mixing, floor=floor)
    centres = samples[rng.choice(count, size=clusters, replace=False)]
    return samples, begin(samples, centres, covariance=covariance, floor=floor), rule


def _slack(*values: float) -> float:
    """What rounding may add: a billionth of the largest."""
    return 1e-9 * max(1.0, *map(abs, values))


@FEW
@given(_problems())
def test_no_step_raises_the_energy(problem: tuple[Any, Clusters, Rule]) -> None:
    samples, clusters, rule = problem
    member = membership(samples, clusters, rule.generator)
    for _ in range(12):
        before = member.total
        try:
            clusters = step(samples, clusters, member, rule)
        except EmptyClusterError:
            return
        member = membership(samples, clusters, rule.generator)
        assert member.total <= before + _slack(before, member.total)
        np.testing.assert_allclose(np.exp(member.log_shares).sum(axis=1), 1)
        assert np.exp(clusters.log_proportions).sum() == pytest.approx(1)
        assert not clusters.estimated or clusters.spectrum.min() >= rule.floor


@FEW
@given(_problems(), st.integers(0, 1000))
def test_a_step_is_the_minimum_of_a_function_above_the_energy(problem: tuple[Any, Clusters, Rule], seed: int) -> None:
    samples, clusters, rule = problem
    if rule.generator.hard:
        return
    member = membership(samples, clusters, rule.generator)
    assert majorant(samples, clusters, member, rule.generator) == pytest.approx(member.total, rel=1e-9, abs=1e-9)
    try:
        best = step(samples, clusters, member, rule)
    except EmptyClusterError:
        return
    least = majorant(samples, best, member, rule.generator)
    rng = np.random.default_rng(seed)
    for size in (1e-3, 0.03, 0.5):
        other = _near(best, rule, rng, size)
        bound = majorant(samples, other, member, rule.generator)
        assert bound >= least - _slack(least, bound)
        energy = membership(samples, other, rule.generator).total
        assert bound >= energy - _slack(energy, bound)


def _near(clusters: Clusters, rule: Rule, rng: Any, size: float) -> Clusters:
    """Move everything that is estimated, within what is allowed."""
    count, dimensions = clusters.centres.shape
    noise = rng.normal(size=(count, 1 if rule.covariance == "spherical" else dimensions))
    spectrum = np.maximum(clusters.spectrum * np.exp(size * noise), rule.floor)
    logs = clusters.log_proportions + size * rng.normal(size=count)
    basis = None if clusters.basis is None else _turned(clusters.basis, rng, size)
    return Clusters(
        centres=clusters.centres + size * rng.normal(size=clusters.centres.shape),
        spectrum=spectrum if clusters.estimated else clusters.spectrum,
        basis=basis,
        log_proportions=logs - np.logaddexp.reduce(logs) if rule.mixing == "estimated" else clusters.log_proportions,
        estimated=clusters.estimated,
    )


def _turned(basis: Any, rng: Any, size: float) -> Any:
    return np.stack([np.linalg.qr(each + size * rng.normal(size=each.shape))[0] for each in basis])


def _fit(samples: Any, **parameters: Any) -> Any:
    model = QuasiLinearClustering(**({"max_iter": 15, "tol": 0.0} | parameters))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(samples)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), BETAS)
def test_full_covariances_do_not_depend_on_the_units(seed: int, beta: float) -> None:
    rng = np.random.default_rng(seed)
    samples = np.concatenate([rng.normal(size=(25, 2)) - 3, rng.normal(size=(25, 2)) + 3])
    units, shift = rng.normal(size=(2, 2)) + 2 * np.eye(2), rng.normal(size=2)
    centres = samples[[0, 30]]
    common: Any = {"n_clusters": 2, "covariance_type": "full", "mixing": "estimated", "beta": beta}
    common |= {"covariance_floor": 1e-12}
    first = _fit(samples, init=centres, **common)
    second = _fit(samples @ units + shift, init=centres @ units + shift, **common)
    if not np.array_equal(_start_labels(samples, centres), _start_labels(samples @ units, centres @ units)):
        return  # the start looks for the nearest centre, in the units given
    np.testing.assert_allclose(first.cluster_centers_ @ units + shift, second.cluster_centers_, atol=1e-6)
    np.testing.assert_allclose(first.predict_proba(samples), second.predict_proba(samples @ units + shift), atol=1e-6)


def _start_labels(samples: Any, centres: Any) -> Any:
    return ((samples[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), BETAS, st.sampled_from(COVARIANCE_TYPES))
def test_the_order_of_samples_and_centres_changes_nothing(seed: int, beta: float, covariance: str) -> None:
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=(30, 2)) + rng.choice([-4, 4], size=(30, 1))
    order, centres = rng.permutation(30), samples[rng.choice(30, size=3, replace=False)]
    first = _fit(samples, n_clusters=3, init=centres, beta=beta, covariance_type=covariance)
    second = _fit(samples[order], n_clusters=3, init=centres[::-1], beta=beta, covariance_type=covariance)
    np.testing.assert_allclose(first.cluster_centers_, second.cluster_centers_[::-1], atol=1e-6)
    assert first.energy_ == pytest.approx(second.energy_, rel=1e-8, abs=1e-8)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=5), BETAS, st.sampled_from([0.01, 1.0, 100.0]))
def test_the_mean_of_distances_lies_between_them_and_near_the_smallest(
    distances: list[float], beta: float, tau: float
) -> None:
    generator, values = Generator(beta=beta, tau=tau), np.array(distances)
    log_mean = np.logaddexp.reduce(generator.log_phi(values)) - math.log(len(values))
    mean = float(generator.energy(log_mean))
    assert min(distances) - _slack(*distances) <= mean <= float(np.mean(values)) + _slack(*distances) * 10
