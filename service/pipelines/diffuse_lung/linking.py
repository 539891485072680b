# SPDX-License-Identifier: Apache-2.0
"""Compares the lungs of neighbouring slices: strays are dropped, sides agreed on, jumps counted."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from service.pipelines.diffuse_lung.airways import LARGEST_GAP_MM
from service.pipelines.diffuse_lung.lungs import LEFT, RIGHT, Sides
from service.pipelines.diffuse_lung.packed import PackedMap

_SMALLEST_PART: Final = 0.05
_JUMP_OVERLAP: Final = 0.6
_JUMP_SHARE: Final = 0.3
_MOST_PIECES: Final = 255


def is_linked(heights: Sequence[float]) -> bool:
    """Say whether all slices lie close enough to their neighbours to be compared with them."""
    return all(upper - lower <= LARGEST_GAP_MM for upper, lower in pairwise(heights))


def drop_strays(sides: Sequence[PackedMap], heights: Sequence[float]) -> tuple[list[PackedMap], int]:
    """Drop pieces that no chain of overlapping slices joins to a part of at least a twentieth of the largest.

    Returns
    -------
    tuple
        The maps, and from how many slices something was dropped. Slices far apart are left as they are: there, a piece
        in one slice only is no stray.
    """
    if not is_linked(heights):
        return list(sides), 0
    labelled = [_labelled(each) for each in sides]
    groups = _Groups()
    for index, each in enumerate(labelled):
        for piece, area in enumerate(np.bincount(each.values().ravel()).tolist()[1:], start=1):
            groups.add((index, piece), area)
    for index, (upper, lower) in enumerate(pairwise(labelled)):
        for above, below in _touching(upper.values(), lower.values()):
            groups.join((index, above), (index + 1, below))
    return _kept_parts(sides, labelled, groups)


def _labelled(sides: PackedMap) -> PackedMap:
    labels, _ = ndimage.label(sides.values())
    return PackedMap.of(np.minimum(labels, _MOST_PIECES).astype(np.uint8))


def _kept_parts(
    sides: Sequence[PackedMap], labelled: Sequence[PackedMap], groups: "_Groups"
) -> tuple[list[PackedMap], int]:
    least = _SMALLEST_PART * groups.largest
    kept, dropped = [], 0
    for index, (each, pieces) in enumerate(zip(sides, labelled, strict=True)):
        labels = pieces.values()
        numbers = np.unique(labels[labels > 0]).tolist()
        strays = [piece for piece in numbers if groups.size((index, piece)) < least]
        dropped += bool(strays)
        kept.append(PackedMap.of(np.where(np.isin(labels, strays), 0, each.values())) if strays else each)
    return kept, dropped


def _touching(upper: NDArray[np.uint8], lower: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    found = np.flatnonzero(np.bincount(upper.ravel() * np.intp(_MOST_PIECES + 1) + lower.ravel()))
    pairs = (divmod(pair, _MOST_PIECES + 1) for pair in found.tolist())
    yield from ((above, below) for above, below in pairs if above and below)


class _Groups:
    """Pieces of slices that belong together (union-find), and how large the whole is."""

    def __init__(self) -> None:
        self._parent: dict[tuple[int, int], tuple[int, int]] = {}
        self._size: dict[tuple[int, int], float] = {}

    def add(self, piece: tuple[int, int], size: float) -> None:
        self._parent[piece] = piece
        self._size[piece] = size

    def join(self, one: tuple[int, int], other: tuple[int, int]) -> None:
        first, second = sorted((self._root(one), self._root(other)))
        if first != second:
            self._parent[second] = first
            self._size[first] += self._size.pop(second)

    def size(self, piece: tuple[int, int]) -> float:
        return self._size[self._root(piece)]

    @property
    def largest(self) -> float:
        return max(self._size.values(), default=0.0)

    def _root(self, piece: tuple[int, int]) -> tuple[int, int]:
        while self._parent[piece] != piece:
            self._parent[piece] = self._parent[self._parent[piece]]
            piece = self._parent[piece]
        return piece


def agree_on_sides(sides: Sequence[PackedMap], heights: Sequence[float]) -> tuple[list[PackedMap], int]:
    """Let the neighbours of a slice vote on the side of each piece, then of each pixel.

    Returns
    -------
    tuple
        The maps, and in how many slices something changed sides.
    """
    agreed, changed = [], 0
    for index, each in enumerate(sides):
        own = each.values()
        voted = _voted(own, [sides[other].values() for other in _neighbours(index, heights)])
        changed += bool((voted != own).any())
        agreed.append(PackedMap.of(voted))
    return agreed, changed


def _neighbours(index: int, heights: Sequence[float]) -> list[int]:
    around = [other for other in (index - 1, index + 1) if 0 <= other < len(heights)]
    return [other for other in around if abs(heights[other] - heights[index]) <= LARGEST_GAP_MM]


def _voted(own: Sides, near: Sequence[Sides]) -> Sides:
    """Return the sides after the vote: against its own, a piece needs two thirds, a pixel all of two neighbours."""
    result = own.copy()
    votes = {side: np.sum([each == side for each in near], axis=0) for side in (RIGHT, LEFT)} if near else {}
    for side, other in ((RIGHT, LEFT), (LEFT, RIGHT)):
        if not votes:
            break
        labels, count = ndimage.label(own == side)
        for piece in range(1, count + 1):
            mask = labels == piece
            if votes[other][mask].sum() > 2 * votes[side][mask].sum():
                result[mask] = other
        if len(near) > 1:
            result[(result == side) & (votes[other] == len(near))] = other
    return result


def count_jumps(sides: Sequence[PackedMap], heights: Sequence[float]) -> int:
    """Count neighbouring slices of a lung, each with a good part of its largest area, that hardly overlap."""
    return sum(_jumps(sides, heights, side) for side in (RIGHT, LEFT))


def _jumps(sides: Sequence[PackedMap], heights: Sequence[float], side: int) -> int:
    areas = [int(np.count_nonzero(each.values() == side)) for each in sides]
    least = _JUMP_SHARE * max(areas, default=0)
    jumps = 0
    for index in range(1, len(sides)):
        smaller = min(areas[index - 1], areas[index])
        if smaller > least and heights[index - 1] - heights[index] <= LARGEST_GAP_MM:
            both = (sides[index - 1].values() == side) & (sides[index].values() == side)
            jumps += int(np.count_nonzero(both) < _JUMP_OVERLAP * smaller)
    return jumps
