# SPDX-License-Identifier: Apache-2.0
"""Everything that is read from the shares of lung: sheet, rules, change since the prior; as values, lines and codes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from service.domain.prior import Prior
from service.domain.result import Measurement, PackageIdentity, Reason, SiteEvaluation
from service.pipelines.diffuse_lung.anatomy import lung_litres
from service.pipelines.diffuse_lung.change import (
    Comparison,
    compare,
    comparison_flags,
    comparison_lines,
    comparison_values,
)
from service.pipelines.diffuse_lung.depth import SHELLS
from service.pipelines.diffuse_lung.expert import Fired, expert_lines, expert_values, infer
from service.pipelines.diffuse_lung.extent import SIDES
from service.pipelines.diffuse_lung.features import measure_features
from service.pipelines.diffuse_lung.icoerd import (
    Sheet,
    fill_sheet,
    sheet_evaluations,
    sheet_lines,
    sheet_sums,
    sheet_values,
)
from service.pipelines.diffuse_lung.lung_extent import LungExtent
from service.pipelines.diffuse_lung.plan import Plan
from service.pipelines.diffuse_lung.series import Series
from service.pipelines.diffuse_lung.summary import table, upper_to_lower
from service.pipelines.diffuse_lung.zones import ZONES

VOLUME, SLICES = "volume", "slices"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Readout:
    """What was read of one study."""

    extent: LungExtent
    plan: Plan
    series: Series
    features: dict[str, float | None]
    sheet: Sheet
    fired: tuple[Fired, ...]
    comparison: Comparison | None

    @classmethod
    def of(cls, extent: LungExtent, plan: Plan, series: Series, *, prior: Prior | None) -> "Readout":
        """Read the shares of a study."""
        features = measure_features(extent, plan.grouping)
        percent = {pattern.name: extent.percent(index) for index, pattern in enumerate(plan.patterns)}
        return cls(
            extent=extent,
            plan=plan,
            series=series,
            features=features,
            sheet=fill_sheet(extent, plan.grouping, cut_points=plan.reading.icoerd_cut_points),
            fired=infer(plan.rules, features),
            comparison=compare(prior, percent, mode=_mode(extent)),
        )

    @property
    def evaluations(self) -> tuple[SiteEvaluation, ...]:
        """The grades of the ICOERD sheet."""
        return sheet_evaluations(self.sheet)

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """The sums of the ICOERD sheet."""
        return sheet_sums(self.sheet)

    def flags(self, package: PackageIdentity) -> Iterator[Reason]:
        """Yield what a reader of the change should know."""
        if self.comparison is not None:
            yield from comparison_flags(self.comparison, package)

    def lines(self) -> tuple[str, ...]:
        """Return the summary, what matters most first."""
        stack = self.series.stack
        shares = table(self.extent, self.plan.patterns, spacing_mm=stack.spacing_mm if stack else None)
        change = () if self.comparison is None else comparison_lines(self.comparison, self.plan.patterns)
        return (*shares, *change, *expert_lines(self.fired), *sheet_lines(self.sheet))

    def values(self) -> dict[str, Any]:
        """Return every number of the run for the record."""
        return {
            **_sampling(self.extent, self.series),
            **_shares(self.extent, self.plan),
            "features": {name: _rounded(value) for name, value in self.features.items()},
            "rules": expert_values(self.fired),
            "icoerd": sheet_values(self.sheet),
            "change": None if self.comparison is None else comparison_values(self.comparison),
        }


def _mode(extent: LungExtent) -> str:
    return VOLUME if extent.has_volumes else SLICES


def _sampling(extent: LungExtent, series: Series) -> dict[str, Any]:
    """Return how the lungs were sampled and found."""
    stack, lungs = series.stack, extent.lungs
    return {
        "series_instance_uid": series.first.series_instance_uid,
        "slices_received": series.slices,
        "slices_analysed": len(extent.slices),
        "spacing_mm": stack.spacing_mm if stack else None,
        "mode": _mode(extent),
        "lung_litres": round(lung_litres(extent), 3) if extent.has_volumes else None,
        "lung_cm2": round(sum(extent.areas_mm2) / 100, 1),
        "classified_percent": round(extent.classified_percent, 2),
        "laa950_percent": round(extent.low_attenuation_percent, 2),
        "zones": extent.zoning.values(),
        "lungs": {
            "airway_slices": lungs.airways.traced,
            "airway_leaks": lungs.airways.leaks,
            "slices_with_strays": lungs.dropped,
            "slices_relabelled": lungs.relabelled,
            "jumps": lungs.jumps,
        },
    }


def _shares(extent: LungExtent, plan: Plan) -> dict[str, Any]:
    """Return the shares by pattern, and in which places."""
    names = [pattern.name for pattern in plan.patterns]
    places = [(side, zone) for side in range(len(SIDES)) for zone in range(len(ZONES))]
    labels = [f"{SIDES[side]}{ZONES[zone]}" for side, zone in places]
    return {
        "abnormal_share": round(extent.abnormal_share, 4),
        "percent": {name: round(extent.percent(index), 2) for index, name in enumerate(names)},
        "percent_by_zone": {
            label: {name: round(extent.percent(index, zone=zone, side=side), 2) for index, name in enumerate(names)}
            for label, (side, zone) in zip(labels, places, strict=True)
        },
        "percent_by_shell": {
            shell: {name: round(extent.percent(index, shell=number), 2) for index, name in enumerate(names)}
            for number, shell in enumerate(SHELLS)
        },
        "upper_to_lower": {
            name: _rounded(upper_to_lower(extent.percent(index, zone=0), extent.percent(index, zone=2)))
            for index, name in enumerate(names)
        },
        "cm2": {
            label: {
                shell: dict(zip(names, _cm2(extent, plan, zone, side, number), strict=True))
                for number, shell in enumerate(SHELLS)
            }
            for label, (side, zone) in zip(labels, places, strict=True)
        },
    }


def _cm2(extent: LungExtent, plan: Plan, zone: int, side: int, shell: int) -> list[float]:
    """Return the area of each pattern in one place, over all slices."""
    areas = extent.by_shell[zone, side, shell] * plan.recipe.pixel_mm**2 / 100
    return [float(value) for value in np.round(areas, 2)]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
