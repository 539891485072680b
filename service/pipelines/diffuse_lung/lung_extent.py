# SPDX-License-Identifier: Apache-2.0
"""Adds the slices of a series up: lung by pattern, side, zone and depth under the pleura."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.imaging.resample import resample_mm
from service.pipelines.diffuse_lung.dense import SeeLung
from service.pipelines.diffuse_lung.depth import SHELLS
from service.pipelines.diffuse_lung.extent import SIDES, Classify, SliceExtent, measure_slice
from service.pipelines.diffuse_lung.lungs import survey
from service.pipelines.diffuse_lung.patches import PatchRecipe
from service.pipelines.diffuse_lung.reading import Reading
from service.pipelines.diffuse_lung.slices import AxialSlice
from service.pipelines.diffuse_lung.smoothing import smooth_classes
from service.pipelines.diffuse_lung.volume import Lungs, Surveyed, settle
from service.pipelines.diffuse_lung.zones import ZONES, Zoning, cut_zones


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LungExtent:
    """The slices from the head to the feet, their zones, and lung by zone, side, shell and pattern.

    `by_shell` is (3 zones, 2 sides, 2 shells, K), shells as in `depth.SHELLS`.
    """

    slices: tuple[SliceExtent, ...]
    zoning: Zoning
    by_shell: NDArray[np.float64]
    lungs: Lungs
    has_volumes: bool = True

    @property
    def counts(self) -> NDArray[np.float64]:
        """(3 zones, 2 sides, K) lung pixels by pattern."""
        return np.asarray(self.by_shell.sum(axis=2))

    @property
    def zones(self) -> tuple[int, ...]:
        """The zone of each slice: 0 (upper), 1 (middle) or 2 (lower)."""
        return self.zoning.zones

    def classified_pixels(self, *, zone: int | None = None, side: int | None = None, shell: int | None = None) -> float:
        """Return how many pixels of zone, side and shell (all when None) have a pattern."""
        return float(self.by_shell[_one(zone), _one(side), _one(shell)].sum())

    def percent(
        self, pattern: int, *, zone: int | None = None, side: int | None = None, shell: int | None = None
    ) -> float:
        """Return the share of a pattern in the classified lung of zone, side and shell (all when None), in percent."""
        part = self.by_shell[_one(zone), _one(side), _one(shell)]
        total = float(part.sum())
        return 100 * float(part[..., pattern].sum()) / total if total else 0.0

    @property
    def abnormal_share(self) -> float:
        """The share of classified lung that is not normal, in [0, 1]."""
        return 1 - self.percent(0) / 100 if self.by_shell.sum() else 0.0

    @property
    def low_attenuation_percent(self) -> float:
        """LAA-950: lung below -950 HU, in percent of lung."""
        lung = sum(section.area_px for section in self.slices)
        return 100 * sum(section.low_px for section in self.slices) / lung if lung else 0.0

    @property
    def classified_percent(self) -> float:
        """How much of the lung has a pattern, in percent."""
        lung = sum(section.area_px for section in self.slices)
        return 100 * float(self.by_shell.sum()) / lung if lung else 0.0

    @property
    def areas_mm2(self) -> tuple[float, ...]:
        """Lung area of each slice."""
        return tuple(section.area_px * section.pixel_mm**2 for section in self.slices)

    def zone_slices(self, zone: int) -> tuple[SliceExtent, ...]:
        """Return the slices of a zone."""
        return tuple(section for section, own in zip(self.slices, self.zones, strict=True) if own == zone)


def _one(index: int | None) -> slice:
    return slice(None) if index is None else slice(index, index + 1)


Place = tuple[str, int | None]
"""SOP Instance UID and frame number of a slice."""


def measure_slices(
    sections: Callable[[], Iterable[AxialSlice]],
    recipe: PatchRecipe,
    *,
    classify: Classify,
    patterns: int,
    reading: Reading | None = None,
    has_volumes: bool = True,
    see: SeeLung | None = None,
) -> LungExtent:
    """Look at all slices twice, one at a time: first for the lungs, which all slices together show, then for patterns.

    Parameters
    ----------
    sections
        Returns the slices, in any order; it is called twice and gives the same both times.
    has_volumes
        Whether the slices lie close enough to stand for a volume.
    see
        Sees lung without air, where the package has a graph for that.
    """
    how = reading or Reading()
    places, lungs = survey_slices(sections(), recipe, shell_mm=how.subpleural_mm, see=see)
    levels = dict(zip(places, lungs.levels, strict=True))
    measured = [
        measure_slice(section, recipe, level=levels[_place(section)], classify=classify, patterns=patterns)
        for section in sections()
    ]
    return gather(measured, lungs=lungs, patterns=patterns, reading=how, has_volumes=has_volumes)


def survey_slices(
    sections: Iterable[AxialSlice], recipe: PatchRecipe, *, shell_mm: float, see: SeeLung | None = None
) -> tuple[tuple[Place, ...], Lungs]:
    """Find the lungs of slices that come in any order; the answer is in order from the head to the feet."""
    found: list[tuple[tuple[float, str], Place, Surveyed]] = []
    for section in sections:
        hounsfield, _ = resample_mm(section.hounsfield, section.spacing_mm, target_mm=recipe.pixel_mm)
        surveyed = Surveyed.of(section.height_mm, survey(hounsfield, pixel_mm=recipe.pixel_mm, see=see))
        found.append((_order(section), _place(section), surveyed))
    found.sort(key=lambda each: each[0])
    lungs = settle([surveyed for _, _, surveyed in found], pixel_mm=recipe.pixel_mm, shell_mm=shell_mm)
    return tuple(place for _, place, _ in found), lungs


def _place(section: AxialSlice | SliceExtent) -> Place:
    return section.instance.sop_instance_uid, section.frame_number


def _order(section: AxialSlice | SliceExtent) -> tuple[float, str]:
    """Return what slices are sorted by: from the head to the feet."""
    return -section.height_mm, section.instance.sop_instance_uid


def gather(
    sections: Sequence[SliceExtent], *, lungs: Lungs, patterns: int, reading: Reading, has_volumes: bool = True
) -> LungExtent:
    """Put slices in order from the head, smooth their patterns, give them zones and add up."""
    ordered = sorted(sections, key=_order)
    heights = [section.height_mm for section in ordered]
    if reading.smoothing_reach_mm > 0:
        smooth = smooth_classes([section.classes for section in ordered], heights, reach_mm=reading.smoothing_reach_mm)
        ordered = [section.classified(classes) for section, classes in zip(ordered, smooth, strict=True)]
    areas = [section.area_px for section in ordered]
    zoning = cut_zones(
        heights, areas, carina_mm=lungs.airways.carina_mm, vein_share=reading.vein_share, has_volumes=has_volumes
    )
    by_shell = np.zeros((len(ZONES), len(SIDES), len(SHELLS), patterns))
    for section, zone in zip(ordered, zoning.zones, strict=True):
        by_shell[zone] += section.by_shell
    return LungExtent(slices=tuple(ordered), zoning=zoning, by_shell=by_shell, lungs=lungs, has_volumes=has_volumes)
