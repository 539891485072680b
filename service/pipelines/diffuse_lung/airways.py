# SPDX-License-Identifier: Apache-2.0
"""Traces the airways from the trachea down through the slices, and finds where the trachea divides (the carina).

Region growing over slices: what is traced in one slice continues in the pieces of nearly pure air that it touches in
the next. A piece that is suddenly much larger is a leak into emphysema or bowel and is not followed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from service.imaging.masks import Mask
from service.pipelines.diffuse_lung.lungs import LUMEN
from service.pipelines.diffuse_lung.packed import PackedMap

LARGEST_GAP_MM: Final = 12.0
"""Slices further apart than this are not linked: a main bronchus would have left its place."""
_TRACHEA_CM2: Final = (0.8, 7.0)
_TRACHEA_REACH_MM: Final = 30.0
_SHORTEST_TRACHEA_MM: Final = 20.0
_ROUND: Final = 0.55
_GROWTH: Final = 1.6
_GROWTH_CM2: Final = 0.6
_WALL_MM: Final = 2.4
_SMALLEST_BRANCH_CM2: Final = 0.3
_APART_MM: Final = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What the tracing needs of one slice, from the head to the feet."""

    codes: PackedMap
    height_mm: float
    middle_column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Airways:
    """The airways of a series.

    `masks` hold lumen and wall (1) for each slice, `traced` says how many slices have any. `carina_mm` is the height at
    which the trachea divides, between two slices; None when that was not seen. `leaks` counts pieces not followed.
    """

    masks: tuple[PackedMap, ...]
    traced: int
    carina_mm: float | None
    leaks: int

    @property
    def found(self) -> bool:
        """Whether a trachea was there to start from."""
        return self.traced > 0


def trace_airways(levels: Sequence[Level], *, pixel_mm: float) -> Airways:
    """Trace the airways from the highest trachea that goes on for at least 20 mm; nothing when there is none."""
    for start, level in enumerate(levels):
        for seed in _tracheas(level, pixel_mm):
            trace = _Trace(levels, pixel_mm)
            trace.follow(start, seed)
            if trace.length_mm >= _SHORTEST_TRACHEA_MM:
                return trace.airways()
    return Airways(masks=_blank(levels, {}), traced=0, carina_mm=None, leaks=0)


def _blank(levels: Sequence[Level], found: dict[int, PackedMap]) -> tuple[PackedMap, ...]:
    nothing = PackedMap.of(np.zeros(levels[0].codes.shape, dtype=np.uint8)) if levels else None
    return tuple(found.get(index, nothing) for index in range(len(levels)) if nothing is not None)


def _pieces(level: Level) -> tuple[NDArray[np.int32], int]:
    labels, count = ndimage.label(level.codes.values() & LUMEN)
    return labels, int(count)


def _tracheas(level: Level, pixel_mm: float) -> list[Mask]:
    """Return pieces that look like a trachea: round, of its size, and in the middle; the most central first."""
    labels, count = _pieces(level)
    found: list[tuple[float, Mask]] = []
    for piece, box in enumerate(ndimage.find_objects(labels), start=1):
        mask = labels[box] == piece
        area = float(mask.sum()) * pixel_mm**2 / 100
        off = abs((box[1].start + box[1].stop) / 2 - level.middle_column) * pixel_mm
        tall, wide = mask.shape
        is_round = mask.mean() > _ROUND and 0.5 <= tall / wide <= 2.5
        if _TRACHEA_CM2[0] <= area <= _TRACHEA_CM2[1] and off <= _TRACHEA_REACH_MM and is_round:
            found.append((off, labels == piece))
    return [mask for _, mask in sorted(found, key=lambda each: each[0])][:2] if count else []


class _Trace:
    """One tracing: the lumen of each slice, and where it became two."""

    def __init__(self, levels: Sequence[Level], pixel_mm: float) -> None:
        self._levels = levels
        self._pixel_mm = pixel_mm
        self._found: dict[int, PackedMap] = {}
        self._first = self._last = 0
        self._carina_mm: float | None = None
        self._leaks = 0

    @property
    def length_mm(self) -> float:
        """How far down the tracing went."""
        return self._levels[self._first].height_mm - self._levels[self._last].height_mm

    def airways(self) -> Airways:
        """Return what was traced."""
        masks = _blank(self._levels, self._found)
        return Airways(masks=masks, traced=len(self._found), carina_mm=self._carina_mm, leaks=self._leaks)

    def follow(self, start: int, lumen: Mask) -> None:
        """Go down from a piece in slice `start` until nothing continues it."""
        self._first = self._last = start
        self._keep(start, lumen)
        for index in range(start + 1, len(self._levels)):
            gap_mm = self._levels[index - 1].height_mm - self._levels[index].height_mm
            lower = self._next(index, lumen, gap_mm) if gap_mm <= LARGEST_GAP_MM else None
            if lower is None:
                return
            self._look_for_carina(index, lower)
            lumen = lower
            self._last = index
            self._keep(index, lumen)

    def _next(self, index: int, upper: Mask, gap_mm: float) -> Mask | None:
        """Return the pieces of a slice that continue the lumen above; None when there are none."""
        labels, _ = _pieces(self._levels[index])
        reach = max(1, round(0.5 * gap_mm / self._pixel_mm))
        touched = np.unique(labels[ndimage.binary_dilation(upper, iterations=reach)])
        kept = [piece for piece in touched[touched > 0] if self._continues(labels == piece, upper, reach)]
        return np.isin(labels, kept) if kept else None

    def _continues(self, piece: Mask, upper: Mask, reach: int) -> bool:
        near = upper & ndimage.binary_dilation(piece, iterations=reach)
        largest = _GROWTH * self._cm2(near) + _GROWTH_CM2
        if self._cm2(piece) > largest:
            self._leaks += 1
            return False
        return True

    def _look_for_carina(self, index: int, lumen: Mask) -> None:
        if self._carina_mm is None and self._is_divided(lumen):
            self._carina_mm = (self._levels[index - 1].height_mm + self._levels[index].height_mm) / 2

    def _is_divided(self, lumen: Mask) -> bool:
        """Whether two branches lie beside each other, on both sides of their middle."""
        branches = self._branches(lumen)
        return len(branches) > 1 and (max(branches) - min(branches)) * self._pixel_mm >= _APART_MM

    def _branches(self, lumen: Mask) -> list[float]:
        """Return the middle column of each branch that is large enough to be a bronchus."""
        labels, count = ndimage.label(lumen)
        pieces = [labels == piece for piece in range(1, count + 1)]
        large = [piece for piece in pieces if self._cm2(piece) >= _SMALLEST_BRANCH_CM2]
        return [float(np.flatnonzero(piece.any(axis=0)).mean()) for piece in large]

    def _keep(self, index: int, lumen: Mask) -> None:
        walled = ndimage.binary_dilation(lumen, iterations=max(1, round(_WALL_MM / self._pixel_mm)))
        self._found[index] = PackedMap.of(walled.astype(np.uint8))

    def _cm2(self, mask: Mask) -> float:
        return float(np.count_nonzero(mask)) * self._pixel_mm**2 / 100
