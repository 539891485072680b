# SPDX-License-Identifier: Apache-2.0
"""Masks grown and shrunk by shifts are those of scipy, to the pixel."""

import numpy as np
import pytest
from scipy import ndimage

from service.imaging.morphology import dilated, eroded, opened, within


def blots(seed: int) -> np.ndarray:
    """A mask of any shape, down to one row: specks, blots, next to nothing, or nearly all."""
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 60, 2))
    picture = ndimage.gaussian_filter(generator.random(shape), generator.choice([0, 1, 3]))
    return picture > generator.choice([0.3, 0.45, 0.5, 0.55, 0.9])


@pytest.mark.parametrize("seed", range(40))
def test_shifts_answer_as_scipy_does(seed: int) -> None:
    mask, times = blots(seed), 1 + seed % 4
    assert np.array_equal(dilated(mask, iterations=times), ndimage.binary_dilation(mask, iterations=times))
    assert np.array_equal(eroded(mask, iterations=times), ndimage.binary_erosion(mask, iterations=times))
    assert np.array_equal(opened(mask, iterations=times), ndimage.binary_opening(mask, iterations=times))


@pytest.mark.parametrize("distance", [0.0, 0.5, 1.0, 2.0, 2.3, 5.0, 7.08, 10.2, 70.0, 129.0])
def test_what_lies_near_is_what_a_distance_transform_says(distance: float) -> None:
    for seed in range(40):
        mask = blots(seed)
        near = within(mask, distance)
        expected = ndimage.distance_transform_edt(~mask) <= distance if mask.any() else np.zeros_like(mask)
        assert np.array_equal(near, expected), (seed, distance)


def test_nothing_given_is_changed() -> None:
    mask = blots(3)
    before = mask.copy()
    for answer in (dilated(mask), eroded(mask), opened(mask), within(mask, 3)):
        assert not np.shares_memory(answer, mask)
    assert np.array_equal(mask, before)
