# SPDX-License-Identifier: Apache-2.0
"""Brings grey values to [0, 1] for a network: by percentiles inside the anatomy, or by a fixed CT window."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.imaging.percentiles import percentiles as percentiles_of


def normalise_in_mask(
    pixels: NDArray[Any],
    mask: NDArray[np.bool_],
    *,
    percentiles: tuple[float, float] = (1.0, 99.0),
) -> NDArray[np.float32]:
    """Map the percentiles of the values inside the mask to 0 and 1, clipped; air never takes part.

    An empty mask, or one of a single value, gives zeros.
    """
    inside = pixels[mask]
    if inside.size == 0:
        return np.zeros(pixels.shape, dtype=np.float32)
    low, high = percentiles_of(inside, percentiles)
    if high <= low:
        return np.zeros(pixels.shape, dtype=np.float32)
    return window_ct(pixels, low=float(low), high=float(high))


def window_ct(hounsfield: NDArray[Any], *, low: float, high: float) -> NDArray[np.float32]:
    """Map [low, high] (Hounsfield units for CT) to [0, 1], clipped."""
    shown: NDArray[np.float32] = np.clip(
        (hounsfield.astype(np.float32) - np.float32(low)) / np.float32(high - low), 0, 1
    )
    return shown
