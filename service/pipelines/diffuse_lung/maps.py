# SPDX-License-Identifier: Apache-2.0
"""Makes the maps of a result: lungs and patterns on the grid of the stored slices, abnormality on that of the tiles."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.codes import code, private, sct
from service.domain.image import SlicePlane
from service.domain.result import LabelMap, Segment, SourceSlice, ValueMap
from service.imaging.resample import nearest_on
from service.pipelines.diffuse_lung.extent import SliceExtent
from service.pipelines.diffuse_lung.findings import pattern_key
from service.pipelines.diffuse_lung.lung_extent import LungExtent
from service.pipelines.diffuse_lung.lungs import LEFT, RIGHT
from service.pipelines.diffuse_lung.patches import PatchRecipe
from service.pipelines.diffuse_lung.patterns import Pattern

LUNGS: Final = "lungs"
PATTERNS: Final = "patterns"
_ANATOMICAL: Final = sct("91723000")
_ABNORMAL: Final = sct("49755003")
_LUNG: Final = sct("39607008")
_SIDES: Final = ((RIGHT, "right", sct("24028007")), (LEFT, "left", sct("7771000")))


def make_label_map(
    extent: LungExtent, patterns: Sequence[Pattern], *, reported: Sequence[int], recipe: PatchRecipe
) -> LabelMap:
    """Return both lungs, and in them the reported patterns; what is below its cut-off is no finding and not drawn.

    The pixels of a pattern are those that its share of the lung was counted from.
    """
    columns, rows = extent.slices[0].size
    labels = np.empty((len(extent.slices), rows, columns), dtype=np.uint8)
    for plane, section in zip(labels, extent.slices, strict=True):
        plane[:] = slice_labels(section, recipe)
    segments = (*_lung_segments(len(patterns)), *(_pattern_segment(index, patterns[index]) for index in reported))
    return LabelMap(labels=labels, slices=_slices(extent), segments=segments)


def slice_labels(section: SliceExtent, recipe: PatchRecipe) -> NDArray[np.uint8]:
    """Return uint8 (rows, columns) of the stored slice: 0 or `label_value` of side and pattern."""
    sides = section.sides
    tiles = np.repeat(np.repeat(section.classes, recipe.stride_px, axis=0), recipe.stride_px, axis=1)
    classes = tiles[: sides.shape[0], : sides.shape[1]]
    fine = np.where(sides > 0, label_value(sides.astype(np.int16), classes), 0).astype(np.uint8)
    columns, rows = section.size
    return nearest_on(fine, section.to_upright.then(section.to_stored), shape=(rows, columns))


def label_value(side: NDArray[np.int16], pattern: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the label of lung of a side (RIGHT, LEFT) and pattern (-1: none)."""
    return np.asarray(side + 2 * (pattern + 1), dtype=np.int16)


def make_abnormality_map(extent: LungExtent, recipe: PatchRecipe) -> ValueMap:
    """Return 1 - p(normal lung) of each tile that has a class, one value for each tile of the upright slices."""
    tile_mm = recipe.stride_px * recipe.pixel_mm
    return ValueMap(
        key="abnormality",
        label="1 - p(normal lung) per tile",
        values=np.stack([_abnormality(section) for section in extent.slices]),
        value_range=(0.0, 1.0),
        slices=_slices(extent),
        planes=tuple(_tile_plane(section, recipe) for section in extent.slices),
        pixel_spacing_mm=(tile_mm, tile_mm),
        quantity=private("DLD-ABNORMAL"),
        unit=code("UCUM", "1"),
    )


def _abnormality(section: SliceExtent) -> NDArray[np.float32]:
    return np.where(section.classes >= 0, section.abnormality, np.float32(np.nan)).astype(np.float32)


def _tile_plane(section: SliceExtent, recipe: PatchRecipe) -> SlicePlane:
    """Place the centre of the first tile in the patient (PS3.3 C.7.6.2.1.1)."""
    middle = recipe.stride_px / 2
    x, y = section.to_upright.apply((middle, middle))
    along_row = np.array(section.plane.orientation[:3]) * (x - 0.5) * section.spacing_mm[1]
    along_column = np.array(section.plane.orientation[3:]) * (y - 0.5) * section.spacing_mm[0]
    position = np.array(section.plane.position_mm) + along_row + along_column
    return SlicePlane(
        position_mm=(float(position[0]), float(position[1]), float(position[2])), orientation=section.plane.orientation
    )


def _slices(extent: LungExtent) -> tuple[SourceSlice, ...]:
    return tuple(
        SourceSlice(sop_instance_uid=section.instance.sop_instance_uid, frame_number=section.frame_number)
        for section in extent.slices
    )


def _lung_segments(patterns: int) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            key=f"lung-{name}",
            group=LUNGS,
            label=f"{name.capitalize()} lung",
            values=tuple(range(side, 2 * patterns + 3, 2)),
            category=_ANATOMICAL,
            property=_LUNG,
            laterality=laterality,
        )
        for side, name, laterality in _SIDES
    )


def _pattern_segment(index: int, pattern: Pattern) -> Segment:
    return Segment(
        key=pattern_key(pattern),
        group=PATTERNS,
        label=pattern.title,
        values=tuple(side + 2 * (index + 1) for side, _, _ in _SIDES),
        category=_ABNORMAL,
        property=pattern.code,
    )
