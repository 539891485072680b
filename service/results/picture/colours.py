# SPDX-License-Identifier: Apache-2.0
"""The colours of a heatmap: a perceptual map from 0 to 1, and the blend that keeps anatomy visible under it."""

import numpy as np
from numpy.typing import NDArray

ANCHORS = np.array(
    [
        (48, 18, 90),
        (86, 21, 110),
        (136, 34, 106),
        (186, 54, 85),
        (227, 89, 51),
        (249, 140, 10),
        (249, 201, 50),
        (252, 255, 164),
    ],
    dtype=np.float32,
)
"""Eight steps after "inferno" (lightness rises evenly, readable with any colour vision), without its black end."""
STRONGEST = 0.62
"""Opacity where the map is 1: the grey image below still shows through."""
FULL_AT = 0.35
"""Map value from which the opacity is the strongest; below it the colour fades out towards 0."""

Grey = NDArray[np.uint8]
Picture = NDArray[np.uint8]


def colour(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the RGB colours (..., 3) in 0..255 of map values in [0, 1]."""
    steps = np.linspace(0, 1, len(ANCHORS))
    channels = [np.interp(values, steps, ANCHORS[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def blend(base: Grey, overlay: NDArray[np.float32]) -> Picture:
    """Return the grey base (rows, columns) with the map over it, as RGB."""
    values = np.fmin(np.fmax(overlay, 0), 1)  # not a number is not shown
    mixed = np.repeat(base[..., np.newaxis], 3, axis=-1)
    is_shown = values > 0  # a small part of most pictures
    shown = values[is_shown]
    opacity = (STRONGEST * np.minimum(shown / FULL_AT, 1))[..., np.newaxis]
    grey = base[is_shown][..., np.newaxis]
    mixed[is_shown] = np.rint(grey * (1 - opacity) + colour(shown) * opacity).astype(np.uint8)
    return mixed


def bar(width: int, height: int) -> Picture:
    """Return the legend's colour bar, 0 on the left and 1 on the right."""
    row = colour(np.linspace(0, 1, width, dtype=np.float32))
    return np.rint(np.broadcast_to(row, (height, width, 3))).astype(np.uint8)
