# SPDX-License-Identifier: Apache-2.0
"""What has changed since the patient's latest older film, zone by zone, in steps of the 12-point scale."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from service.domain.prior import Prior, prior_flags
from service.domain.result import PipelineResult
from service.domain.sheet import SheetRow, SheetSection
from service.pipelines.pneumoconiosis.lungs import ZONES
from service.pipelines.pneumoconiosis.reading import PROFUSION, FilmReading, nearest_step
from service.pipelines.pneumoconiosis.sheet_rows import zone_title


@dataclass(frozen=True, slots=True, kw_only=True)
class StepChange:
    """Steps of the 12-point scale (0 to 11) then and now."""

    before: int
    now: int

    @property
    def steps(self) -> int:
        """By how many steps it grew."""
        return self.now - self.before

    @property
    def words(self) -> str:
        """The change as it is printed."""
        if not self.steps:
            return f"{PROFUSION[self.now]}, unchanged"
        unit = "step" if abs(self.steps) == 1 else "steps"
        return f"{PROFUSION[self.before]} to {PROFUSION[self.now]}, {self.steps:+d} {unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The film against an older one; `date` as YYYY-MM-DD, zones that either reading lacks are left out."""

    date: str
    overall: StepChange
    zones: Mapping[str, StepChange]


def compare(prior: Prior, reading: FilmReading) -> Comparison | None:
    """Return the changes; None where the older result does not hold the steps of this reading."""
    overall = _step(prior.values, "overall_expected_step")
    if overall is None:
        return None
    before = {zone.name: _step(prior.values, f"zone_{zone.name}_expected_step") for zone in reading.zones}
    now = {zone.name: zone.step for zone in reading.zones}
    zones = {name: StepChange(before=step, now=now[name]) for name in ZONES if (step := before.get(name)) is not None}
    return Comparison(date=prior.date, overall=StepChange(before=overall, now=reading.step), zones=zones)


def _step(values: Mapping[str, Any], name: str) -> int | None:
    """Return the step that an older record holds; another version may have written anything."""
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return nearest_step(float(value))


def comparison_line(prior: Prior, found: Comparison | None) -> str:
    """Return the change in one line."""
    if found is None:
        return f"The result of {prior.date} holds no profusion to compare with."
    sides = (f"{side} {_of_side(side, found)}" for side in "RL")
    return f"Since {found.date}: profusion {found.overall.words}; zones, steps: {', '.join(sides)}"


def _of_side(side: str, found: Comparison) -> str:
    changes = (found.zones.get(side + level) for level in "UML")
    return " ".join("-" if change is None else f"{change.steps:+d}" if change.steps else "0" for change in changes)


def comparison_section(found: Comparison) -> SheetSection:
    """Return the change as a section of the sheet."""
    rows = {"Date": found.date, "Profusion": found.overall.words}
    rows |= {zone_title(name): change.words for name, change in found.zones.items()}
    shown = (SheetRow(name=name, answer=answer) for name, answer in rows.items())
    return SheetSection(title="Since the prior film", rows=tuple(shown))


def with_prior(result: PipelineResult, reading: FilmReading, prior: Prior) -> PipelineResult:
    """Return the result with what has changed, and a flag where another package read the older film."""
    found = compare(prior, reading)
    summary = (comparison_line(prior, found), *result.summary)
    if found is None or result.sheet is None or result.package is None:
        return replace(result, summary=summary)
    sections = (*result.sheet.sections, comparison_section(found))
    return replace(
        result,
        summary=summary,
        flags=(*result.flags, *prior_flags(prior, result.package)),
        sheet=replace(result.sheet, sections=sections),
        values={**result.values, **as_values(found)},
    )


def as_values(found: Comparison) -> Mapping[str, Any]:
    """Return the numbers for the record."""
    zones = {f"change_zone_{name}_steps": change.steps for name, change in found.zones.items()}
    return {"prior_date": found.date, "change_overall_steps": found.overall.steps, **zones}
