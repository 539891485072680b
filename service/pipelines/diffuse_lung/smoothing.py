# SPDX-License-Identifier: Apache-2.0
"""A mode filter over the tiles of a slice and its neighbours: what stands alone among others takes their class."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

Classes = NDArray[np.int16]
_OWN_VOTES: Final = 2


def smooth_classes(maps: Sequence[Classes], heights: Sequence[float], *, reach_mm: float) -> list[Classes]:
    """Return the maps of tiles after one pass; the maps given are all read before any is changed.

    The four tiles beside a tile, and those above and below it in slices at most `reach_mm` away, have one vote each,
    the tile itself has two; the class with most votes wins, the tile's own in a draw.

    Parameters
    ----------
    maps
        (tile rows, tile columns) class of each tile, -1 outside the lungs, in order from the head to the feet. All of
        one shape, or the neighbour of another shape is not asked.
    """
    return [_smoothed(each, _beside(index, maps, heights, reach_mm)) for index, each in enumerate(maps)]


def _beside(index: int, maps: Sequence[Classes], heights: Sequence[float], reach_mm: float) -> list[Classes]:
    around = [other for other in (index - 1, index + 1) if 0 <= other < len(maps)]
    near = [other for other in around if abs(heights[other] - heights[index]) <= reach_mm]
    return [maps[other] for other in near if maps[other].shape == maps[index].shape]


def _smoothed(own: Classes, near: Sequence[Classes]) -> Classes:
    padded = np.pad(own, 1, constant_values=-1)
    voters = [padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:], *near]
    classes = np.unique(own[own >= 0])
    if classes.size == 0:
        return own
    votes = np.stack([np.sum([voter == each for voter in voters], axis=0) for each in classes]).astype(np.int16)
    votes += np.where(own == classes[:, None, None], _OWN_VOTES, 0).astype(np.int16)
    best = votes.argmax(axis=0)
    own_votes = np.take_along_axis(votes, np.searchsorted(classes, np.maximum(own, classes[0]))[None], axis=0)[0]
    wins = (own >= 0) & (votes.max(axis=0) > own_votes)
    return np.where(wins, classes[best], own).astype(np.int16)
