# SPDX-License-Identifier: Apache-2.0
"""Measures how an image looks technically: level, contrast, noise and fineness, from small tiles of its content.

Numbers to compare one acquisition with another, not to judge one: anatomy adds to each of them.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
TILE: Final = 24
"""Rows and columns of a tile, pixels."""
GRID: Final = 24
"""Tiles along each side, evenly spaced."""
LEAST_TILES: Final = 16
BACKGROUND_SHARE: Final = 0.25
_MAD: Final = 1.4826
"""From the median absolute deviation to the standard deviation of normal noise."""


def coarsened(pixels: Pixels, factor: int) -> Pixels:
    """Return the means of blocks of `factor` x `factor` pixels; a rest at the lower and right border is dropped."""
    if factor <= 1:
        return pixels
    rows, columns = (size // factor for size in pixels.shape)
    blocks = pixels[: rows * factor, : columns * factor].reshape(rows, factor, columns, factor)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def measure_quality(pixels: Pixels, *, floor: float) -> dict[str, float]:
    """Return level, contrast, noise and fineness of the image's content; nothing where there is too little of it.

    Parameters
    ----------
    pixels
        (rows, columns), any unit.
    floor
        Pixels not above it are background; tiles that have more than a quarter of it are left out.

    Returns
    -------
    dict
        `level`: median of the tiles' means; `contrast`: between the 5th and the 95th percentile of these; `noise`: the
        tiles' median standard deviation of fine detail; all in the unit of the pixels. `fineness`: in the tenth of the
        tiles with most detail, detail of one pixel as a share of that of two: 1 for white noise, less for anatomy and
        for a noise that a soft kernel has smoothed. It is no sharpness: blur that leaves the noise raises it.
    """
    if min(pixels.shape) < 2 * TILE:
        return {}
    tiles = _tiles(pixels)
    content = tiles[(tiles > floor).mean(axis=(1, 2)) >= 1 - BACKGROUND_SHARE]
    if len(content) < LEAST_TILES:
        return {}
    levels, fine = content.mean(axis=(1, 2)), _detail(content, 1)
    low, high = np.percentile(levels, (5, 95))
    measured = {
        "level": float(np.median(levels)),
        "contrast": float(high - low),
        "noise": _MAD * float(np.median(np.median(np.abs(fine), axis=1))),
        "fineness": _fineness(fine.std(axis=1), _detail(content, 2).std(axis=1)),
    }
    return {name: round(value, 6) for name, value in measured.items()}


def _tiles(pixels: Pixels) -> Pixels:
    """Return evenly spaced tiles, (GRID * GRID, TILE, TILE); they overlap where the image is small."""
    rows, columns = (np.linspace(0, size - TILE, GRID).astype(int) for size in pixels.shape)
    inside = np.arange(TILE)
    row = rows[:, None, None, None] + inside[None, None, :, None]
    column = columns[None, :, None, None] + inside[None, None, None, :]
    return pixels[row, column].reshape(-1, TILE, TILE)


def _detail(tiles: Pixels, step: int) -> NDArray[np.float64]:
    """Return each tile's second differences over `step` pixels, (tiles, pixels), scaled so that white noise stays."""
    inner = tiles[:, step:-step, step:-step].astype(np.float64)
    around = tiles[:, : -2 * step, step:-step] + tiles[:, 2 * step :, step:-step]
    around = around + tiles[:, step:-step, : -2 * step] + tiles[:, step:-step, 2 * step :]
    high = (4 * inner - around).reshape(len(tiles), -1) / np.sqrt(20)
    return np.asarray(high - np.median(high, axis=1, keepdims=True))


def _fineness(fine: NDArray[np.float64], coarse: NDArray[np.float64]) -> float:
    most = coarse >= np.quantile(coarse, 0.9)
    total = float(coarse[most].sum())
    return float(fine[most].sum()) / total if total > 0 else 0.0
