# SPDX-License-Identifier: Apache-2.0
"""Shows the network each training image as another scanner would: kernel, dose, tone curve, calibration, inversion.

Tensors in, tensors out, every image of a batch changed in its own way. Not MONAI's RandGaussianSmooth,
RandHistogramShift and RandAdjustContrast: they draw from a numpy state of their own, which a checkpoint would not hold,
take one image at a time, and bend contrast within the image's own extremes, which moves a calibrated grey. The tests
hold the arithmetic against SciPy's and MONAI's.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from models.training.scanner_shift_settings import (
    Blur,
    Gamma,
    Inversion,
    Level,
    Noise,
    Range,
    ScannerShift,
    Sharpen,
    ToneCurve,
)

_TRUNCATE = 4.0
"""A Gaussian ends at this many sigmas, as in SciPy."""


def shift_scanner(images: Tensor, settings: ScannerShift, *, generator: torch.Generator) -> Tensor:
    """Return images (N, 1, H, W), float32 in [0, 1], as other scanners would show them, again in [0, 1].

    Section by section in the order of `ScannerShift`; the same generator state gives the same images.
    """
    shown = images.clamp(0, 1)
    for name, change in _CHANGES.items():
        section = getattr(settings, name)
        if section is not None:
            changed = change(shown, section, generator)
            chosen = torch.rand((len(shown), 1, 1, 1), generator=generator) < section.share
            shown = torch.where(chosen, changed, shown).clamp(0, 1)
    return shown


def _blur(images: Tensor, settings: Blur, generator: torch.Generator) -> Tensor:
    return gaussian_blur(images, _drawn(images, settings.sigma_px, generator))


def _sharpen(images: Tensor, settings: Sharpen, generator: torch.Generator) -> Tensor:
    smooth = gaussian_blur(images, torch.full((len(images),), settings.sigma_px))
    return images + _wide(_drawn(images, settings.amount, generator)) * (images - smooth)


def _noise(images: Tensor, settings: Noise, generator: torch.Generator) -> Tensor:
    white = torch.randn(images.shape, generator=generator)
    grain = gaussian_blur(white, _drawn(images, settings.grain_px, generator))
    unit = grain / grain.std(dim=(2, 3), keepdim=True).clamp(min=1e-6)
    return images + _wide(_drawn(images, settings.deviation, generator)) * unit


def _tone_curve(images: Tensor, settings: ToneCurve, generator: torch.Generator) -> Tensor:
    strength = _drawn(images, settings.strength, generator)[:, None]
    slopes = torch.exp(strength * torch.randn((len(images), settings.pieces), generator=generator))
    rises = functional.pad(slopes.cumsum(dim=1), (1, 0))
    return piecewise_linear(images, rises / rises[:, -1:])


def _gamma(images: Tensor, settings: Gamma, generator: torch.Generator) -> Tensor:
    return images ** _wide(_drawn(images, settings.log_gamma, generator).exp())


def _level(images: Tensor, settings: Level, generator: torch.Generator) -> Tensor:
    gain = _wide(_drawn(images, settings.gain, generator))
    return gain * (images - 0.5) + 0.5 + _wide(_drawn(images, settings.offset, generator))


def _inversion(images: Tensor, settings: Inversion, generator: torch.Generator) -> Tensor:  # noqa: ARG001
    return 1 - images


_CHANGES: Mapping[str, Callable[[Tensor, Any, torch.Generator], Tensor]] = {
    "blur": _blur,
    "sharpen": _sharpen,
    "noise": _noise,
    "tone_curve": _tone_curve,
    "gamma": _gamma,
    "level": _level,
    "inversion": _inversion,
}


def _drawn(images: Tensor, between: Range, generator: torch.Generator) -> Tensor:
    low, high = between
    return low + (high - low) * torch.rand((len(images),), generator=generator)


def _wide(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def gaussian_blur(images: Tensor, sigma_px: Tensor) -> Tensor:
    """Blur images (N, 1, H, W) by Gaussians of sigma (N,) pixels, each by its own; the edge pixel repeats outside."""
    radius = int(_TRUNCATE * float(sigma_px.max()) + 0.5)
    if radius == 0:
        return images
    kernels = _kernels(sigma_px, radius)
    rows = functional.pad(images.transpose(0, 1), (0, 0, radius, radius), mode="replicate")
    done = functional.conv2d(rows, kernels[:, None, :, None], groups=len(images))
    columns = functional.pad(done, (radius, radius, 0, 0), mode="replicate")
    return functional.conv2d(columns, kernels[:, None, None, :], groups=len(images)).transpose(0, 1)


def _kernels(sigma_px: Tensor, radius: int) -> Tensor:
    """Return sampled Gaussians (N, 2 radius + 1) that end at `_TRUNCATE` sigmas; of sigma 0 a single 1."""
    place = torch.arange(-radius, radius + 1)
    sigma = sigma_px[:, None].clamp(min=1e-3)
    bell = torch.exp(-0.5 * (place / sigma) ** 2) * (place.abs() <= (_TRUNCATE * sigma + 0.5).floor())
    return bell / bell.sum(dim=1, keepdim=True)


def piecewise_linear(images: Tensor, heights: Tensor) -> Tensor:
    """Map images (N, 1, H, W) in [0, 1] through curves whose heights (N, K + 1) stand at 0, 1/K, ..., 1."""
    pieces = heights.shape[1] - 1
    place = images.flatten(1) * pieces
    left = place.floor().clamp(max=pieces - 1).long()
    low, high = heights.gather(1, left), heights.gather(1, left + 1)
    return (low + (place - left) * (high - low)).view_as(images)
