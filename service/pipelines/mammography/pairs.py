# SPDX-License-Identifier: Apache-2.0
"""Which marks of the two views of a breast are one thing: those of one kind that lie equally far behind the nipple.

The cranio-caudal and the oblique view share one direction, from the chest wall to the nipple; a lesion keeps its
distance behind the nipple in both, within what compression moves (`TOLERANCE_MM`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from service.domain.result import CompositeFinding, FeatureRelation, Finding, Presence, RenderingIntent
from service.pipelines.mammography.kinds import KINDS, KindName, kind_of
from service.pipelines.mammography.reading import ViewReading
from service.pipelines.mammography.scores import noisy_or
from service.pipelines.mammography.views import SIDE_NAMES

TOLERANCE_MM: Final = 10.0
_FAR: Final = 1e6
_QUARTERS: Final[Mapping[tuple[str, str], str]] = {
    ("upper", "outer"): "upper outer quadrant",
    ("upper", "inner"): "upper inner quadrant",
    ("lower", "outer"): "lower outer quadrant",
    ("lower", "inner"): "lower inner quadrant",
}


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class PlacedMark:
    """A finding with the view it lies on and its place from the nipple, in mm.

    `behind_mm` is its depth behind the nipple; `above_mm` how far it lies above it: outwards (CC) or upwards (MLO).
    """

    finding: Finding
    reading: ViewReading
    behind_mm: float
    above_mm: float | None

    @property
    def kind(self) -> KindName:
        """What it is a mark of."""
        return kind_of(self.finding.finding)

    @property
    def half(self) -> str:
        """ "outer", "inner", "upper" or "lower"; "" where the header does not say which way is up."""
        if self.above_mm is None:
            return ""
        return {"CC": ("outer", "inner"), "MLO": ("upper", "lower")}[self.reading.view][self.above_mm < 0]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Pair:
    """A mark of each view that are taken for one thing, the cranio-caudal first."""

    cc: PlacedMark
    mlo: PlacedMark

    @property
    def difference_mm(self) -> float:
        """How much their distances behind the nipple differ."""
        return abs(self.cc.behind_mm - self.mlo.behind_mm)

    @property
    def quadrant(self) -> str:
        """The quadrant of the breast that both halves meet in; "" where one is unknown."""
        return _QUARTERS.get((self.mlo.half, self.cc.half), "")


def pairs_of(findings: Sequence[Finding], readings: Sequence[ViewReading]) -> tuple[Pair, ...]:
    """Return the pairs of each breast with the least differences in all, none above the tolerance.

    `findings` are marks; those that state an absence are left out. A mark is in one pair at most.
    """
    placed = tuple(_placed(findings, readings))
    groups = [(side, kind) for side in SIDE_NAMES for kind in KINDS]
    return tuple(
        pair for group in groups for pair in _of_group([mark for mark in placed if (_side(mark), mark.kind) == group])
    )


def pairs_to_show(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """Return the pairs of which a viewer is to show one mark at least."""
    return tuple(
        pair for pair in pairs if RenderingIntent.REQUIRED in {pair.cc.finding.rendering, pair.mlo.finding.rendering}
    )


def composites_of(pairs: Sequence[Pair]) -> tuple[CompositeFinding, ...]:
    """Return the pairs as composite findings; the score is the noisy-or of both, as a breast's is."""
    return tuple(_composite(pair, index) for index, pair in enumerate(pairs, start=1))


def pair_lines(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """Return what the pairs come to, one line each."""
    return tuple(
        f"Taken for one: {SIDE_NAMES[_side(pair.cc)]} CC and MLO marks, {pair.cc.behind_mm:.0f} and "
        f"{pair.mlo.behind_mm:.0f} mm behind the nipple{f', {pair.quadrant}' if pair.quadrant else ''}"
        for pair in pairs
    )


def pair_values(pairs: Sequence[Pair]) -> list[dict[str, object]]:
    """Return the pairs for the record."""
    return [
        {
            "side": _side(pair.cc),
            "members": [pair.cc.finding.key, pair.mlo.finding.key],
            "difference_mm": round(pair.difference_mm, 2),
            "quadrant": pair.quadrant,
        }
        for pair in pairs
    ]


def _side(mark: PlacedMark) -> str:
    return mark.reading.side


def _placed(findings: Sequence[Finding], readings: Sequence[ViewReading]) -> Iterator[PlacedMark]:
    by_uid = {reading.instance.sop_instance_uid: reading for reading in readings}
    for finding in findings:
        reading = by_uid[finding.region.sop_instance_uid]
        if finding.presence is Presence.PRESENT and reading.view in {"CC", "MLO"}:
            behind, above = reading.from_nipple_mm(reading.radiograph.to_source.inverse().apply(finding.center))
            yield PlacedMark(finding=finding, reading=reading, behind_mm=behind, above_mm=above)


def _of_group(marks: Sequence[PlacedMark]) -> Iterator[Pair]:
    cc = [mark for mark in marks if mark.reading.view == "CC"]
    mlo = [mark for mark in marks if mark.reading.view == "MLO"]
    if not cc or not mlo:
        return
    apart = np.abs(np.array([[one.behind_mm - other.behind_mm for other in mlo] for one in cc]))
    rows, columns = linear_sum_assignment(np.where(apart <= TOLERANCE_MM, apart, _FAR))
    for row, column in zip(rows, columns, strict=True):
        if apart[row, column] <= TOLERANCE_MM:
            yield Pair(cc=cc[row], mlo=mlo[column])


def _composite(pair: Pair, index: int) -> CompositeFinding:
    scores = [mark.finding.score for mark in (pair.cc, pair.mlo)]
    known = [score for score in scores if score is not None]
    place = f", {pair.quadrant}" if pair.quadrant else ""
    return CompositeFinding(
        key=f"{pair.cc.kind}-{index}",
        label=f"{KINDS[pair.cc.kind].pair} on both views, {SIDE_NAMES[_side(pair.cc)]}{place}",
        finding=KINDS[pair.cc.kind].composite,
        relation=FeatureRelation.SPATIAL,
        members=(pair.cc.finding.key, pair.mlo.finding.key),
        score=noisy_or(known) if len(known) == len(scores) else None,
    )
