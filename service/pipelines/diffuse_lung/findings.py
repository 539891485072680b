# SPDX-License-Identifier: Apache-2.0
"""Turns lung by pattern, side and zone into coded findings, each anchored to a box on its key slice."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from service.codes import Code, code, private, sct
from service.domain.image import Box
from service.domain.result import Finding, Measurement, Presence, Region
from service.pipelines.diffuse_lung.extent import SIDES, SliceExtent
from service.pipelines.diffuse_lung.lung_extent import LungExtent
from service.pipelines.diffuse_lung.patches import PatchRecipe
from service.pipelines.diffuse_lung.patterns import Pattern
from service.pipelines.diffuse_lung.zones import ZONES

_LUNG: Final = sct("39607008")
_LATERALITY: Final = (sct("24028007"), sct("7771000"))
_BOTH: Final = sct("51440002")
_INTERSTITIAL_LUNG_DISEASE: Final = sct("233703007")
_EXTENT: Final = private("EXT-PCT")
_PERCENT: Final = code("UCUM", "%")
_ZONE_NAMES: Final = ("upper", "middle", "lower")
_SIDE_NAMES: Final = ("right", "left")


def reported(extent: LungExtent, patterns: Sequence[Pattern]) -> tuple[int, ...]:
    """Return the abnormal patterns at or above their cut-off, the largest first."""
    percents = {index: extent.percent(index) for index in range(1, len(patterns))}
    above = [index for index, percent in percents.items() if percent >= patterns[index].least_percent]
    return tuple(sorted(above, key=lambda index: (-percents[index], index)))


def make_findings(extent: LungExtent, patterns: Sequence[Pattern], *, recipe: PatchRecipe) -> tuple[Finding, ...]:
    """Return for each reported pattern one finding for the lungs, then one for each zone that has it.

    None has a score: a share of the lung is an extent, which a report must not call the certainty of a finding.
    """
    return tuple(
        finding
        for index in reported(extent, patterns)
        for finding in (
            _overall(extent, index, patterns[index], recipe=recipe),
            *_by_zone(extent, index, patterns[index], recipe=recipe),
        )
    )


def pattern_key(pattern: Pattern) -> str:
    """Return the key of a pattern's finding for the lungs, which its segment shares."""
    return f"pattern-{pattern.name.replace('_', '-')}"


def absent(extent: LungExtent, *, recipe: PatchRecipe) -> Finding:
    """Return the one finding of a study without any: absent, anchored to the lungs on their largest slice."""
    section = max(extent.slices, key=lambda each: each.area_px)
    return Finding(
        key="diffuse-lung",
        label="No diffuse lung pattern above its cut-off",
        finding=_INTERSTITIAL_LUNG_DISEASE,
        presence=Presence.ABSENT,
        region=_region(section, _grid_box(section.classes >= 0, recipe)),
        site=_LUNG,
        laterality=_BOTH,
        measurements=(_percent(100 * extent.abnormal_share),),
    )


def key_slice(sections: Sequence[SliceExtent], pattern: int, *, side: int | None = None) -> SliceExtent:
    """Return the slice with most of the pattern; of equals, the one nearest to the head."""
    sides = slice(None) if side is None else slice(side, side + 1)
    return max(sections, key=lambda section: float(section.counts[sides, pattern].sum()))


def pattern_box(section: SliceExtent, pattern: int, *, recipe: PatchRecipe) -> Box:
    """Return the box, on the upright slice, around the largest connected part of a pattern."""
    return section.to_upright.box(_grid_box(_largest(section, pattern), recipe))


def _overall(extent: LungExtent, index: int, pattern: Pattern, *, recipe: PatchRecipe) -> Finding:
    section = key_slice(extent.slices, index)
    percent = extent.percent(index)
    return Finding(
        key=pattern_key(pattern),
        label=f"{pattern.title}: {percent:.0f} % of lung",
        finding=pattern.code,
        presence=Presence.PRESENT,
        region=_region(section, _grid_box(_largest(section, index), recipe)),
        site=_LUNG,
        laterality=_laterality(extent, index),
        measurements=(_percent(percent),),
    )


def _laterality(extent: LungExtent, index: int) -> Code:
    """Return right or left when a pattern lies there nearly alone (at least 95 %), else both."""
    by_side = extent.counts[:, :, index].sum(axis=0)
    if by_side.max() < 0.95 * by_side.sum():
        return _BOTH
    return _LATERALITY[int(by_side.argmax())]


def _by_zone(extent: LungExtent, index: int, pattern: Pattern, *, recipe: PatchRecipe) -> Iterator[Finding]:
    for side, side_letter in enumerate(SIDES):
        for zone, zone_letter in enumerate(ZONES):
            percent = extent.percent(index, zone=zone, side=side)
            if percent < max(pattern.least_percent, 1.0):
                continue
            section = key_slice(extent.zone_slices(zone), index, side=side)
            if not pattern_tiles(section, index, side).any():
                continue
            yield Finding(
                key=f"{pattern_key(pattern)}-{side_letter}{zone_letter}",
                label=f"{pattern.title}: {percent:.0f} % of {_SIDE_NAMES[side]} {_ZONE_NAMES[zone]} zone",
                finding=pattern.code,
                presence=Presence.PRESENT,
                region=_region(section, _grid_box(_largest(section, index, side), recipe)),
                site=private(f"ZONE-{side_letter}{zone_letter}"),
                laterality=_LATERALITY[side],
                measurements=(_percent(percent),),
            )


def pattern_tiles(section: SliceExtent, pattern: int, side: int | None = None) -> NDArray[np.bool_]:
    """Return the tiles of a pattern, on one side or both."""
    tiles = section.classes == pattern
    return np.asarray(tiles if side is None else tiles & (section.on_left == bool(side)))


def _largest(section: SliceExtent, pattern: int, side: int | None = None) -> NDArray[np.bool_]:
    """Return the largest connected part (corners touch) that lies in one lung; of equals, right before left."""
    sides = range(len(SIDES)) if side is None else (side,)
    parts = [_largest_part(pattern_tiles(section, pattern, each)) for each in sides]
    return max(parts, key=lambda part: int(part.sum()))


def _largest_part(tiles: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(tiles, structure=np.ones((3, 3)))
    if count < 2:
        return tiles
    return np.asarray(labels == 1 + int(np.bincount(labels.ravel())[1:].argmax()))


def _grid_box(tiles: NDArray[np.bool_], recipe: PatchRecipe) -> Box:
    rows, columns = np.flatnonzero(tiles.any(axis=1)), np.flatnonzero(tiles.any(axis=0))
    step = recipe.stride_px
    left, top, right, bottom = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    return step * left, step * top, step * right, step * bottom


def _region(section: SliceExtent, grid_box: Box) -> Region:
    """Return the box in the coordinates of the stored image."""
    x0, y0, x1, y1 = section.to_stored.box(section.to_upright.box(grid_box))
    columns, rows = section.size
    return Region.box(
        section.instance.sop_instance_uid,
        x0=round(min(max(x0, 0), columns), 2),
        y0=round(min(max(y0, 0), rows), 2),
        x1=round(min(max(x1, 0), columns), 2),
        y1=round(min(max(y1, 0), rows), 2),
        frame_number=section.frame_number,
    )


def _percent(value: float) -> Measurement:
    return Measurement(name=_EXTENT, value=round(value, 1), unit=_PERCENT)
