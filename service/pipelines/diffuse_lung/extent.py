# SPDX-License-Identifier: Apache-2.0
"""Counts lung of one slice by pattern, side and depth, through the classifier."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.domain.image import Affine, SlicePlane
from service.domain.instance import Instance
from service.imaging.masks import Mask
from service.imaging.resample import resample_mm
from service.pipelines.diffuse_lung.depth import SHELLS
from service.pipelines.diffuse_lung.lungs import LEFT, RIGHT, Sides, cut_mm
from service.pipelines.diffuse_lung.patches import (
    PatchRecipe,
    Tiling,
    count_pixels,
    cut_fields,
    cut_patches,
    spread,
    tile,
)
from service.pipelines.diffuse_lung.slices import AxialSlice
from service.pipelines.diffuse_lung.volume import LungLevel

ClassifyPatches = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Patches (N, 1, h, w) in [0, 1] to probabilities (N, K)."""
ReadField = Callable[[NDArray[np.float32]], Mapping[str, NDArray[np.float32]]]
"""A field (1, 1, H, W) in [0, 1] to the graph's outputs by name, a row for each patch in it, row by row."""
Tell = Callable[[Mapping[str, NDArray[np.float32]]], None]
Classify = Callable[[NDArray[np.float32], Tiling, PatchRecipe], NDArray[np.float32]]
"""Hounsfield units of a slice and its chosen tiles to their probabilities (N, K): see `in_batches`, `in_fields`."""

SIDES: Final = ("R", "L")
PROBABILITY: Final = "probability"
_LOW_ATTENUATION_HU: Final = -950.0
_REACH_TILES: Final = 3.0


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class SliceExtent:
    """What one slice holds, small enough to keep for a thousand slices.

    Parameters
    ----------
    tile_px
        (2 sides, 2 shells, tile rows, tile columns) lung pixels of each tile, subpleural first.
    by_shell
        (2 sides, 2 shells, K) lung pixels by pattern; tiles without a class nearby are left out.
    low_px
        Lung pixels below -950 HU.
    classes
        (tile rows, tile columns) pattern of each tile, -1 outside the lungs.
    abnormality
        Same shape, 1 - p(normal) where a tile was classified, else that of the nearest.
    to_upright, to_stored
        From the resampled grid to the upright slice, and from there to the stored image.
    size
        Columns and rows of the stored image.
    level, grid
        The lungs, compressed, and rows and columns of the resampled grid.
    cut_mm
        Lung on the left and right edge of the slice.
    plane, spacing_mm
        Where the upright slice lies in the patient, and its distance between rows and between columns.
    """

    instance: Instance
    frame_number: int | None
    height_mm: float
    pixel_mm: float
    tile_px: NDArray[np.uint16]
    by_shell: NDArray[np.float64]
    low_px: int
    classes: NDArray[np.int16]
    abnormality: NDArray[np.float32]
    to_upright: Affine
    to_stored: Affine
    size: tuple[int, int]
    level: LungLevel
    grid: tuple[int, int]
    plane: SlicePlane
    spacing_mm: tuple[float, float]
    cut_mm: float = 0.0

    @property
    def sides(self) -> Sides:
        """The side of the lungs for each pixel of the resampled grid."""
        return self.level.sides(self.grid)

    @property
    def counts(self) -> NDArray[np.float64]:
        """(2 sides, K) lung pixels by pattern."""
        return np.asarray(self.by_shell.sum(axis=1))

    @property
    def lung_px(self) -> tuple[int, int]:
        """Lung pixels of the right and the left side."""
        right, left = (int(side.sum(dtype=np.int64)) for side in self.tile_px)
        return right, left

    @property
    def area_px(self) -> int:
        """Lung pixels of both sides."""
        return sum(self.lung_px)

    @property
    def on_left(self) -> Mask:
        """Whether most of a tile's lung is the left one."""
        right, left = self.tile_px.sum(axis=1, dtype=np.int64)
        return np.asarray(left > right)

    def classified(self, classes: NDArray[np.int16]) -> "SliceExtent":
        """Return the slice with other patterns of its tiles, counted anew."""
        by_shell = count_classes(classes, self.tile_px, patterns=self.by_shell.shape[-1])
        return replace(self, classes=classes, by_shell=by_shell)


def count_classes(classes: NDArray[np.int16], tile_px: NDArray[np.uint16], *, patterns: int) -> NDArray[np.float64]:
    """Return (2 sides, 2 shells, K) lung pixels by pattern."""
    known = classes >= 0
    rows = [np.bincount(classes[known], weights=px[known], minlength=patterns) for side in tile_px for px in side]
    return np.stack(rows).reshape(len(SIDES), len(SHELLS), patterns).astype(np.float64)


def measure_slice(
    section: AxialSlice, recipe: PatchRecipe, *, level: LungLevel, classify: Classify, patterns: int
) -> SliceExtent:
    """Classify the tiles of the lungs and count; index 0 of the classes is normal lung."""
    hounsfield, to_upright = resample_mm(section.hounsfield, section.spacing_mm, target_mm=recipe.pixel_mm)
    grid = (hounsfield.shape[0], hounsfield.shape[1])
    sides = level.sides(grid)
    tiling = tile(sides, recipe)
    classes, abnormality = _classified(hounsfield, tiling, recipe, classify=classify)
    tile_px = _tile_px(sides, level.subpleural(grid), recipe)
    return SliceExtent(
        instance=section.instance,
        frame_number=section.frame_number,
        height_mm=section.height_mm,
        pixel_mm=recipe.pixel_mm,
        tile_px=tile_px,
        by_shell=count_classes(classes, tile_px, patterns=patterns),
        low_px=int(np.count_nonzero((hounsfield < _LOW_ATTENUATION_HU) & (sides > 0))),
        classes=classes,
        abnormality=abnormality,
        to_upright=to_upright,
        to_stored=section.to_stored,
        size=(section.hounsfield.shape[1], section.hounsfield.shape[0]),
        level=level,
        grid=grid,
        plane=section.plane,
        spacing_mm=section.spacing_mm,
        cut_mm=cut_mm(hounsfield, pixel_mm=recipe.pixel_mm),
    )


def _tile_px(sides: Sides, subpleural: Mask, recipe: PatchRecipe) -> NDArray[np.uint16]:
    """Return (2 sides, 2 shells, tile rows, tile columns) lung pixels."""
    shells = (subpleural, ~subpleural)
    counted = [count_pixels((sides == side) & shell, recipe.stride_px) for side in (RIGHT, LEFT) for shell in shells]
    return np.stack(counted).reshape(len(SIDES), len(SHELLS), *counted[0].shape).astype(np.uint16)


def _classified(
    hounsfield: NDArray[np.float32], tiling: Tiling, recipe: PatchRecipe, *, classify: Classify
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    classes = np.full(tiling.right.shape, -1, dtype=np.int16)
    abnormality = np.zeros(tiling.right.shape, dtype=np.float32)
    if len(tiling.chosen) == 0:
        return classes, abnormality
    probabilities = classify(hounsfield, tiling, recipe)
    rows, columns = tiling.chosen.T
    classes[rows, columns] = probabilities.argmax(axis=1)
    abnormality[rows, columns] = 1 - probabilities[:, 0]
    return spread(classes, abnormality, tiling=tiling, reach_tiles=_REACH_TILES)


def in_batches(classify: ClassifyPatches, size: int) -> Classify:
    """Return a classifier that cuts patches out and never hands more than `size` of them to `classify` at once."""

    def classify_all(hounsfield: NDArray[np.float32], tiling: Tiling, recipe: PatchRecipe) -> NDArray[np.float32]:
        patches = cut_patches(hounsfield, tiling, recipe)
        chunks: Iterator[NDArray[np.float32]] = (
            classify(patches[start : start + size]) for start in range(0, len(patches), size)
        )
        return np.concatenate(list(chunks))

    return classify_all


def in_fields(read: ReadField, *, tell: Tell) -> Classify:
    """Return a classifier that reads each lung of a slice at once, and tells the outputs of its chosen tiles.

    For a graph that says of a field what it says of its patches: it spares what overlapping patches have in common.
    """

    def classify_all(hounsfield: NDArray[np.float32], tiling: Tiling, recipe: PatchRecipe) -> NDArray[np.float32]:
        fields = list(cut_fields(hounsfield, tiling, recipe))
        outputs = [read(field.pixels) for field in fields]
        order = np.argsort(np.concatenate([field.chosen for field in fields]))
        of_tiles = {
            name: np.concatenate([each[name][field.rows] for each, field in zip(outputs, fields, strict=True)])[order]
            for name in outputs[0]
        }
        tell(of_tiles)
        return of_tiles[PROBABILITY]

    return classify_all
