# SPDX-License-Identifier: Apache-2.0
"""Shapley values over regions are exact: they follow the axioms and equal the definition over all orders."""

from itertools import permutations
from math import factorial
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from service.imaging.shapley import in_mask_low_pass, region_shapley, shapley_values

REGIONS = 6


def _game(coalitions: Any) -> Any:
    """Players 0 and 1 only count together, player 2 saturates, player 5 adds nothing."""
    weights = np.array([1.0, 2.0, 3.0, -1.5, 0.25, 0.0])
    alone = coalitions @ weights
    return np.tanh(alone / 3) + 0.7 * coalitions[:, 0] * coalitions[:, 1] + 2.0


def _over_all_orders() -> Any:
    total = np.zeros(REGIONS)
    for order in permutations(range(REGIONS)):
        present = np.zeros((1, REGIONS), dtype=bool)
        for player in order:
            before = float(_game(present)[0])
            present[0, player] = True
            total[player] += float(_game(present)[0]) - before
    return total / factorial(REGIONS)


def test_equals_the_definition_over_all_720_orders() -> None:
    found = shapley_values(_game, REGIONS)
    np.testing.assert_allclose(found.values, _over_all_orders(), atol=1e-12)
    assert found.values.sum() == pytest.approx(found.full - found.baseline, abs=1e-12)
    assert found.values[5] == pytest.approx(0, abs=1e-12), "who adds nothing gets nothing"
    assert found.residual < 1e-12


@pytest.mark.parametrize("regions", [1, 2, 12])
def test_a_sum_is_taken_apart_into_its_terms(regions: int) -> None:
    weights = np.arange(1.0, regions + 1)
    asked: list[int] = []

    def score(coalitions: Any) -> Any:
        asked.append(len(coalitions))
        return coalitions @ weights + 5

    found = shapley_values(score, regions, batch=1000)
    np.testing.assert_allclose(found.values, weights, atol=1e-9)
    assert sum(asked) == 2**regions
    assert max(asked) <= 1000


def test_six_zones_cost_64_passes() -> None:
    asked: list[int] = []

    def score(coalitions: Any) -> Any:
        asked.append(len(coalitions))
        return _game(coalitions)

    shapley_values(score, REGIONS, batch=16)
    assert asked == [16, 16, 16, 16]


def test_refuses_what_is_not_exact() -> None:
    with pytest.raises(ValueError, match="13 regions: exact Shapley values are for 1 to 12; join some"):
        shapley_values(_game, 13)
    with pytest.raises(ValueError, match="0 regions"):
        shapley_values(_game, 0)
    with pytest.raises(ValueError, match="one that is not finite"):
        shapley_values(lambda coalitions: np.full(len(coalitions), np.nan), 2)
    with pytest.raises(ValueError, match=r"a score of shape \(1,\) for 4 coalitions"):
        shapley_values(lambda coalitions: np.zeros(len(coalitions) - 3), 2)


def _halves(height: int = 8, width: int = 8) -> Any:
    left = np.zeros((height, width), dtype=bool)
    left[:, : width // 2] = True
    return np.stack([left, ~left])


def test_regions_of_an_image_add_up_to_its_score() -> None:
    rng = np.random.default_rng(0)
    image, baseline = rng.random((2, 2, 8, 8), dtype=np.float32)
    weight = rng.normal(size=(2, 8, 8))

    def score(images: Any) -> Any:
        return np.tanh((images * weight).sum(axis=(1, 2, 3)))

    found = region_shapley(image, baseline, _halves(), score=score)
    assert found.full == pytest.approx(float(score(image[None])[0]))
    assert found.baseline == pytest.approx(float(score(baseline[None])[0]))
    assert found.residual < 1e-9


def test_what_no_region_covers_stays() -> None:
    image, baseline = np.ones((8, 8), dtype=np.float32), np.zeros((8, 8), dtype=np.float32)
    found = region_shapley(image, baseline, _halves()[:1], score=lambda images: images.sum(axis=(1, 2)))
    assert (found.full, found.baseline) == (64.0, 32.0)
    np.testing.assert_allclose(found.values, [32.0])


def test_a_score_that_is_no_function_is_told_by_the_residual() -> None:
    rng = np.random.default_rng(1)
    image, baseline = rng.random((2, 8, 8), dtype=np.float32)
    found = region_shapley(image, baseline, _halves(), score=lambda images: rng.normal(size=len(images)))
    assert found.residual > 0.01


def test_overlapping_or_misplaced_regions_are_refused() -> None:
    image = np.zeros((8, 8), dtype=np.float32)
    twice = np.concatenate([_halves(), _halves()[:1]])
    with pytest.raises(ValueError, match="regions overlap"):
        region_shapley(image, image, twice, score=lambda images: np.zeros(len(images)))
    with pytest.raises(ValueError, match="do not fit"):
        region_shapley(image, image, _halves(4, 4), score=lambda images: np.zeros(len(images)))


def test_low_pass_keeps_brightness_inside_and_everything_outside() -> None:
    rng = np.random.default_rng(2)
    mask = np.zeros((40, 40), dtype=bool)
    mask[8:32, 8:32] = True
    image = np.where(mask, 0.6 + 0.2 * rng.normal(size=(40, 40)), 5.0).astype(np.float32)
    smooth = in_mask_low_pass(image, mask, sigma_px=4)
    np.testing.assert_array_equal(smooth[~mask], image[~mask])
    assert smooth[mask].mean() == pytest.approx(image[mask].mean(), abs=0.03)
    assert smooth[mask].std() < 0.3 * image[mask].std()
    assert smooth[mask].max() < 1.0, "what is bright outside must not leak in"
    stack = in_mask_low_pass(np.stack([image, image]), mask, sigma_px=4)
    np.testing.assert_allclose(stack[1], smooth, atol=1e-6)


@pytest.mark.parametrize(("shape", "sigma"), [((64, 64), 3.0), ((37, 50), 20.0), ((2, 61, 40), 5.0), ((5, 3), 8.0)])
def test_low_pass_is_the_gaussian_of_scipy(shape: tuple[int, ...], sigma: float) -> None:
    image = np.random.default_rng(4).random(shape).astype(np.float32)
    mask = np.ones(shape[-2:], dtype=np.bool_)
    sigmas = (0.0,) * (len(shape) - 2) + (sigma, sigma)
    expected = ndimage.gaussian_filter(image.astype(np.float64), sigmas)
    np.testing.assert_allclose(in_mask_low_pass(image, mask, sigma_px=sigma), expected, atol=2e-7)
