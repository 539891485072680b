# SPDX-License-Identifier: Apache-2.0
"""Gate G2: whether the pixels hold two lungs, of a size that lungs have, from top to bottom."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from service.domain.result import Reason
from service.pipelines.diffuse_lung.acceptance import Acceptance
from service.pipelines.diffuse_lung.gates import reason
from service.pipelines.diffuse_lung.lung_extent import LungExtent
from service.pipelines.diffuse_lung.patterns import Pattern

_SMALLER_LUNG_SHARE: Final = 0.05
_LEAST_CLASSIFIED_PERCENT: Final = 50.0


def lung_litres(extent: LungExtent) -> float:
    """Estimate the volume of the lungs: area times the median distance of the slices analysed."""
    heights = [section.height_mm for section in extent.slices]
    if len(heights) < 2:
        return 0.0
    return sum(extent.areas_mm2) * float(np.median(-np.diff(heights))) / 1e6


def anatomy_refusals(extent: LungExtent, acceptance: Acceptance) -> Iterator[Reason]:
    """Yield why the pixels are no pair of whole lungs."""
    cut = [section for section in extent.slices if section.cut_mm]
    if cut:
        yield reason(
            "lungs_cut_laterally",
            f"{len(cut)} of {len(extent.slices)} slices have lung on their left or right edge, up to "
            f"{max(section.cut_mm for section in cut):.0f} mm of it; the field of view must hold both lungs; send a "
            "reconstruction that does",
        )
    largest = max(extent.areas_mm2, default=0.0) / 100
    if largest < acceptance.smallest_slice_cm2:
        yield reason(
            "no_lungs",
            f"lung on the best slice covers {largest:.0f} cm2, at least {acceptance.smallest_slice_cm2:g} are "
            "expected of a chest; the series may show another part of the body",
        )
        return
    sides = np.sum([section.lung_px for section in extent.slices], axis=0)
    if sides.min() < _SMALLER_LUNG_SHARE * sides.sum():
        yield reason(
            "one_lung",
            f"the smaller lung has {100 * sides.min() / sides.sum():.0f} % of all lung, at least "
            f"{100 * _SMALLER_LUNG_SHARE:g} % is expected; the other may be dense or outside the field of view",
        )
    litres, low, high = lung_litres(extent), acceptance.smallest_lung_litres, acceptance.largest_lung_litres
    if not low <= litres <= high:
        yield reason(
            "lung_volume_implausible",
            f"the lungs measure {litres:.2f} litres, {low:g} to {high:g} are expected; the series may not hold both "
            "lungs from apex to base",
        )
    if extent.classified_percent < _LEAST_CLASSIFIED_PERCENT:
        yield reason(
            "lung_not_classifiable",
            f"{extent.classified_percent:.0f} % of the lung fits patches, at least {_LEAST_CLASSIFIED_PERCENT:g} % "
            "must for a share of the lung",
        )


def anatomy_flags(
    extent: LungExtent, patterns: Sequence[Pattern], acceptance: Acceptance, *, margin: float
) -> Iterator[Reason]:
    """Yield what a reader should know of this pair of lungs.

    `margin` is by how many percentage points emphysema by pattern and by density may differ.
    """
    largest = max(section.area_px for section in extent.slices)
    for name, section in (("highest", extent.slices[0]), ("lowest", extent.slices[-1])):
        if section.area_px > acceptance.open_end_share * largest:
            yield reason(
                "lungs_cut_off",
                f"the {name} slice holds {100 * section.area_px / largest:.0f} % of the largest lung area, at most "
                f"{100 * acceptance.open_end_share:g} % is expected; the series may not cover the lungs",
            )
    if extent.lungs.jumps:
        yield reason(
            "lungs_inconsistent",
            f"between {extent.lungs.jumps} pairs of neighbouring slices a lung hardly overlaps itself; its outline may "
            "be wrong there; look at the segmentation",
        )
    yield from _emphysema_flag(extent, patterns, margin)


def _emphysema_flag(extent: LungExtent, patterns: Sequence[Pattern], margin: float) -> Iterator[Reason]:
    """Check emphysema against density, in both directions: both are shares of lung with little tissue."""
    names = [pattern.name for pattern in patterns]
    if "emphysema" not in names:
        return
    by_pattern, by_density = extent.percent(names.index("emphysema")), extent.low_attenuation_percent
    if abs(by_pattern - by_density) > margin:
        yield reason(
            "emphysema_not_confirmed",
            f"emphysema pattern is {by_pattern:.0f} % of lung and {by_density:.0f} % lies below -950 HU; a difference "
            f"of up to {margin:g} points is expected; noise, air trapping and cysts lower density too",
        )
