# SPDX-License-Identifier: Apache-2.0
"""Random fields of three dimensions, and how finely sampled anatomy becomes slices."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Volume = NDArray[np.float32]


def power_law_volume(
    shape: tuple[int, int, int], *, beta: float, rng: np.random.Generator, longest: float | None = None
) -> Volume:
    """Return noise of power spectrum 1/f**beta, zero mean, unit variance, float32 of `shape`.

    Parameters
    ----------
    longest
        Periods above this many voxels are flattened; None: those above the longest side.
    """
    axes = (fft.fftfreq(shape[0]), fft.fftfreq(shape[1]), fft.rfftfreq(shape[2]))
    floor = 1 / (longest or max(shape))
    frequency = np.sqrt(sum(part**2 for part in np.ix_(*axes)) + floor**2)
    white = fft.rfftn(rng.standard_normal(shape, dtype=np.float32))
    field = fft.irfftn(white * frequency ** (-beta / 2), s=shape)
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float32)


def soft_edge(distance_mm: NDArray[np.floating], width_mm: float) -> Volume:
    """Return 1 well inside (positive distance), 0 outside, one half at the border; `width_mm` from 0.1 to 0.9."""
    return np.asarray(0.5 + 0.5 * np.tanh(2.2 * distance_mm / max(width_mm, 1e-6)), dtype=np.float32)


def mixed(field: Volume, value: NDArray[np.floating] | float, share: NDArray[np.floating]) -> Volume:
    """Return the field with `value` in its place as far as `share` in [0, 1] says."""
    return np.asarray(field * (1 - share) + value * share, dtype=np.float32)


def sampled(field: Volume, points: tuple[NDArray[np.floating], ...], *, step_mm: float) -> Volume:
    """Return the field, whose middle lies at the origin, at places in mm along its axes; it repeats beyond its ends."""
    middle = [(size - 1) / 2 for size in field.shape]
    at = np.broadcast_arrays(*(point / step_mm + centre for point, centre in zip(points, middle, strict=True)))
    return np.asarray(ndimage.map_coordinates(field, at, order=1, mode="grid-wrap"), dtype=np.float32)
