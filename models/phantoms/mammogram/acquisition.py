# SPDX-License-Identifier: Apache-2.0
"""From attenuation to stored values: detector noise and blur, and what a vendor's processing makes of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.phantoms.mammogram.fields import Field, blurred

FAT_PER_CM = 0.5
"""Attenuation of fat per cm, near 20 keV."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """How a detector and its vendor's processing change the image.

    `quanta_per_mm2` before the breast; `equalisation` is how far the skin-side fall-off is taken out; `gamma` bends
    the tone curve; `gain` is the contrast of gland over fat; `fat_level` the display value of fat, in [0, 1].
    """

    quanta_per_mm2: float = 4e6
    blur_mm: float = 0.08
    equalisation: float = 0.85
    gamma: float = 1.0
    gain: float = 0.95
    fat_level: float = 0.22
    sharpening: float = 0.4


def random_scanner(rng: np.random.Generator, *, shift: float = 1.0) -> Scanner:
    """Draw a scanner; `shift` above 1 goes beyond what training sees: lower dose, more blur, other tone curves."""
    return Scanner(
        quanta_per_mm2=4e6 * float(np.exp(rng.uniform(-1.0, 0.5) * shift)),
        blur_mm=0.08 + rng.uniform(0, 0.18) * shift,
        equalisation=rng.uniform(0.65, 0.95),
        gamma=float(np.exp(rng.uniform(-0.3, 0.3) * shift)),
        gain=0.95 * float(np.exp(rng.uniform(-0.3, 0.3) * shift)),
        fat_level=rng.uniform(0.12, 0.32),
        sharpening=rng.uniform(0, 0.8),
    )


def detected(attenuation: Field, scanner: Scanner, *, pitch_mm: float, rng: np.random.Generator) -> Field:
    """Return the log signal of the detector: blur, then Poisson noise (its Gaussian limit)."""
    blurry = blurred(attenuation, scanner.blur_mm, pitch_mm=pitch_mm)
    quanta = scanner.quanta_per_mm2 * pitch_mm**2 * np.exp(-blurry)
    noise = rng.standard_normal(blurry.shape, dtype=np.float32) / np.sqrt(quanta)
    return np.asarray(blurry + noise, dtype=np.float32)


def presented(signal: Field, thickness: Field, scanner: Scanner, *, pitch_mm: float) -> Field:
    """Return display grey in [0, 1] with a black background, as in For Presentation images."""
    return displayed(signal, shading(thickness, pitch_mm=pitch_mm), scanner, pitch_mm=pitch_mm)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Shading:
    """What a vendor's processing takes from the breast's thickness (cm).

    `edge` is the thickness as its equalisation follows it, `thickest` the largest of it, `fade` in [0, 1] how far the
    picture stands out from the black around it.
    """

    edge: Field
    thickest: float
    fade: Field


def shading(thickness: Field, *, pitch_mm: float) -> Shading:
    """Return the shading of a whole view, which does not depend on the scanner."""
    edge = ndimage.gaussian_filter(thickness, 1.5 / pitch_mm)
    fade = 1 - np.exp(-((thickness / 0.9) ** 1.3))
    return Shading(edge=edge, thickest=float(edge.max()), fade=fade)


def displayed(signal: Field, shade: Shading, scanner: Scanner, *, pitch_mm: float) -> Field:
    """Return what `presented` does, from the shading of a view or of the same part of it as the signal."""
    level = (1 - scanner.equalisation) * FAT_PER_CM * np.float32(shade.thickest)
    flat = signal - scanner.equalisation * FAT_PER_CM * shade.edge - level
    sharp = flat + scanner.sharpening * (flat - blurred(flat, 0.5, pitch_mm=pitch_mm))
    grey = np.clip(scanner.fat_level + scanner.gain * sharp, 0, None) * shade.fade
    return np.asarray(np.tanh(grey) ** scanner.gamma, dtype=np.float32)


def raw_counts(signal: Field, *, bits_stored: int) -> NDArray[np.uint16]:
    """Return linear detector counts, as in For Processing images: the open field is the brightest."""
    full = (1 << bits_stored) - 1
    return np.asarray(np.clip(0.92 * full * np.exp(-signal), 0, full), dtype=np.uint16)
