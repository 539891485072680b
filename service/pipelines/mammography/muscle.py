# SPDX-License-Identifier: Apache-2.0
"""Finds the pectoral muscle of an oblique view: the straight edge that bounds the bright upper corner best."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from service.imaging.masks import Mask

_SMOOTH_MM: Final = 1.0
_ASIDE_MM: Final = 2.0
"""How far from the edge, on either side, the grey values are compared."""
_SAMPLES: Final = np.linspace(0.08, 0.8, 40)
"""Where along the edge, as shares of its length from the upper end: its lower end fades into the gland."""
_WIDTHS_MM: Final = (12.0, 90.0)
_ANGLES_DEGREES: Final = (8.0, 50.0)
"""Between the muscle's edge and the chest wall."""
_STEP_MIN: Final = 0.02
"""Least step of display grey from the muscle outwards that counts as an edge."""
_SEEN_MIN: Final = 0.7
"""Least share of samples with such a step."""
_QUALITY_MIN: Final = 10.0
"""Median step over its own spread, times the root of the length in mm; 16 of 16 cranio-caudal phantoms stay below 6."""


def find_muscle(grey: NDArray[np.float32], mask: Mask, *, spacing_mm: float) -> Mask | None:
    """Return where the muscle lies; None when no edge is clear enough, as where the view does not reach it.

    Parameters
    ----------
    grey, mask
        (rows, columns), high is dense, chest wall on the left, head up; the mask is the breast's and not empty.

    Notes
    -----
    Every line from the upper edge to the chest wall is tried at steps of 1 and 2 mm, as in the straight-line stage of
    Karssemeijer 1998, Phys Med Biol 43:365.
    """
    top, length, depth = _extent(mask)
    ends = _candidates(length * spacing_mm, depth * spacing_mm) / spacing_mm
    if not ends.size:
        return None
    quality = _qualities(ndimage.gaussian_filter(grey, _SMOOTH_MM / spacing_mm), mask, ends, top=top, mm=spacing_mm)
    best = int(np.argmax(quality))
    if quality[best] < _QUALITY_MIN:
        return None
    return _below(ends[best], mask, top=top)


def _extent(mask: Mask) -> tuple[int, int, int]:
    """Return the first row of the mask, its number of rows and its last column."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1] - rows[0]), int(columns[-1])


def _candidates(length_mm: float, depth_mm: float) -> NDArray[np.float64]:
    """Return (N, 2): width at the upper edge and length along the chest wall, in mm."""
    widths = np.arange(_WIDTHS_MM[0], min(0.75 * depth_mm, _WIDTHS_MM[1]), 1.0)
    lengths = np.arange(30.0, 0.85 * length_mm, 2.0)
    ends = np.stack(np.meshgrid(widths, lengths, indexing="ij"), axis=-1).reshape(-1, 2)
    angles = np.degrees(np.arctan2(ends[:, 0], ends[:, 1]))
    return np.asarray(ends[(angles > _ANGLES_DEGREES[0]) & (angles < _ANGLES_DEGREES[1])], dtype=np.float64)


def _qualities(
    smooth: NDArray[np.float32], mask: Mask, ends: NDArray[np.float64], *, top: int, mm: float
) -> NDArray[np.float64]:
    """Return how clear the edge is along each line (N,), 0 where too little of it is an edge at all."""
    width, length = ends[:, :1], ends[:, 1:]
    row, column = top + length * _SAMPLES, width * (1 - _SAMPLES)
    across = np.concatenate([width, length], axis=1) / np.hypot(width, length)  # (rows, columns) of the unit normal
    aside = _ASIDE_MM / mm

    def at(values: NDArray[np.float32], offset: float, order: int) -> NDArray[np.float32]:
        places = [row + across[:, :1] * offset, column + across[:, 1:] * offset]
        return np.asarray(ndimage.map_coordinates(values, places, order=order, mode="nearest"), dtype=np.float32)

    in_breast = at(mask.astype(np.float32), aside, 0) > 0.5
    step = np.where(in_breast, at(smooth, -aside, 1) - at(smooth, aside, 1), 0)
    quality = np.median(step, axis=1) / (_STEP_MIN + step.std(axis=1)) * np.sqrt(ends[:, 1] * mm)
    return np.asarray(np.where((step > _STEP_MIN).mean(axis=1) > _SEEN_MIN, quality, 0.0), dtype=np.float64)


def _below(end: NDArray[np.float64], mask: Mask, *, top: int) -> Mask:
    width, length = end
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    corner: Mask = (columns < width * (1 - (rows - top) / length)) & mask
    return corner
