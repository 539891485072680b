# SPDX-License-Identifier: Apache-2.0
"""Makes the pictures of a result: key slices in the lung window under the map of abnormal lung."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.domain.result import Heatmap, Mark
from service.imaging.normalise import window_ct
from service.imaging.resample import back_to, nearest_on, resample_box
from service.pipelines.diffuse_lung.extent import SliceExtent
from service.pipelines.diffuse_lung.findings import key_slice, pattern_box, pattern_tiles
from service.pipelines.diffuse_lung.lung_extent import LungExtent
from service.pipelines.diffuse_lung.patches import PatchRecipe
from service.pipelines.diffuse_lung.patterns import Pattern
from service.pipelines.diffuse_lung.slices import AxialSlice, read_slice

LEGEND: Final = "1 - p(normal lung), per tile of {mm:.1f} mm called abnormal"
_LUNG_WINDOW_HU: Final = (-1350.0, 150.0)
_MOST_PICTURES: Final = 3
_LEAST_MARKED_TILES: Final = 8


def make_heatmaps(
    extent: LungExtent, patterns: Sequence[Pattern], *, reported: Sequence[int], recipe: PatchRecipe
) -> tuple[Heatmap, ...]:
    """Return pictures of up to three key slices, those of the largest patterns first; one slice when there is none."""
    keys = [key_slice(extent.slices, index) for index in reported]
    if not keys:
        keys = [max(extent.slices, key=lambda section: section.area_px)]
    different = list({id(section): section for section in keys}.values())[:_MOST_PICTURES]
    return tuple(
        _heatmap(section, patterns, reported=reported, recipe=recipe, key=f"slice-{number}")
        for number, section in enumerate(different, start=1)
    )


def _heatmap(
    section: SliceExtent,
    patterns: Sequence[Pattern],
    *,
    reported: Sequence[int],
    recipe: PatchRecipe,
    key: str,
) -> Heatmap:
    """Read the slice once more: only its counts were kept."""
    upright = read_slice(section.instance, section.frame_number)
    low, high = _LUNG_WINDOW_HU
    here = [index for index in reported if pattern_tiles(section, index).sum() >= _LEAST_MARKED_TILES]
    return Heatmap(
        key=key,
        source_sop_instance_uid=section.instance.sop_instance_uid,
        frame_number=section.frame_number,
        base=np.rint(255 * window_ct(upright.hounsfield, low=low, high=high)).astype(np.uint8),
        overlay=_overlay(section, upright, recipe),
        legend=LEGEND.format(mm=recipe.stride_px * recipe.pixel_mm),
        patient_orientation=("L", "P"),
        pixel_spacing_mm=upright.spacing_mm,
        position_mm=upright.plane.position_mm,
        orientation=upright.plane.orientation,
        marks=tuple(_mark(section, index, patterns[index].title, recipe) for index in here),
        lines=_slice_lines(section, patterns, reported=reported),
    )


def _slice_lines(section: SliceExtent, patterns: Sequence[Pattern], *, reported: Sequence[int]) -> tuple[str, ...]:
    """Say where the slice lies and what share of its own lung each reported pattern has."""
    lung = max(float(section.counts.sum()), 1.0)
    shares = {index: 100 * float(section.counts[:, index].sum()) / lung for index in reported}
    words = [f"{patterns[index].title}: {share:.0f} % of this slice" for index, share in shares.items()]
    return (f"Key slice at {section.height_mm:.1f} mm", *words)


def _overlay(section: SliceExtent, upright: AxialSlice, recipe: PatchRecipe) -> NDArray[np.float32]:
    """Draw the tiles smoothly over the slice and clip them to the lungs."""
    abnormal = np.where(section.classes > 0, section.abnormality, 0).astype(np.float32)
    rows, columns = (size * recipe.stride_px for size in abnormal.shape)
    smooth, _ = resample_box(abnormal, (0, 0, abnormal.shape[1], abnormal.shape[0]), shape=(rows, columns))
    shape = (upright.hounsfield.shape[0], upright.hounsfield.shape[1])
    stored = back_to(smooth, section.to_upright, shape=shape)
    lungs = nearest_on(section.sides, section.to_upright, shape=shape) > 0
    return np.asarray(np.clip(stored * lungs, 0, 1), dtype=np.float32)


def _mark(section: SliceExtent, index: int, title: str, recipe: PatchRecipe) -> Mark:
    x0, y0, x1, y1 = pattern_box(section, index, recipe=recipe)
    return Mark(points=((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)), caption=title)
