# SPDX-License-Identifier: Apache-2.0
"""What the air of the lungs spans on each slice: lung without air may lie there, the chest wall and the abdomen do not.

A side without any air is spanned by the other one, mirrored; a slice without any by those above and below.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from service.imaging.masks import Mask
from service.pipelines.diffuse_lung.linking import is_linked
from service.pipelines.diffuse_lung.lungs import LEFT, RIGHT, Sides
from service.pipelines.diffuse_lung.packed import PackedMap

_REACH_MM: Final = 25.0
_GOOD_SHARE: Final = 1 / 3


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Spans:
    """The outlines of the lungs' air, a few hundred points (row, column) a slice, and which slices have much of it.

    `heights_mm` fall from the head to the feet. On slices too far apart to be compared each stands for itself.
    """

    outlines: tuple[NDArray[np.int16], ...]
    good: NDArray[np.intp]
    heights_mm: NDArray[np.float64]
    linked: bool
    shape: tuple[int, int]

    @classmethod
    def of(cls, aerated: Sequence[PackedMap], heights: Sequence[float], middles: Sequence[int]) -> "Spans":
        """Keep the outlines of slices from the head to the feet, each with its mirror image.

        The mirror stands in the middle of both lungs where both have air, else in that of the body, which an arm
        shifts.
        """
        outlines, areas = [], []
        for lungs, middle in zip(aerated, middles, strict=True):
            sides = lungs.values()
            outlines.append(_outline(sides > 0, _twice_the_middle(sides, middle)))
            areas.append(int(np.count_nonzero(sides)))
        return cls(
            outlines=tuple(outlines),
            good=np.flatnonzero(np.array(areas) >= max(1.0, _GOOD_SHARE * max(areas, default=0))),
            heights_mm=np.array(heights),
            linked=is_linked(heights),
            shape=aerated[0].shape if aerated else (0, 0),
        )

    def mask(self, index: int, *, margin_px: float) -> Mask:
        """Return the convex hull of the outlines that count for a slice, and `margin_px` around it.

        Those of slices within 25 mm count, and the nearest with at least a third of the largest area above and below,
        if there is one on either hand.
        """
        points = np.concatenate([self.outlines[other] for other in self._others(index)])
        return _hull(points, self.shape, margin_px=margin_px)

    def _others(self, index: int) -> list[int]:
        if not self.linked:
            return [index]
        near = np.flatnonzero(np.abs(self.heights_mm - self.heights_mm[index]) <= _REACH_MM).tolist()
        above, below = self.good[self.good < index], self.good[self.good > index]
        return sorted({*near, int(above[-1]), int(below[0])}) if above.size and below.size else near


def _twice_the_middle(sides: Sides, middle: int) -> int:
    right, left = (int(np.count_nonzero(sides == side)) for side in (RIGHT, LEFT))
    if min(right, left) < _GOOD_SHARE * max(right, left, 1):
        return 2 * middle
    columns = np.flatnonzero((sides > 0).any(axis=0))
    return int(columns[0] + columns[-1]) + 1


def _outline(mask: Mask, twice_the_middle: int) -> NDArray[np.int16]:
    """Return the first and the last column of each row, and the same mirrored."""
    rows = np.flatnonzero(mask.any(axis=1))
    lines = mask[rows]
    first, last = lines.argmax(axis=1), mask.shape[1] - 1 - lines[:, ::-1].argmax(axis=1)
    columns = np.concatenate([first, last, twice_the_middle - 1 - first, twice_the_middle - 1 - last])
    return np.stack([np.tile(rows, 4), columns], axis=1).astype(np.int16)


def _hull(points: NDArray[np.int16], shape: tuple[int, int], *, margin_px: float) -> Mask:
    """Fill the convex hull of points; nothing where they lie on one line."""
    inside = np.ones(shape, dtype=np.bool_)
    try:
        sides = ConvexHull(points).equations
    except (QhullError, ValueError):
        return np.zeros(shape, dtype=np.bool_)
    rows, columns = np.arange(shape[0])[:, None], np.arange(shape[1])[None, :]
    for down, across, offset in sides:
        inside &= down * rows + across * columns + offset <= margin_px
    return inside
