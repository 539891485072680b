# SPDX-License-Identifier: Apache-2.0
"""The ICOERD reading sheet: what is read of it, graded 0 to 3 in six zones and summed from 0 to 18.

The structure is that of the International Classification of HRCT for Occupational and Environmental Respiratory
Diseases (Kusaka et al., Springer 2005). The sheet leaves grades to the reader's eye (mild, moderate, severe); here they
follow from the share of a zone at cut-points, which are the package's to set with its expert group. Large opacities,
pleura and the symbols are not read, and are said to be not read: a grade of 0 would be a finding.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from service.codes import code, private, sct
from service.domain.result import Measurement, SiteEvaluation
from service.pipelines.diffuse_lung.extent import SIDES
from service.pipelines.diffuse_lung.groups import Grouping
from service.pipelines.diffuse_lung.lung_extent import LungExtent
from service.pipelines.diffuse_lung.zones import ZONES

LARGEST_SUM: Final = 18
PLACES: Final = tuple(f"{side}{zone}" for side in SIDES for zone in ZONES)
_SIDE_CODES: Final = (sct("24028007"), sct("7771000"))
_NO_UNITS: Final = code("UCUM", "1")
_NOT_READ: Final = ("Large opacities", "pleura", "symbols")


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetFinding:
    """One of the six findings: its group of patterns, its name, and the code of its grade (of its sum: + "-SUM")."""

    group: str
    title: str
    value: str


FINDINGS: Final = (
    SheetFinding(group="rounded", title="Rounded", value="ICO-RO"),
    SheetFinding(group="irregular", title="Irregular or linear", value="ICO-IR"),
    SheetFinding(group="attenuation", title="Inhomogeneous attenuation", value="ICO-GGO"),
    SheetFinding(group="honeycombing", title="Honeycombing", value="ICO-HC"),
    SheetFinding(group="emphysema", title="Emphysema", value="ICO-EM"),
    SheetFinding(group="large_opacities", title="Large opacities", value="ICO-LO"),
)
_TITLES: Mapping[str, str] = MappingProxyType({finding.group: finding.title for finding in FINDINGS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Grades:
    """The grades of one finding in the places of `PLACES`; None where a zone has no lung that could be read."""

    finding: SheetFinding
    grades: tuple[int | None, ...]

    @property
    def total(self) -> int | None:
        """The sum, 0 to 18; None when a zone was not read: a sum over fewer zones would look like a mild disease."""
        known = [grade for grade in self.grades if grade is not None]
        return sum(known) if len(known) == len(self.grades) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """The findings that are read, with their grades, and the titles of what is not."""

    read: tuple[Grades, ...]
    cut_points: tuple[float, float, float]

    @property
    def not_read(self) -> tuple[str, ...]:
        """Titles of findings that no pattern of the package stands for, and what is never read."""
        groups = {entry.finding.group for entry in self.read}
        return tuple(dict.fromkeys([*(each.title for each in FINDINGS if each.group not in groups), *_NOT_READ]))


def grade(percent: float, cut_points: Sequence[float]) -> int:
    """Return how many cut-points a share reaches: 0 to 3."""
    return sum(percent >= cut for cut in cut_points)


def fill_sheet(extent: LungExtent, grouping: Grouping, *, cut_points: tuple[float, float, float]) -> Sheet:
    """Grade every finding that the package has patterns for, in every zone.

    `cut_points` are the percent of a zone from which on the grade is 1, 2, 3.
    """
    read = [finding for finding in FINDINGS if grouping.is_read(finding.group)]
    return Sheet(read=tuple(_grades(extent, grouping, finding, cut_points) for finding in read), cut_points=cut_points)


def _grades(extent: LungExtent, grouping: Grouping, finding: SheetFinding, cut_points: Sequence[float]) -> Grades:
    grades: list[int | None] = []
    for side in range(len(SIDES)):
        for zone in range(len(ZONES)):
            share = grouping.percent(extent, finding.group, zone=zone, side=side)
            grades.append(None if share is None else grade(share, cut_points))
    return Grades(finding=finding, grades=tuple(grades))


def sheet_lines(sheet: Sheet) -> Iterator[str]:
    """Yield the sheet as lines of text: a head, a line for each finding, and what is not read."""
    cuts = ", ".join(f"{cut:g}" for cut in sheet.cut_points)
    yield f"ICOERD grades, R and L by upper/middle/lower zone; 1, 2, 3 from {cuts} % of a zone"
    for entry in sheet.read:
        right, left = (_said(entry.grades[start : start + len(ZONES)]) for start in (0, len(ZONES)))
        total = "not read" if entry.total is None else str(entry.total)
        yield f"ICOERD {entry.finding.title.lower()}: R {right}, L {left}; sum {total} of {LARGEST_SUM}"
    yield f"ICOERD not read: {', '.join(title.lower() for title in sheet.not_read)}"


def _said(grades: Sequence[int | None]) -> str:
    return "/".join("-" if each is None else str(each) for each in grades)


def sheet_evaluations(sheet: Sheet) -> tuple[SiteEvaluation, ...]:
    """Return every grade with its zone, coded; nothing for what was not read."""
    return tuple(
        SiteEvaluation(
            name=private(entry.finding.value),
            value=private(f"ICO-G{each}"),
            site=private(f"ZONE-{place}"),
            laterality=_SIDE_CODES[SIDES.index(place[0])],
        )
        for entry in sheet.read
        for place, each in zip(PLACES, entry.grades, strict=True)
        if each is not None
    )


def sheet_sums(sheet: Sheet) -> tuple[Measurement, ...]:
    """Return the sums that are known."""
    return tuple(
        Measurement(name=private(f"{entry.finding.value}-SUM"), value=float(entry.total), unit=_NO_UNITS)
        for entry in sheet.read
        if entry.total is not None
    )


def sheet_values(sheet: Sheet) -> dict[str, Any]:
    """Return what the record keeps: grades by zone and sums, None where not read."""
    graded = {
        entry.finding.group: {**dict(zip(PLACES, entry.grades, strict=True)), "sum": entry.total}
        for entry in sheet.read
    }
    unread = {group: None for group in _TITLES if group not in graded}
    return {"cut_points": list(sheet.cut_points), "grades": {**graded, **unread}, "not_read": list(sheet.not_read)}
