# SPDX-License-Identifier: Apache-2.0
"""What a CT scanner does to anatomy: reconstruction kernel, correlated noise and offset, at random but seeded."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Field = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """One scanner setting.

    `blur_mm` is the point spread's sigma; `sharpening` the edge enhancement of a lung kernel (0: none);
    `noise_hu` the standard deviation of the noise in soft tissue, whose grain is `grain_mm`.
    """

    blur_mm: float = 0.42
    sharpening: float = 0.4
    noise_hu: float = 28.0
    grain_mm: float = 0.35
    offset_hu: float = 0.0

    def image(self, anatomy: Field, *, pixel_mm: float, rng: np.random.Generator) -> Field:
        """Return the anatomy as this scanner shows it, in whole Hounsfield units from -1024 up, float32."""
        smooth = gaussian_filter(anatomy, self.blur_mm / pixel_mm, mode="nearest")
        enhanced = smooth + self.sharpening * (smooth - gaussian_filter(smooth, 1.0 / pixel_mm, mode="nearest"))
        noisy = enhanced + self.noise_hu * self._noise(enhanced.shape, pixel_mm=pixel_mm, rng=rng)
        return np.asarray(np.clip(np.rint(noisy + self.offset_hu), -1024, 3071), dtype=np.float32)

    def _noise(self, shape: tuple[int, ...], *, pixel_mm: float, rng: np.random.Generator) -> Field:
        white = rng.standard_normal(shape).astype(np.float32)
        fine = gaussian_filter(white, self.grain_mm / pixel_mm)
        band = fine - 0.5 * gaussian_filter(white, 2.5 * self.grain_mm / pixel_mm)
        return np.asarray(band / (band.std() + 1e-6), dtype=np.float32)


def usual_scanner(rng: np.random.Generator) -> Scanner:
    """Draw a scanner as a thin-section chest protocol sets it: the domain that demonstration models train on."""
    return Scanner(
        blur_mm=rng.uniform(0.32, 0.62),
        sharpening=rng.uniform(0.0, 0.9),
        noise_hu=rng.uniform(12, 55),
        grain_mm=rng.uniform(0.25, 0.5),
        offset_hu=rng.uniform(-12, 12),
    )


def shifted_scanner(rng: np.random.Generator) -> Scanner:
    """Draw a scanner outside that domain: low dose, or a soft kernel, or badly calibrated; for honest metrics."""
    return Scanner(
        blur_mm=rng.uniform(0.7, 1.0),
        sharpening=rng.uniform(0.0, 0.3),
        noise_hu=rng.uniform(60, 95),
        grain_mm=rng.uniform(0.4, 0.7),
        offset_hu=rng.uniform(-40, 40),
    )
