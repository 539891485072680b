# SPDX-License-Identifier: Apache-2.0
"""Counts lung by pattern: of one slice through the classifier, then of all slices by side and zone."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.domain.image import Affine, SlicePlane
from service.domain.instance import Instance
from service.imaging.resample import resample_mm
from service.pipelines.diffuse_lung.lungs import Sides, cut_mm, find_lungs
from service.pipelines.diffuse_lung.patches import PatchRecipe, Tiling, cut_patches, spread, tile
from service.pipelines.diffuse_lung.slices import AxialSlice

Classify = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Patches (N, 1, h, w) in [0, 1] to probabilities (N, K)."""

ZONES: Final = ("U", "M", "L")
SIDES: Final = ("R", "L")
_LOW_ATTENUATION_HU: Final = -950.0
_REACH_TILES: Final = 3.0


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class SliceExtent:
    """What one slice holds, small enough to keep for a thousand slices.

    Parameters
    ----------
    counts
        (2 sides, K) lung pixels by pattern; tiles without a class nearby are left out.
    lung_px, low_px
        Lung pixels, and those below -950 HU.
    classes
        (tile rows, tile columns) pattern of each tile, -1 outside the lungs.
    on_left
        Same shape, whether most of the tile's lung is the left one.
    abnormality
        Same shape, 1 - p(normal) where a tile was classified, else that of the nearest.
    to_upright, to_stored
        From the resampled grid to the upright slice, and from there to the stored image.
    size
        Columns and rows of the stored image.
    packed_sides, sides_shape
        The side of the lungs for each pixel of the resampled grid, compressed (see `sides`), and the grid's shape.
    cut_mm
        Lung on the left and right edge of the slice.
    plane, spacing_mm
        Where the upright slice lies in the patient, and its distance between rows and between columns.
    """

    instance: Instance
    frame_number: int | None
    height_mm: float
    pixel_mm: float
    counts: NDArray[np.float64]
    lung_px: tuple[int, int]
    low_px: int
    classes: NDArray[np.int16]
    on_left: NDArray[np.bool_]
    abnormality: NDArray[np.float32]
    to_upright: Affine
    to_stored: Affine
    size: tuple[int, int]
    packed_sides: bytes
    sides_shape: tuple[int, int]
    plane: SlicePlane
    spacing_mm: tuple[float, float]
    cut_mm: float = 0.0

    @property
    def sides(self) -> Sides:
        """The side of the lungs for each pixel of the resampled grid."""
        flat = np.frombuffer(zlib.decompress(self.packed_sides), dtype=np.uint8)
        return flat.reshape(self.sides_shape)

    @property
    def area_px(self) -> int:
        """Lung pixels of both sides."""
        return sum(self.lung_px)


def measure_slice(section: AxialSlice, recipe: PatchRecipe, *, classify: Classify, patterns: int) -> SliceExtent:
    """Find the lungs, classify their tiles and count; index 0 of the classes is normal lung."""
    hounsfield, to_upright = resample_mm(section.hounsfield, section.spacing_mm, target_mm=recipe.pixel_mm)
    sides = find_lungs(hounsfield, pixel_mm=recipe.pixel_mm)
    tiling = tile(sides, recipe)
    classes, abnormality = _classified(hounsfield, tiling, recipe, classify=classify)
    low = int(np.count_nonzero((hounsfield < _LOW_ATTENUATION_HU) & (sides > 0)))
    return SliceExtent(
        instance=section.instance,
        frame_number=section.frame_number,
        height_mm=section.height_mm,
        pixel_mm=recipe.pixel_mm,
        counts=np.stack([_by_class(classes, tiling.right, patterns), _by_class(classes, tiling.left, patterns)]),
        lung_px=(int(tiling.right.sum()), int(tiling.left.sum())),
        low_px=low,
        classes=classes,
        on_left=tiling.left > tiling.right,
        abnormality=abnormality,
        to_upright=to_upright,
        to_stored=section.to_stored,
        size=(section.hounsfield.shape[1], section.hounsfield.shape[0]),
        packed_sides=zlib.compress(sides.tobytes(), 1),
        sides_shape=(sides.shape[0], sides.shape[1]),
        plane=section.plane,
        spacing_mm=section.spacing_mm,
        cut_mm=cut_mm(hounsfield, pixel_mm=recipe.pixel_mm),
    )


def _classified(
    hounsfield: NDArray[np.float32], tiling: Tiling, recipe: PatchRecipe, *, classify: Classify
) -> tuple[NDArray[np.int16], NDArray[np.float32]]:
    classes = np.full(tiling.right.shape, -1, dtype=np.int16)
    abnormality = np.zeros(tiling.right.shape, dtype=np.float32)
    if len(tiling.chosen) == 0:
        return classes, abnormality
    probabilities = classify(cut_patches(hounsfield, tiling, recipe))
    rows, columns = tiling.chosen.T
    classes[rows, columns] = probabilities.argmax(axis=1)
    abnormality[rows, columns] = 1 - probabilities[:, 0]
    return spread(classes, abnormality, tiling=tiling, reach_tiles=_REACH_TILES)


def _by_class(classes: NDArray[np.int16], pixels: NDArray[np.int32], patterns: int) -> NDArray[np.float64]:
    known = classes >= 0
    counts = np.bincount(classes[known], weights=pixels[known], minlength=patterns)
    return np.asarray(counts, dtype=np.float64)


def in_batches(classify: Classify, size: int) -> Classify:
    """Return a classifier that never hands more than `size` patches to `classify` at once."""

    def classify_all(patches: NDArray[np.float32]) -> NDArray[np.float32]:
        chunks: Iterator[NDArray[np.float32]] = (
            classify(patches[start : start + size]) for start in range(0, len(patches), size)
        )
        return np.concatenate(list(chunks))

    return classify_all


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LungExtent:
    """The slices from the head to the feet, their zone, and lung by zone, side and pattern.

    `zones` holds 0 (upper), 1 (middle) or 2 (lower) per slice; `counts` is (3, 2, K).
    """

    slices: tuple[SliceExtent, ...]
    zones: tuple[int, ...]
    counts: NDArray[np.float64]

    def percent(self, pattern: int, *, zone: int | None = None, side: int | None = None) -> float:
        """Return the share of a pattern in the classified lung of a zone and side (all when None), in percent."""
        part = self.counts[_one(zone), _one(side)]
        total = float(part.sum())
        return 100 * float(part[..., pattern].sum()) / total if total else 0.0

    @property
    def abnormal_share(self) -> float:
        """The share of classified lung that is not normal, in [0, 1]."""
        return 1 - self.percent(0) / 100 if self.counts.sum() else 0.0

    @property
    def low_attenuation_percent(self) -> float:
        """LAA-950: lung below -950 HU, in percent of lung."""
        lung = sum(section.area_px for section in self.slices)
        return 100 * sum(section.low_px for section in self.slices) / lung if lung else 0.0

    @property
    def classified_percent(self) -> float:
        """How much of the lung has a pattern, in percent."""
        lung = sum(section.area_px for section in self.slices)
        return 100 * float(self.counts.sum()) / lung if lung else 0.0

    @property
    def areas_mm2(self) -> tuple[float, ...]:
        """Lung area of each slice."""
        return tuple(section.area_px * section.pixel_mm**2 for section in self.slices)

    def zone_slices(self, zone: int) -> tuple[SliceExtent, ...]:
        """Return the slices of a zone."""
        return tuple(section for section, own in zip(self.slices, self.zones, strict=True) if own == zone)


def _one(index: int | None) -> slice:
    return slice(None) if index is None else slice(index, index + 1)


def measure_slices(
    sections: Iterable[AxialSlice], recipe: PatchRecipe, *, classify: Classify, patterns: int
) -> LungExtent:
    """Measure slices as they come, keeping nothing of one but its counts."""
    measured = [measure_slice(section, recipe, classify=classify, patterns=patterns) for section in sections]
    return gather(measured, patterns=patterns)


def gather(sections: Sequence[SliceExtent], *, patterns: int) -> LungExtent:
    """Put slices in order from the head, give them zones and add up."""
    ordered = tuple(sorted(sections, key=lambda section: (-section.height_mm, section.instance.sop_instance_uid)))
    zones = volume_thirds([section.area_px for section in ordered])
    counts = np.zeros((len(ZONES), len(SIDES), patterns))
    for section, zone in zip(ordered, zones, strict=True):
        counts[zone] += section.counts
    return LungExtent(slices=ordered, zones=zones, counts=counts)


def volume_thirds(areas: Sequence[float]) -> tuple[int, ...]:
    """Give each slice, from the head down, to the third of the lung volume that its middle lies in."""
    total = float(sum(areas))
    if total == 0:
        return (0,) * len(areas)
    middles = np.cumsum(areas) - np.asarray(areas) / 2
    return tuple(min(2, int(3 * middle / total)) for middle in middles)
