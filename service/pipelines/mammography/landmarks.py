# SPDX-License-Identifier: Apache-2.0
"""What a view is measured by: the nipple, the pectoral muscle, and how much of the breast is dense."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from service.domain.image import Point
from service.imaging.masks import Mask
from service.imaging.morphology import within
from service.pipelines.mammography.muscle import find_muscle

_NIPPLE_MM: Final = 2.0
"""What lies within this distance of the outline's farthest point is taken for the nipple."""
_SKIN_MM: Final = 8.0
"""Where the breast thins out and its skin lies; left out of the measure of density."""
_SMOOTH_MM: Final = 1.0
_FAT_PERCENTILE: Final = 2.0
_GLAND_PERCENTILE: Final = 99.9
_DENSE: Final = 0.3
"""Share of the way from fat to the densest tissue from which on a place counts as dense.

Tuned on 80 phantom views with drawn scanners, against the share where more than 0.15 of the path is gland: rank
correlation 0.89, 5 points too high on average with a standard deviation of 8.
"""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Landmarks:
    """The measures of a view.

    `nipple` is (x, y) in pixels of the picture; `muscle` is None where none was found, as in cranio-caudal views;
    `dense_share` in [0, 1] is the share of dense places in the breast without skin and muscle, None where nothing of
    it is left; `dense_cm2` is their area.
    """

    nipple: Point
    muscle: Mask | None
    dense_share: float | None
    dense_cm2: float


def find_landmarks(grey: NDArray[np.float32], mask: Mask, *, view: str, spacing_mm: float) -> Landmarks:
    """Measure a view; `grey` and `mask` as in `BreastPicture`, chest wall on the left; the mask is not empty."""
    muscle = find_muscle(grey, mask, spacing_mm=spacing_mm) if view == "MLO" else None
    inner = _inner(mask, muscle, spacing_mm=spacing_mm)
    share = _dense_share(grey, inner, spacing_mm=spacing_mm)
    area = 0.0 if share is None else share * int(inner.sum()) * spacing_mm**2 / 100
    nipple = find_nipple(mask, spacing_mm=spacing_mm)
    return Landmarks(nipple=nipple, muscle=muscle, dense_share=share, dense_cm2=area)


def find_nipple(mask: Mask, *, spacing_mm: float) -> Point:
    """Return the middle of the outline's part that is farthest from the chest wall, which is the left edge."""
    rows, columns = np.nonzero(mask)
    far = columns >= columns.max() - _NIPPLE_MM / spacing_mm
    return float(columns[far].max() + 1), float(rows[far].mean() + 0.5)


def _inner(mask: Mask, muscle: Mask | None, *, spacing_mm: float) -> Mask:
    """Return the breast without skin and muscle; the picture's left edge, the chest wall, is no skin."""
    framed = np.pad(mask, ((1, 1), (0, 1)))
    inner = ~within(~framed, _SKIN_MM / spacing_mm)[1:-1, :-1]
    if muscle is None:
        return inner
    return np.logical_and(inner, ~within(muscle, _SKIN_MM / 2 / spacing_mm))


def _dense_share(grey: NDArray[np.float32], inner: Mask, *, spacing_mm: float) -> float | None:
    if not inner.any():
        return None
    values = ndimage.gaussian_filter(grey, _SMOOTH_MM / spacing_mm)[inner]
    fat, gland = np.percentile(values, [_FAT_PERCENTILE, _GLAND_PERCENTILE])
    return float((values > fat + _DENSE * (gland - fat)).mean())
