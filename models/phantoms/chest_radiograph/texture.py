# SPDX-License-Identifier: Apache-2.0
"""Random fields and point clouds from which phantoms get their texture."""

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, signal

FloatImage = NDArray[np.float32]


def power_law_noise(shape: tuple[int, int], *, beta: float, rng: np.random.Generator) -> FloatImage:
    """Return a field of zero mean and unit variance whose power spectrum falls as 1/f**beta."""
    padded = tuple(fft.next_fast_len(size, real=True) for size in shape)
    spectrum = fft.rfft2(rng.standard_normal(padded, dtype=np.float32))
    rows = np.fft.fftfreq(padded[0])[:, None]
    columns = np.fft.rfftfreq(padded[1])[None, :]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    field = fft.irfft2(spectrum * frequency ** (-beta / 2), s=padded)[: shape[0], : shape[1]]
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float32)


def impulses(
    shape: tuple[int, int], *, columns: NDArray[np.float64], rows: NDArray[np.float64], weights: NDArray[np.float64]
) -> FloatImage:
    """Return an image with the weights spread bilinearly at sub-pixel places; points outside are dropped."""
    column, row = np.floor(columns).astype(int), np.floor(rows).astype(int)
    inside = (column >= 0) & (row >= 0) & (column < shape[1] - 1) & (row < shape[0] - 1)
    column, row = column[inside], row[inside]
    right, down, weight = columns[inside] - column, rows[inside] - row, weights[inside]
    index = row * shape[1] + column
    total = np.zeros(shape[0] * shape[1])
    for offset, share in (
        (0, (1 - right) * (1 - down)),
        (1, right * (1 - down)),
        (shape[1], (1 - right) * down),
        (shape[1] + 1, right * down),
    ):
        total += np.bincount(index + offset, weight * share, minlength=total.size)
    return total.reshape(shape).astype(np.float32)


def sphere_kernel(radius: float) -> FloatImage:
    """Return the projected thickness 2*sqrt(r^2 - d^2) of a sphere, radius and result in pixels."""
    half = int(np.ceil(radius)) + 1
    fine = (np.arange((2 * half + 1) * 4) + 0.5) / 4 - half - 0.5
    square = np.maximum(radius**2 - fine[:, None] ** 2 - fine[None, :] ** 2, 0)
    chord = 2 * np.sqrt(square)
    return np.asarray(chord.reshape(2 * half + 1, 4, 2 * half + 1, 4).mean(axis=(1, 3)), dtype=np.float32)


def convolve(image: FloatImage, kernel: FloatImage) -> FloatImage:
    """Return the convolution, of the same shape."""
    return np.asarray(signal.oaconvolve(image, kernel, mode="same"), dtype=np.float32)


def smooth(image: FloatImage, *, sigma: float) -> FloatImage:
    """Return the image blurred by a Gaussian; wide ones are computed on a smaller grid."""
    if sigma < 8:
        return np.asarray(ndimage.gaussian_filter(image, sigma, mode="nearest"), dtype=np.float32)
    factor = int(sigma // 4)
    padded = np.pad(image, [(0, -size % factor) for size in image.shape], mode="edge")
    small = padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor).mean(axis=(1, 3))
    blurred = ndimage.gaussian_filter(small, sigma / factor, mode="nearest")
    return enlarge(blurred, factor=factor)[: image.shape[0], : image.shape[1]]


def enlarge(small: FloatImage, *, factor: int) -> FloatImage:
    """Return the image enlarged by a whole factor with linear interpolation, pixel areas kept in place."""
    rows = (np.arange(small.shape[0] * factor) + 0.5) / factor - 0.5
    columns = (np.arange(small.shape[1] * factor) + 0.5) / factor - 0.5
    return _interpolate(_interpolate(small, rows, axis=0), columns, axis=1)


def _interpolate(image: FloatImage, at: NDArray[np.float64], *, axis: int) -> FloatImage:
    last = image.shape[axis] - 1
    at = np.clip(at, 0, last)
    low = np.minimum(np.floor(at).astype(int), max(last - 1, 0))
    share = (at - low).astype(np.float32)
    share = share[:, None] if axis == 0 else share[None, :]
    below = np.take(image, low, axis=axis)
    above = np.take(image, np.minimum(low + 1, last), axis=axis)
    return np.asarray(below * (1 - share) + above * share, dtype=np.float32)
