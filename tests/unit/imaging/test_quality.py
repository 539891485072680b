# SPDX-License-Identifier: Apache-2.0
"""Technical quality: each number answers to what it is meant for, and to nothing that leaves it alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from service.imaging.quality import coarsened, measure_quality

SIZE = 240


def picture(*, noise: float = 0.01, smooth: float = 0.0, gain: float = 1.0, seed: int = 1) -> np.ndarray:
    """A bright disc with large structures, on a black background."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    body = np.hypot(rows - SIZE / 2, columns - SIZE / 2) < 0.45 * SIZE
    anatomy = 0.4 + 0.2 * np.sin(rows / 25) * np.cos(columns / 25)
    grain = gaussian_filter(rng.standard_normal(body.shape), smooth) if smooth else rng.standard_normal(body.shape)
    return np.asarray(body * gain * (anatomy + noise * grain / grain.std()), dtype=np.float32)


def test_noise_is_that_of_the_picture() -> None:
    for noise in (0.005, 0.02):
        assert measure_quality(picture(noise=noise), floor=0.05)["noise"] == pytest.approx(noise, rel=0.15)


def test_level_and_contrast_follow_the_gain() -> None:
    plain, bright = (measure_quality(picture(gain=gain), floor=0.05) for gain in (1.0, 1.5))
    for name in ("level", "contrast", "noise"):
        assert bright[name] == pytest.approx(1.5 * plain[name], rel=0.05)
    assert bright["fineness"] == pytest.approx(plain["fineness"], rel=0.05)


def test_smoothed_noise_is_less_fine() -> None:
    inside = slice(60, -60)  # the disc's edge is coarse
    plain, smooth = (picture(smooth=sigma)[inside, inside] for sigma in (0.0, 1.0))
    assert measure_quality(plain, floor=0.05)["fineness"] == pytest.approx(1, abs=0.15)
    assert measure_quality(smooth, floor=0.05)["fineness"] < 0.7


def test_background_does_not_count() -> None:
    small = picture()[30:-30, 30:-30]
    framed = np.pad(small, 90)
    framed[100:124, 5:29] = 0.95  # a lead letter in the air
    framed[104:120, 9:25] = 0.0
    one, other = measure_quality(small, floor=0.05), measure_quality(framed, floor=0.05)
    assert other["level"] == pytest.approx(one["level"], rel=0.1)
    assert other["noise"] == pytest.approx(one["noise"], rel=0.1)


@pytest.mark.parametrize("pixels", [np.zeros((300, 300)), np.ones((40, 300)), np.ones((10, 10)), np.zeros((0, 0))])
def test_where_there_is_too_little_nothing_is_measured(pixels: np.ndarray) -> None:
    assert measure_quality(pixels.astype(np.float32), floor=0.05) == {}


@given(st.integers(48, 90), st.integers(48, 90), st.floats(-1e6, 1e6, width=32))
@settings(max_examples=40, deadline=None)
def test_every_picture_gives_finite_numbers_or_none(rows: int, columns: int, value: float) -> None:
    measured = measure_quality(np.full((rows, columns), value, dtype=np.float32), floor=0.0)
    assert all(np.isfinite(number) for number in measured.values())
    assert set(measured) in (set(), {"level", "contrast", "noise", "fineness"})


def test_blocks_are_means() -> None:
    pixels = np.arange(35, dtype=np.float32).reshape(5, 7)
    assert coarsened(pixels, 1) is pixels
    assert coarsened(pixels, 2).tolist() == [[4, 6, 8], [18, 20, 22]]
