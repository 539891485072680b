# SPDX-License-Identifier: Apache-2.0
"""Phantom chest films: seeded, anatomical, and diseased as told."""

import numpy as np
import pytest

from models.phantoms.chest_radiograph.film import Scanner, anatomy, radiograph, stored
from models.phantoms.chest_radiograph.opacities import NORMAL, SHAPES, ZONES, Disease
from models.phantoms.chest_radiograph.texture import impulses, power_law_noise, sphere_kernel

SHAPE = (280, 254)
QUIET = Scanner(photons_per_mm2=1e10)


def body(seed: int = 5):
    return anatomy(seed, shape=SHAPE, pitch_mm=1.5)


def test_the_same_number_gives_the_same_film_and_another_a_different_one():
    first, again, other = (radiograph(body(seed), seed=1).pixels for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_lungs_lie_side_by_side_dark_and_the_heart_between_and_to_the_left():
    for seed in range(8):
        anatomical = body(seed)
        right, left, heart = anatomical.masks
        pixels = radiograph(anatomical, seed=seed).pixels
        area_cm2 = anatomical.pitch_mm**2 / 100
        assert 80 < right.sum() * area_cm2 < 400
        assert 60 < left.sum() * area_cm2 < 400
        assert not (right & left).any()
        assert np.median(pixels[right | left]) + 0.15 < np.median(pixels[heart])
        columns = [np.nonzero(mask)[1].mean() for mask in (right, heart, left)]
        assert columns == sorted(columns)


def test_zones_cut_each_lung_into_thirds_of_its_height():
    anatomical = body()
    for lung, first in ((anatomical.masks[0], 1), (anatomical.masks[1], 4)):
        heights = [np.flatnonzero((anatomical.zones == first + third).any(axis=1)).size for third in range(3)]
        assert max(heights) - min(heights) <= 1
        assert sum(heights) == np.flatnonzero(lung.any(axis=1)).size


@pytest.mark.parametrize("shape", SHAPES)
def test_opacities_brighten_their_zone_alone(shape):
    anatomical = anatomy(5, shape=(560, 508), pitch_mm=0.75)
    disease = Disease(levels={"RM": 10}, primary=shape, secondary=shape)
    with_disease = radiograph(anatomical, disease=disease, scanner=QUIET, seed=9, marker=False).pixels
    without = radiograph(anatomical, disease=NORMAL, scanner=QUIET, seed=9, marker=False).pixels
    change = np.abs(with_disease - without)
    zones = [change[anatomical.zones == ZONES.index(zone) + 1].mean() for zone in ("RM", "LL")]
    assert zones[0] > 2 * zones[1]


def test_stored_values_fill_the_bits():
    values = stored(radiograph(body(), seed=1), bits=12)
    assert values.dtype == np.uint16
    assert values.max() <= 4095


def test_noise_has_the_spectrum_that_is_asked_for():
    field = power_law_noise((256, 256), beta=3.0, rng=np.random.default_rng(0))
    power = np.abs(np.fft.rfft2(field)) ** 2
    radius = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256)[None, :])
    bands = [power[(radius > low) & (radius < 1.3 * low)].mean() for low in (0.02, 0.2)]
    assert np.log10(bands[0] / bands[1]) == pytest.approx(3.0, abs=0.35)


def test_impulses_keep_their_sum_and_a_sphere_its_volume():
    image = impulses((8, 8), columns=np.array([2.3, 20.0]), rows=np.array([4.7, 1.0]), weights=np.array([3.0, 9.0]))
    assert image.sum() == pytest.approx(3.0)
    assert sphere_kernel(4.0).sum() == pytest.approx(4 / 3 * np.pi * 4.0**3, rel=0.02)
