# SPDX-License-Identifier: Apache-2.0
"""Coarse pictures of what is no chest, for the gates that refuse it: an abdomen, a hand, a row of teeth.

Display grey in [0, 1], in millimetres from the middle of the film: x to the right, y downwards. Outlines and brightness
only; they exist to be refused.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.phantoms.chest_radiograph.anatomy import as_float32
from models.phantoms.chest_radiograph.texture import FloatImage, power_law_noise

Plane = NDArray[np.float64]
Draw = Callable[..., FloatImage]


def _axes(shape: tuple[int, int], pitch_mm: float) -> tuple[Plane, Plane]:
    y, x = (np.arange(size, dtype=np.float64) + 0.5 - size / 2 for size in shape)
    return x[None, :] * pitch_mm, y[:, None] * pitch_mm


def _ellipse(x: Plane, y: Plane, *, at: tuple[float, float], half: tuple[float, float]) -> Plane:
    """Return the thickness of an ellipsoid of these half axes, 1 in its middle and 0 outside."""
    return np.sqrt(np.clip(1 - ((x - at[0]) / half[0]) ** 2 - ((y - at[1]) / half[1]) ** 2, 0, 1))


def _finished(picture: Plane, *, pitch_mm: float, rng: np.random.Generator) -> FloatImage:
    blurred = ndimage.gaussian_filter(picture, 1.0 / pitch_mm)
    return as_float32(np.clip(blurred + 0.02 * power_law_noise(picture.shape, beta=2.0, rng=rng), 0, 1))


def abdomen(seed: int, *, shape: tuple[int, int], pitch_mm: float) -> FloatImage:
    """Return a supine abdomen: soft tissue, spine, pelvis, gas in the bowel."""
    rng = np.random.default_rng([seed, 7])
    x, y = _axes(shape, pitch_mm)
    body = np.clip(1 - np.abs(x / 165) ** 4, 0, 1) ** 0.5 * np.ones_like(y)
    picture = 0.68 * body
    picture += 0.22 * np.exp(-((x / 17) ** 4)) * (0.7 + 0.3 * np.cos(2 * np.pi * y / 34))
    for side in (-1, 1):
        wing = np.hypot((x - side * 75) / 62, (y - 105) / 70)
        picture += 0.18 * np.exp(-(((wing - 1) / 0.16) ** 2)) * (y > 40) + 0.08 * (wing < 1)
    for _ in range(28):
        at = (float(rng.uniform(-115, 115)), float(rng.uniform(-120, 90)))
        half = (float(rng.uniform(8, 26)), float(rng.uniform(7, 17)))
        picture -= rng.uniform(0.15, 0.4) * _ellipse(x, y, at=at, half=half)
    return _finished(picture, pitch_mm=pitch_mm, rng=rng)


def hand(seed: int, *, shape: tuple[int, int], pitch_mm: float) -> FloatImage:
    """Return two hands side by side, as for rheumatism, on an otherwise black film."""
    rng = np.random.default_rng([seed, 8])
    x, y = _axes(shape, pitch_mm)
    picture = np.zeros(shape)
    for side in (-1, 1):
        picture = np.maximum(picture, 0.42 * _ellipse(x, y, at=(side * 85, 40), half=(44, 55)))
        for finger, angle in enumerate((-0.42, -0.16, 0.02, 0.2, 0.75)):
            lean = side * angle
            along = -(y - 10) * np.cos(lean) + (x - side * 85) * np.sin(lean)
            across = (x - side * 85) * np.cos(lean) + (y - 10) * np.sin(lean)
            length = 62.0 if finger == 4 else 100.0
            inside = (along > -45) & (along < length)
            picture = np.maximum(picture, 0.4 * np.exp(-((across / 8.5) ** 6)) * inside)
            joints = 0.75 + 0.25 * np.abs(np.cos(np.pi * along / 33))
            picture = np.maximum(picture, 0.85 * joints * np.exp(-((across / 4.5) ** 4)) * inside)
    return _finished(picture, pitch_mm=pitch_mm, rng=rng)


def teeth(seed: int, *, shape: tuple[int, int], pitch_mm: float) -> FloatImage:
    """Return a panoramic film of the jaws: two rows of teeth in bone."""
    rng = np.random.default_rng([seed, 9])
    x, y = _axes(shape, pitch_mm)
    curve = y - 0.0016 * x**2 + 10
    picture = 0.3 + 0.3 * np.exp(-((curve / 60) ** 4)) * np.exp(-((x / 150) ** 6))
    for row in (-1, 1):
        shown = np.abs(curve - row * 17) < 15
        gaps = np.clip(3 * np.abs(np.sin(np.pi * x / 15)), 0, 1)
        picture += 0.4 * shown * gaps * (np.abs(x) < 125)
    return _finished(picture, pitch_mm=pitch_mm, rng=rng)
