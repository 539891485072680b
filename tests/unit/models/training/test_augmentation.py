# SPDX-License-Identifier: Apache-2.0
"""Scanner-shift augmentation: identities, order, ranges, repeatability, and the arithmetic of SciPy and MONAI."""

import json

import pytest

pytest.importorskip("torch", reason="needs the optional extra `train`")

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms import AdjustContrast, RandHistogramShift
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter
from torch import Tensor

from models.training.augmentation import gaussian_blur, piecewise_linear, shift_scanner
from models.training.scanner_shift_settings import ScannerShift

ALL = {
    "blur": {"share": 0.5, "sigma_px": [0.2, 1.2]},
    "sharpen": {"share": 0.5, "amount": [0.0, 1.0]},
    "noise": {"share": 0.8, "deviation": [0.0, 0.1], "grain_px": [0.0, 1.5]},
    "tone_curve": {"strength": [0.0, 0.6]},
    "gamma": {"log_gamma": [-0.5, 0.5]},
    "level": {"gain": [0.8, 1.2], "offset": [-0.1, 0.1]},
    "inversion": {"share": 0.3},
}
NOTHING = {
    "blur": {"sigma_px": [0.0, 0.0]},
    "sharpen": {"amount": [0.0, 0.0]},
    "noise": {"deviation": [0.0, 0.0], "grain_px": [0.0, 1.0]},
    "tone_curve": {"strength": [0.0, 0.0]},
    "gamma": {"log_gamma": [0.0, 0.0]},
    "level": {"gain": [1.0, 1.0], "offset": [0.0, 0.0]},
    "inversion": {"share": 0.0},
}


def shift(**sections: object) -> ScannerShift:
    return ScannerShift.model_validate_json(json.dumps(sections))


def drawn(images: Tensor, sections: ScannerShift, *, seed: int = 1) -> Tensor:
    return shift_scanner(images, sections, generator=torch.Generator().manual_seed(seed))


def pictures(count: int = 6, *, seed: int = 0) -> Tensor:
    return torch.rand((count, 1, 20, 24), generator=torch.Generator().manual_seed(seed))


def test_the_same_generator_gives_the_same_images_and_another_one_others() -> None:
    images, everything = pictures(), shift(**ALL)
    assert torch.equal(drawn(images, everything), drawn(images, everything))
    assert not torch.equal(drawn(images, everything), drawn(images, everything, seed=2))


def test_the_images_handed_in_stay_as_they_are() -> None:
    images = pictures()
    before = images.clone()
    drawn(images, shift(**ALL))
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", NOTHING)
def test_zero_strength_is_the_identity(name: str) -> None:
    images = pictures()
    torch.testing.assert_close(drawn(images, shift(**{name: NOTHING[name]})), images, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_each_change_changes_every_image_of_its_share_alone(name: str) -> None:
    images = pictures(400)
    section = {**ALL[name], "share": 0.25}
    changed = (drawn(images, shift(**{name: section})) != images).flatten(1).any(dim=1)
    assert 0.15 < changed.float().mean() < 0.35
    others = drawn(images, shift(**{name: {**ALL[name], "share": 0.0}}))
    assert torch.equal(others, images)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), constant=st.booleans())
def test_grey_stays_in_its_range(seed: int, constant: bool) -> None:
    images = torch.full((3, 1, 8, 8), 0.5) if constant else 3 * pictures(3, seed=seed) - 1
    shown = drawn(images, shift(**ALL), seed=seed)
    assert shown.dtype == torch.float32
    assert torch.isfinite(shown).all()
    assert shown.min() >= 0
    assert shown.max() <= 1


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), strength=st.floats(0, 1.5), log_gamma=st.floats(-1, 1), invert=st.booleans())
def test_curves_keep_the_order_of_grey_and_inversion_reverses_it(
    seed: int, strength: float, log_gamma: float, invert: bool
) -> None:
    ramp = torch.linspace(0, 1, 400).view(1, 1, 1, 400)
    sections = {
        "tone_curve": {"strength": [strength, strength]},
        "gamma": {"log_gamma": [log_gamma, log_gamma]},
        "inversion": {"share": float(invert)},
    }
    shown = drawn(ramp, shift(**sections), seed=seed).flatten()
    steps = shown.diff() * (-1 if invert else 1)
    assert (steps >= 0).all()
    assert (steps[20:380] > 0).float().mean() > 0.9  # rising, not flat
    assert shown.sort().values[[0, -1]].tolist() == pytest.approx([0, 1], abs=1e-6)


def test_inversion_is_one_minus_grey() -> None:
    images = pictures()
    assert torch.equal(drawn(images, shift(inversion={})), 1 - images)


def test_the_blur_is_scipys_each_image_by_its_own_sigma() -> None:
    images, sigma = pictures(4), torch.tensor([0.0, 0.4, 1.0, 1.7])
    blurred = gaussian_blur(images, sigma)
    for image, own, done in zip(images, sigma, blurred, strict=True):
        expected = gaussian_filter(image[0].numpy(), float(own), mode="nearest") if own > 0 else image[0].numpy()
        np.testing.assert_allclose(done[0].numpy(), expected, atol=2e-6)


def test_noise_has_the_deviation_and_the_grain_asked_for() -> None:
    flat = torch.full((40, 1, 48, 48), 0.5)
    white = drawn(flat, shift(noise={"deviation": [0.05, 0.05]})) - 0.5
    grainy = drawn(flat, shift(noise={"deviation": [0.05, 0.05], "grain_px": [1.0, 1.0]})) - 0.5
    for noise in (white, grainy):
        assert float(noise.std()) == pytest.approx(0.05, rel=0.02)
    neighbours = [float((noise[..., 1:] * noise[..., :-1]).mean()) / 0.05**2 for noise in (white, grainy)]
    assert neighbours[0] == pytest.approx(0, abs=0.02)
    assert neighbours[1] == pytest.approx(np.exp(-1 / 4), abs=0.04)  # of white noise through a Gaussian of 1 px


def test_sharpening_is_the_opposite_of_blurring() -> None:
    images = gaussian_blur(pictures(), torch.full((6,), 1.0)) * 0.5 + 0.25
    sharp = drawn(images, shift(sharpen={"amount": [0.8, 0.8], "sigma_px": 1.0}))
    assert (sharp.flatten(1).std(dim=1) > 1.05 * images.flatten(1).std(dim=1)).all()
    smooth = gaussian_blur(images, torch.full((6,), 1.0))
    torch.testing.assert_close(sharp, images + 0.8 * (images - smooth))


def test_gamma_is_monais_on_images_that_fill_the_range() -> None:
    images = pictures(2)
    images[:, :, 0, 0], images[:, :, 0, 1] = 0, 1
    shown = drawn(images, shift(gamma={"log_gamma": [0.4, 0.4]}))
    for image, done in zip(images, shown, strict=True):
        torch.testing.assert_close(done, AdjustContrast(float(np.exp(0.4)))(image).as_tensor(), atol=1e-5, rtol=0)


def test_the_tone_curve_is_monais_histogram_shift_at_the_same_points() -> None:
    image = pictures(1)
    image[..., 0, 0], image[..., 0, 1] = 0, 1
    monai = RandHistogramShift(num_control_points=7, prob=1.0).set_random_state(3)
    expected = monai(image[0])
    heights = torch.from_numpy(monai.floating_control_points.copy()).float()[None]
    torch.testing.assert_close(piecewise_linear(image, heights)[0], expected.as_tensor(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"blur": {"sigma_px": [2.0, 1.0]}}, r"\[2, 1\] must be \[least, most\]"),
        ({"noise": {"deviation": [-0.1, 0.1]}}, r"must not be below 0"),
        ({"gamma": {"log_gama": [0, 0]}}, "log_gama"),
        ({"inversion": {"share": 1.5}}, "less than or equal to 1"),
        ({"sharpness": {}}, "sharpness"),
    ],
)
def test_ranges_that_make_no_sense_are_refused(sections: dict, told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        shift(**sections)
