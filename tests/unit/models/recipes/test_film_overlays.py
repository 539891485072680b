# SPDX-License-Identifier: Apache-2.0
"""Overlays add attenuation inside the lungs and nothing elsewhere, about as a new exposure would."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from models.phantoms.chest_radiograph.film import Scanner, anatomy, radiograph
from models.phantoms.chest_radiograph.opacities import Disease
from models.recipes.film_overlays import Overlaid, aerated_share, logit_per_mm, overlay, zone_numbers
from service.domain.image import IDENTITY, Affine
from service.pipelines.pneumoconiosis.lungs import ZONES, Film, Lungs

SHAPES = ("p", "q", "r", "s", "t", "u")


@pytest.fixture(scope="module")
def body():
    return anatomy(4321, shape=(420, 380), pitch_mm=1.0)


@pytest.fixture(scope="module")
def lungs(body):
    right, left, heart = body.masks
    return Lungs(right=right, left=left, heart=heart)


@pytest.fixture(scope="module")
def film(body):
    return Film(pixels=radiograph(body, scanner=Scanner(), seed=7).pixels, pixel_mm=1.0, to_source=IDENTITY)


def everywhere(level: int, shape: str = "q") -> Disease:
    return Disease(levels=dict.fromkeys(ZONES, level), primary=shape, secondary=shape)


def drawn(film: Film, lungs: Lungs, disease: Disease, *, seed: int = 1, strength: float = 1.0) -> Overlaid:
    return overlay(film, lungs, disease, rng=np.random.default_rng(seed), strength=strength)


def test_no_opacities_leave_every_pixel_as_it_was(film, lungs):
    result = drawn(film, lungs, Disease())
    np.testing.assert_array_equal(result.pixels, film.pixels)
    assert not result.opacity_mm.any()


@pytest.mark.parametrize("shape", SHAPES)
def test_opacities_brighten_inside_the_lungs_alone(shape, film, lungs):
    result = drawn(film, lungs, everywhere(9, shape))
    changed = result.pixels != film.pixels
    assert changed.any()
    assert not changed[~lungs.both].any()
    assert (result.pixels >= film.pixels).all()
    assert result.pixels.max() <= 1
    assert not changed[result.opacity_mm == 0].any()


def test_a_zone_without_disease_stays_clear(film, lungs):
    result = drawn(film, lungs, Disease(levels={"RU": 9}, primary="p", secondary="p"))
    zones = zone_numbers(lungs)
    assert result.opacity_mm[zones == 1].sum() > 0.9 * result.opacity_mm.sum()
    assert result.opacity_mm[zones >= 4].max() < 1e-3


@pytest.mark.parametrize("shape", SHAPES)
def test_more_profusion_is_more_opacity(shape, film, lungs):
    means = [drawn(film, lungs, everywhere(level, shape)).opacity_mm.mean() for level in (2, 6, 11)]
    assert means == sorted(means)
    assert means[-1] > 4 * means[0]


def test_one_seed_is_one_film_and_another_seed_another(film, lungs):
    first, again, other = (drawn(film, lungs, everywhere(6), seed=seed).pixels for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_strength_scales_the_contrast(film, lungs):
    weak, strong = (drawn(film, lungs, everywhere(6), strength=s).pixels - film.pixels for s in (0.5, 1.0))
    dim = film.pixels < 0.6
    assert weak[dim].sum() == pytest.approx(0.5 * strong[dim].sum(), rel=0.15)


def test_an_overlay_is_about_as_strong_as_the_same_disease_exposed():
    """Mean contrast per mm of tissue, over bodies: within a third of the exposure's own (most of it the tone curve)."""
    ratios = [_contrast_ratio(seed) for seed in range(4)]
    assert np.median(ratios) == pytest.approx(1.0, abs=0.33)


def _contrast_ratio(seed: int) -> float:
    body = anatomy(seed, shape=(420, 380), pitch_mm=1.0)
    right, left, heart = body.masks
    clear = radiograph(body, scanner=Scanner(), seed=seed)
    sick = radiograph(body, disease=everywhere(9, "r"), scanner=Scanner(), seed=seed)
    film = Film(pixels=clear.pixels, pixel_mm=1.0, to_source=IDENTITY)
    lungs = Lungs(right=right, left=left, heart=heart)
    result = drawn(film, lungs, everywhere(9, "r"), seed=seed)
    exposed = _slope(sick.pixels - clear.pixels, sick.opacity_mm, lungs)
    return _slope(result.pixels - film.pixels, result.opacity_mm, lungs) / exposed


def _slope(grey: np.ndarray, opacity_mm: np.ndarray, lungs: Lungs) -> float:
    """Grey per mm of the fine structure inside the lungs, by least squares."""
    fine_grey, fine_mm = ((x - ndimage.gaussian_filter(x, 8))[lungs.both] for x in (grey, opacity_mm))
    return float((fine_grey * fine_mm).sum() / (fine_mm**2).sum())


def test_coarse_stored_pixels_blur_the_opacities_and_keep_their_amount(film, lungs):
    coarse = replace(film, to_source=Affine(a=0.5, b=0.0, c=0.0, d=0.0, e=0.5, f=0.0))
    sharp, blurred = (drawn(each, lungs, everywhere(8, "q")).opacity_mm for each in (film, coarse))
    inside = ndimage.binary_erosion(lungs.both, iterations=4)
    assert blurred[inside].std() < 0.85 * sharp[inside].std()
    assert blurred[inside].mean() == pytest.approx(sharp[inside].mean(), rel=0.05)


def test_a_film_without_contrast_is_refused_with_the_way_out(film, lungs):
    flat = replace(film, pixels=np.full_like(film.pixels, 0.5))
    with pytest.raises(ValueError, match=r"is 0\.00; more than 0\.1 is needed.*leave this film out"):
        logit_per_mm(flat, lungs)


def test_the_aerated_share_grows_from_the_border_inwards():
    lung = np.zeros((60, 60), dtype=bool)
    lung[5:55, 5:55] = True
    share = aerated_share(lung, pixel_mm=2.0)
    assert share[~lung].max() == 0
    assert 0 < share[30, 5] < share[30, 10] < share[30, 24] == 1
