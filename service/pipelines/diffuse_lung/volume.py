# SPDX-License-Identifier: Apache-2.0
"""Settles over all slices what one slice cannot know: airways, stray air, sides, and depth under the pleura.

Only compressed maps are kept; every step looks at a slice and its neighbours.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from service.imaging.masks import Mask
from service.pipelines.diffuse_lung.airways import Airways, Level, trace_airways
from service.pipelines.diffuse_lung.dense import broad
from service.pipelines.diffuse_lung.depth import subpleural_masks
from service.pipelines.diffuse_lung.linking import agree_on_sides, count_jumps, drop_strays
from service.pipelines.diffuse_lung.lungs import AIRWAY, LEFT, LOST, RIGHT, Sides, Survey, refine
from service.pipelines.diffuse_lung.packed import PackedMap
from service.pipelines.diffuse_lung.spans import Spans

SUBPLEURAL: Final = 4
_REJOINED_PX: Final = 2
_LEAST_AIR_SHARE: Final = 0.05
_PLEURA_MM: Final = 4.0
"""So far outside of the span lung without air may reach: the span is that of what is left of the lungs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """What is kept of a slice after the first look: where it lies and its survey, compressed."""

    height_mm: float
    codes: PackedMap
    step: int
    middle_column: int

    @classmethod
    def of(cls, height_mm: float, found: Survey) -> "Surveyed":
        """Keep the survey of a slice."""
        codes = PackedMap.of(found.codes)
        return cls(height_mm=height_mm, codes=codes, step=found.step, middle_column=found.middle_column)


@dataclass(frozen=True, slots=True, kw_only=True)
class LungLevel:
    """The lungs of one slice as all slices together show them.

    `packed` holds, on the coarse grid, RIGHT or LEFT and the bit SUBPLEURAL.
    """

    packed: PackedMap
    step: int

    @classmethod
    def of(cls, sides: Sides, subpleural: Mask, step: int) -> "LungLevel":
        """Keep sides and shell of a slice."""
        marked = sides | np.where(subpleural & (sides > 0), SUBPLEURAL, 0)
        return cls(packed=PackedMap.of(marked.astype(np.uint8)), step=step)

    def sides(self, shape: tuple[int, int]) -> Sides:
        """Return the sides on the slice's own grid."""
        return refine(self.packed.values() & np.uint8(RIGHT | LEFT), self.step, shape=shape)

    def subpleural(self, shape: tuple[int, int]) -> Mask:
        """Return on the slice's own grid what lies close under the pleura."""
        return np.asarray(refine(self.packed.values() & np.uint8(SUBPLEURAL), self.step, shape=shape) > 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lungs:
    """The lungs of a series: one level for each slice, in the order of the survey.

    `dropped` counts slices from which a piece was taken that nothing above or below joins to the lungs, `relabelled`
    those where a piece changed sides, `jumps` the places where neighbouring slices of a lung hardly overlap.
    """

    levels: tuple[LungLevel, ...]
    airways: Airways
    dropped: int = 0
    relabelled: int = 0
    jumps: int = 0


def settle(surveyed: Sequence[Surveyed], *, pixel_mm: float, shell_mm: float) -> Lungs:
    """Return the lungs of slices that lie in order from the head to the feet.

    Parameters
    ----------
    pixel_mm
        Pixel size of the slices' own grid.
    shell_mm
        Thickness of the layer under the pleura.
    """
    heights = [item.height_mm for item in surveyed]
    coarse_mm = pixel_mm * surveyed[0].step if surveyed else pixel_mm
    airways = trace_airways([_level(item) for item in surveyed], pixel_mm=coarse_mm)
    aerated = [PackedMap.of(_without_airways(item, airways, index)) for index, item in enumerate(surveyed)]
    first = list(_with_lost(aerated, surveyed, airways, coarse_mm=coarse_mm))
    joined, dropped = drop_strays(first, heights)
    agreed, relabelled = agree_on_sides(joined, heights)
    shells = subpleural_masks(agreed, airways.masks, heights, coarse_mm=coarse_mm, shell_mm=shell_mm)
    levels = [
        LungLevel.of(sides.values(), shell, item.step)
        for sides, shell, item in zip(agreed, shells, surveyed, strict=True)
    ]
    jumps = count_jumps(agreed, heights)
    return Lungs(levels=tuple(levels), airways=airways, dropped=dropped, relabelled=relabelled, jumps=jumps)


def _with_lost(
    aerated: Sequence[PackedMap], surveyed: Sequence[Surveyed], airways: Airways, *, coarse_mm: float
) -> Iterator[PackedMap]:
    """Add lung without air that was seen inside what the lungs' air spans.

    Not on a side without air anywhere: that is fluid as often as consolidation, and the series is refused (`one_lung`).
    """
    wanted = _aerated_sides(aerated)
    heights, middles = [item.height_mm for item in surveyed], [item.middle_column for item in surveyed]
    spans = Spans.of(aerated, heights, middles)
    for index, (lungs, item) in enumerate(zip(aerated, surveyed, strict=True)):
        lost = (item.codes.values() >> LOST) & np.uint8(RIGHT | LEFT)
        lost[~np.isin(lost, wanted)] = 0
        if not lost.any():
            yield lungs
            continue
        sides = lungs.values()
        spanned = (lost > 0) & (sides == 0) & spans.mask(index, margin_px=_PLEURA_MM / coarse_mm)
        added = np.where(broad(spanned, pixel_mm=coarse_mm), lost, 0)
        if airways.found:
            added[airways.masks[index].values() > 0] = 0
        yield PackedMap.of(sides | added)


def _aerated_sides(aerated: Sequence[PackedMap]) -> list[int]:
    """Return the sides, RIGHT and LEFT, that hold a twentieth of all the air found at least."""
    counts = {side: sum(int(np.count_nonzero(lungs.values() == side)) for lungs in aerated) for side in (RIGHT, LEFT)}
    return [side for side, count in counts.items() if count > _LEAST_AIR_SHARE * sum(counts.values())]


def _level(item: Surveyed) -> Level:
    return Level(codes=item.codes, height_mm=item.height_mm, middle_column=item.middle_column)


def _without_airways(item: Surveyed, airways: Airways, index: int) -> Sides:
    """Take the traced airways out of the lungs, and give back what one slice alone took for an airway and is none."""
    codes = item.codes.values()
    sides = np.asarray(codes & (RIGHT | LEFT))
    if not airways.found:
        return sides
    traced = airways.masks[index].values() > 0
    returned = _returned((codes & AIRWAY) > 0, sides, traced)
    return np.where(traced, 0, np.maximum(sides, returned)).astype(np.uint8)


def _returned(airway: Mask, sides: Sides, traced: Mask) -> Sides:
    """Return pieces that are no airway and that lung surrounds, with the side of that lung."""
    given = np.zeros_like(sides)
    labels, count = ndimage.label(airway)
    for piece in range(1, count + 1):
        own = labels == piece
        ring = ndimage.binary_dilation(own, iterations=_REJOINED_PX) & ~own
        around = np.bincount(sides[ring], minlength=3)
        if not (own & traced).any() and around[1:].sum() > around[0]:
            given[own] = RIGHT if around[RIGHT] >= around[LEFT] else LEFT
    return given
