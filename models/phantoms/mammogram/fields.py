# SPDX-License-Identifier: Apache-2.0
"""Random fields and soft shapes, measured in mm, that the tissue of a phantom breast is made of."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Field = NDArray[np.float32]


def power_law_noise(rng: np.random.Generator, shape: tuple[int, int], *, pitch_mm: float, beta: float = 3.0) -> Field:
    """Return noise of power spectrum 1/f^beta, zero mean, unit variance; periods above 60 mm are flattened.

    Mammograms have beta near 3 (Burgess 2001, Med Phys 28:419).
    """
    rows = fft.fftfreq(shape[0], pitch_mm)[:, None]
    columns = fft.rfftfreq(shape[1], pitch_mm)[None, :]
    frequency = np.sqrt(rows**2 + columns**2 + (1 / 60) ** 2)
    white = fft.rfft2(rng.standard_normal(shape, dtype=np.float32))
    field = fft.irfft2(white * frequency ** (-beta / 2), s=shape)
    field -= field.mean()
    return np.asarray(field / field.std(), dtype=np.float32)


def resized(field: NDArray[np.floating], shape: tuple[int, int]) -> Field:
    """Return the field linearly interpolated to another shape over the same area."""
    factors = [target / source for target, source in zip(shape, field.shape, strict=True)]
    return np.asarray(ndimage.zoom(field, factors, order=1, mode="nearest", grid_mode=True), dtype=np.float32)


def grid_mm(shape: tuple[int, int], pitch_mm: float) -> tuple[Field, Field]:
    """Return (column, row) in mm of the pixel centres, ready to broadcast."""
    columns = (np.arange(shape[1], dtype=np.float32) + 0.5) * pitch_mm
    rows = (np.arange(shape[0], dtype=np.float32) + 0.5) * pitch_mm
    return columns[None, :], rows[:, None]


def soft_step(distance_mm: NDArray[np.floating], width_mm: float) -> Field:
    """Return 1 well inside (positive distance), 0 outside, with a smooth edge of the given width."""
    return np.asarray(0.5 + 0.5 * np.tanh(2 * distance_mm / width_mm), dtype=np.float32)


def blurred(field: NDArray[np.floating], sigma_mm: float, *, pitch_mm: float) -> Field:
    """Return the field after a Gaussian blur given in mm."""
    return np.asarray(ndimage.gaussian_filter(field, sigma_mm / pitch_mm, mode="nearest"), dtype=np.float32)
