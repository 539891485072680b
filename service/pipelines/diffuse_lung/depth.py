# SPDX-License-Identifier: Apache-2.0
"""How deep lung lies under the pleura: a distance transform in mm over a slice and those near it."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from service.imaging.masks import Mask
from service.pipelines.diffuse_lung.packed import PackedMap

SUBPLEURAL_SHELL, CENTRAL_SHELL = 0, 1
SHELLS: Final = ("subpleural", "central")
_RING_PX: Final = 2


def subpleural_masks(
    sides: Sequence[PackedMap],
    airways: Sequence[PackedMap],
    heights: Sequence[float],
    *,
    coarse_mm: float,
    shell_mm: float,
) -> Iterator[Mask]:
    """Yield for each slice what lies at most `shell_mm` from the outside of its lung, in three dimensions.

    The squared distance in space is the least, over the slices near by, of the squared distance within one plus that
    between the two (Felzenszwalb and Huttenlocher 2012). The wall of an airway is not pleura; where both lungs touch is
    pleura. Beyond the first and the last slice nothing is known, and nothing is assumed.
    """
    flat = _Flat(sides, airways, coarse_mm=coarse_mm)
    lowest = 0
    for index, height in enumerate(heights):
        while heights[lowest] - height > shell_mm:
            flat.forget(lowest)
            lowest += 1
        shell = np.zeros(sides[index].shape, dtype=np.bool_)
        for other in _from(lowest, heights, down_to=height - shell_mm):
            shell |= flat.squared_mm2(other) + np.float32((heights[other] - height) ** 2) <= shell_mm**2
        yield shell


def _from(first: int, heights: Sequence[float], *, down_to: float) -> Iterator[int]:
    index = first
    while index < len(heights) and heights[index] >= down_to:
        yield index
        index += 1


class _Flat:
    """Squared distances within slices, each computed once and forgotten when the window has gone by."""

    def __init__(self, sides: Sequence[PackedMap], airways: Sequence[PackedMap], *, coarse_mm: float) -> None:
        self._sides = sides
        self._airways = airways
        self._coarse_mm = coarse_mm
        self._known: dict[int, NDArray[np.float32]] = {}

    def squared_mm2(self, index: int) -> NDArray[np.float32]:
        """Return the squared distance of each pixel to the nearest one outside the lung."""
        if index not in self._known:
            inside = _inside(self._sides[index].values(), self._airways[index].values() > 0)
            distance = ndimage.distance_transform_edt(inside) * self._coarse_mm
            self._known[index] = np.square(distance).astype(np.float32)
        return self._known[index]

    def forget(self, index: int) -> None:
        """Let a slice go."""
        self._known.pop(index, None)


def _inside(sides: NDArray[np.uint8], airway: Mask) -> Mask:
    """Return both lungs with the airways that they enclose, without the line where the lungs touch."""
    lung = sides > 0
    inside = lung | _enclosed(airway, lung)
    touching = (sides[:, :-1] != sides[:, 1:]) & lung[:, :-1] & lung[:, 1:]
    inside[:, :-1][touching] = False
    return np.asarray(inside)


def _enclosed(airway: Mask, lung: Mask) -> Mask:
    """Return the pieces of airway that have more lung around them than anything else."""
    labels, count = ndimage.label(airway)
    enclosed = np.zeros_like(lung)
    for piece in range(1, count + 1):
        own = labels == piece
        ring = ndimage.binary_dilation(own, iterations=_RING_PX) & ~own
        if 2 * np.count_nonzero(lung & ring) > np.count_nonzero(ring):
            enclosed |= own
    return enclosed
