# SPDX-License-Identifier: Apache-2.0
"""The phantoms keep to physics, in figures: noise and dose, sharpness, Hounsfield units, spectra, sizes on the film."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from models.phantoms.chest_radiograph.film import Scanner, anatomy, expose
from models.phantoms.chest_radiograph.opacities import NORMAL, Disease, opacity_path
from models.phantoms.computed_tomography import NOT_LUNG, ChestPhantom
from models.phantoms.computed_tomography import Scanner as CtScanner
from models.phantoms.mammogram.acquisition import Scanner as MgScanner
from models.phantoms.mammogram.acquisition import detected
from models.phantoms.mammogram.breast import Breast
from models.phantoms.mammogram.view import draw_view

ILO_MM = {"p": (0.0, 1.5), "q": (1.5, 3.0), "r": (3.0, 10.0), "s": (0.0, 1.5), "t": (1.5, 3.0), "u": (3.0, 10.0)}
"""Diameters of rounded and widths of irregular opacities, ILO classification 2022."""


def noise_of(photons_per_mm2: float) -> float:
    """Standard deviation of the log exposure behind an even body."""
    scanner = Scanner(photons_per_mm2=photons_per_mm2, blur_mm=0.05, scatter=0.0)
    depth = np.full((200, 200), 2.0, dtype=np.float32)
    return float(expose(depth, scanner, pitch_mm=0.5, rng=np.random.default_rng(1)).std())


def test_the_noise_of_a_film_is_that_of_the_counted_photons() -> None:
    for photons in (1e4, 4e4, 1.6e5):
        expected = 1 / np.sqrt(photons * 0.5**2 * np.exp(-2.0))
        assert noise_of(photons) == pytest.approx(expected, rel=0.03)
    assert noise_of(1e4) / noise_of(4e4) == pytest.approx(2.0, rel=0.04), "four times the dose, half the noise"


@pytest.mark.parametrize("blur_mm", [0.15, 0.3])
def test_the_sharpness_of_a_film_is_that_of_its_scanner(blur_mm: float) -> None:
    """MTF 50 % of a Gaussian point spread lies at 0.1874 / sigma cycles per mm: 1.25 at 0.15 mm, 0.62 at 0.3 mm."""
    pitch = 0.05
    depth = np.zeros((16, 400), dtype=np.float32)
    depth[:, 200:] = 0.1
    scanner = Scanner(photons_per_mm2=1e14, blur_mm=blur_mm, scatter=0.0)
    edge = expose(depth, scanner, pitch_mm=pitch, rng=np.random.default_rng(1)).mean(axis=0, dtype=np.float64)
    spread = np.abs(np.diff(edge))
    transfer = np.abs(np.fft.rfft(spread))
    transfer /= transfer[0]
    frequency = np.fft.rfftfreq(spread.size, pitch)
    at = float(np.interp(0.5, transfer[:80][::-1], frequency[:80][::-1]))
    assert at == pytest.approx(0.1874 / blur_mm, rel=0.06)


def opacities(shape: str, pitch_mm: float) -> np.ndarray:
    """Thickness, mm, of sparse opacities of one shape on an open field."""
    zones = np.ones((1400, 1400), dtype=np.uint8)
    disease = Disease(levels={"RU": 3 if shape in "ru" else 1}, primary=shape, secondary=shape)
    return opacity_path(disease, zones, pitch_mm=pitch_mm, rng=np.random.default_rng(2))


@pytest.mark.parametrize("shape", ["p", "q", "r"])
def test_rounded_opacities_have_the_diameters_of_their_letter(shape: str) -> None:
    pitch = 0.1
    labels, count = ndimage.label(opacities(shape, pitch) > 0.02)
    parts = ndimage.find_objects(labels)
    sides = np.array([[part[0].stop - part[0].start, part[1].stop - part[1].start] for part in parts]) * pitch
    alone = sides[(np.abs(sides[:, 0] - sides[:, 1]) < 0.25)]
    assert count > 3
    low, high = ILO_MM[shape]
    assert low - 0.2 < np.median(alone) <= high + 0.2
    assert np.quantile(alone, 0.05) > low - 0.3


@pytest.mark.parametrize("shape", ["s", "t", "u"])
def test_irregular_opacities_have_the_widths_of_their_letter(shape: str) -> None:
    pitch = 0.1
    drawn = opacities(shape, pitch)
    inside = drawn > 0.5 * np.quantile(drawn[drawn > 0.02], 0.9)
    width = 2 * ndimage.distance_transform_edt(inside) * pitch
    ridge = width[(width == ndimage.maximum_filter(width, 9)) & inside]
    low, high = ILO_MM[shape]
    assert low - 0.3 < np.median(ridge) <= high + 0.3


def test_more_profusion_is_more_opacity_by_a_factor_of_1_3_a_step() -> None:
    body = anatomy(5, shape=(420, 380), pitch_mm=1.0)
    rng = np.random.default_rng
    amounts = [
        float(opacity_path(Disease(levels={"RM": level}), body.zones, pitch_mm=1.0, rng=rng(4)).sum())
        for level in (4, 7, 10)
    ]
    assert amounts[1] / amounts[0] == pytest.approx(1.3**3, rel=0.25)
    assert amounts[2] / amounts[1] == pytest.approx(1.3**3, rel=0.25)
    assert opacity_path(NORMAL, body.zones, pitch_mm=1.0, rng=rng(4)).sum() == 0


def test_a_chest_ct_has_the_hounsfield_units_of_its_tissues() -> None:
    chest = ChestPhantom(seed=5, slices=12, matrix=256, pixel_mm=1.4, scanner=CtScanner(noise_hu=10, sharpening=0))
    section = chest.slice(6)
    values = section.hounsfield
    lung = values[ndimage.binary_erosion(section.truth != NOT_LUNG, iterations=4)]
    assert np.median(values[:12, :12]) == pytest.approx(-1000, abs=15), "air"
    assert -900 < np.median(lung) < -800, "aerated lung, inspiration"
    assert values.max() > 400, "compact bone"
    body = values[(values > -200) & (values < 150)]
    fat, soft = np.median(body[body < -50]), np.median(body[body > 10])
    assert -115 < fat < -80
    assert 30 < soft < 70, "muscle and unenhanced blood"


def test_the_noise_of_a_ct_slice_is_what_its_scanner_says() -> None:
    flat = np.full((128, 128), 40.0, dtype=np.float32)
    for noise in (10.0, 40.0):
        scanner = CtScanner(noise_hu=noise)
        imaged = scanner.image(flat, pixel_mm=0.7, rng=np.random.default_rng(3))
        assert imaged.std() == pytest.approx(noise, rel=0.05)
        assert imaged.mean() == pytest.approx(40, abs=2)


def slope_of(field: np.ndarray, pitch_mm: float, band: tuple[float, float]) -> float:
    """Exponent beta of the power spectrum 1/f**beta of a square field within a band of cycles per mm."""
    size = field.shape[0]
    taper = np.outer(np.hanning(size), np.hanning(size))
    power = np.abs(np.fft.fft2((field - field.mean()) * taper)) ** 2
    axis = np.fft.fftfreq(size, pitch_mm)
    radius = np.hypot(axis[:, None], axis[None, :])
    edges = np.geomspace(*band, 9)
    means = [power[(radius >= low) & (radius < high)].mean() for low, high in pairwise(edges)]
    centres = np.sqrt(edges[:-1] * edges[1:])
    return -float(np.polyfit(np.log(centres), np.log(means), 1)[0])


@pytest.mark.parametrize("seed", [3, 8, 12])
def test_the_background_of_a_mammogram_falls_as_real_ones_do(seed: int) -> None:
    """Burgess 2001 measured exponents of about 3 on patients, between 2 and 4."""
    breast = Breast(side="L", seed=seed, depth_mm=105, half_width_mm=85, gland=0.5, distractors=0)
    view = draw_view(breast, "CC", pitch_mm=0.2, size_mm=(200, 120), scanner=MgScanner(quanta_per_mm2=1e8))
    patch = view.signal[340:660, 90:410]
    assert 2.0 < slope_of(patch, 0.2, (0.08, 0.8)) < 4.0


def test_the_noise_of_a_mammogram_is_that_of_its_dose() -> None:
    flat = np.full((200, 200), 2.5, dtype=np.float32)
    noises = []
    for quanta in (1e6, 4e6):
        scanner = MgScanner(quanta_per_mm2=quanta)
        signal = detected(flat, scanner, pitch_mm=0.1, rng=np.random.default_rng(1))
        noises.append(float(signal.std()))
        assert noises[-1] == pytest.approx(1 / np.sqrt(quanta * 0.01 * np.exp(-2.5)), rel=0.03)
    assert noises[0] / noises[1] == pytest.approx(2, rel=0.03)
