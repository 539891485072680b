# SPDX-License-Identifier: Apache-2.0
"""Says in lines of text what was measured: shares by place, how they were cut, density, and the result line."""

from collections.abc import Sequence
from typing import Final

from service.pipelines.diffuse_lung.depth import CENTRAL_SHELL, SUBPLEURAL_SHELL
from service.pipelines.diffuse_lung.extent import SIDES
from service.pipelines.diffuse_lung.lung_extent import LungExtent
from service.pipelines.diffuse_lung.patterns import Pattern
from service.pipelines.diffuse_lung.zones import ZONES

_HEADLINE: Final = 64
_SHOWN_PERCENT: Final = 0.5


def headline(extent: LungExtent, patterns: Sequence[Pattern], shown: Sequence[int]) -> str:
    """Return the result line: the largest patterns, as many as fit into 64 characters."""
    if not shown:
        return f"Diffuse lung: no pattern above cut-off; without any {extent.percent(0):.0f} %"
    line = "Diffuse lung:"
    for index in shown:
        part = f" {patterns[index].title.lower()} {extent.percent(index):.0f} %"
        if len(line) + len(part) + 1 > _HEADLINE:
            break
        line += part if line.endswith(":") else f",{part}"
    return line


def table(extent: LungExtent, patterns: Sequence[Pattern], *, spacing_mm: float | None) -> tuple[str, ...]:
    """Return the shares as text: what the numbers are, a line for each pattern that is there, and what they rest on."""
    indices = sorted(range(1, len(patterns)), key=lambda index: (-extent.percent(index), index))
    there = [index for index in indices if extent.percent(index) >= _SHOWN_PERCENT]
    return (
        _head(extent, spacing_mm),
        *(_row(extent, index, patterns[index].title) for index in there),
        _row(extent, 0, patterns[0].title),
        *(_depth(extent, index, patterns[index].title) for index in there),
        f"LAA-950: {extent.low_attenuation_percent:.0f}",
        extent.zoning.words,
    )


def _head(extent: LungExtent, spacing_mm: float | None) -> str:
    if extent.has_volumes:
        return "% of lung; R and L by upper/middle/lower zone"
    apart = "" if spacing_mm is None else f", {spacing_mm:g} mm apart"
    return f"% of lung area on {len(extent.slices)} slices{apart}, no volumes; R and L by upper/middle/lower zone"


def _row(extent: LungExtent, index: int, title: str) -> str:
    sides = (
        f"{letter} " + "/".join(f"{extent.percent(index, zone=zone, side=side):.0f}" for zone in range(len(ZONES)))
        for side, letter in enumerate(SIDES)
    )
    return f"{title}: {extent.percent(index):.0f} ({', '.join(sides)})"


def _depth(extent: LungExtent, index: int, title: str) -> str:
    near, deep = (extent.percent(index, shell=shell) for shell in (SUBPLEURAL_SHELL, CENTRAL_SHELL))
    upper, lower = (extent.percent(index, zone=zone) for zone in (0, 2))
    return (
        f"{title}: {near:.0f} % of subpleural and {deep:.0f} % of central lung, upper to lower {_ratio(upper, lower)}"
    )


def _ratio(upper: float, lower: float) -> str:
    ratio = upper_to_lower(upper, lower)
    return "not defined" if ratio is None else f"{ratio:.1f}"


def upper_to_lower(upper: float, lower: float) -> float | None:
    """Return the ratio of a share of the upper zones to that of the lower ones; None where the lower have none."""
    return upper / lower if lower else None
