# SPDX-License-Identifier: Apache-2.0
"""From readings to coded findings: marks above the display threshold, or an explicit absence for each view."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from service.codes import Code, private, sct
from service.codes import code as any_code
from service.domain.image import Box
from service.domain.result import Finding, Measurement, Presence, Region, RenderingIntent
from service.pipelines.certainty import stated_score
from service.pipelines.mammography.reading import DetectedMark, ViewReading
from service.pipelines.mammography.views import SIDE_NAMES
from service.ports import Package

MASS_CANDIDATE = "129793001"
"""Mammography breast density: a mass is only called so after two views agree (PS3.16 CID 6014, 6016)."""


def shown_marks(reading: ViewReading, threshold: float) -> tuple[DetectedMark, ...]:
    """Return the marks at or above the display threshold."""
    return tuple(mark for mark in reading.marks if mark.score >= threshold)


def findings_of(
    readings: Sequence[ViewReading], breasts: Mapping[str, float], *, threshold: float
) -> tuple[Finding, ...]:
    """Return the marks of all views; a breast without any gets its absence stated on each of its views.

    The first finding of each breast also carries the breast's score.
    """
    found: list[Finding] = []
    for side, score in breasts.items():
        views = [reading for reading in readings if reading.side == side]
        of_breast = list(_marks(views, threshold)) or [_absence(reading) for reading in views]
        found += [_with_breast_score(of_breast[0], score), *of_breast[1:]]
    return tuple(replace(finding, key=f"mark-{index}") for index, finding in enumerate(found, start=1))


def candidates_of(readings: Sequence[ViewReading], *, display: float, floor: float) -> tuple[Finding, ...]:
    """Return the marks below the display threshold and at or above the floor, which a workstation may offer."""
    return tuple(
        replace(_mark(reading, mark), key=f"candidate-{index}", rendering=RenderingIntent.OPTIONAL)
        for index, (reading, mark) in enumerate(_optional(readings, display=display, floor=floor), start=1)
    )


def as_stated(findings: Sequence[Finding], package: Package) -> tuple[Finding, ...]:
    """Return the findings with calibrated scores of marks, where there are any that may be shown.

    A view without a mark keeps its score: that is no mark's.
    """
    return tuple(_stated(finding, package) for finding in findings)


def _stated(finding: Finding, package: Package) -> Finding:
    if finding.score is None or finding.presence is not Presence.PRESENT:
        return finding
    score, calibrated = stated_score(package, "mark", finding.score)
    return replace(finding, score=score, calibrated=calibrated)


def _optional(
    readings: Sequence[ViewReading], *, display: float, floor: float
) -> Iterator[tuple[ViewReading, DetectedMark]]:
    for reading in readings:
        for mark in reading.marks:
            if RenderingIntent.of(mark.score, display=display, floor=floor) is RenderingIntent.OPTIONAL:
                yield reading, mark


def _marks(readings: Sequence[ViewReading], threshold: float) -> Iterator[Finding]:
    for reading in readings:
        for mark in shown_marks(reading, threshold):
            yield _mark(reading, mark)


def _mark(reading: ViewReading, mark: DetectedMark) -> Finding:
    label = f"Mass candidate, {SIDE_NAMES[reading.side]} {reading.view}, score {mark.score:.2f}"
    return _finding(reading, mark.box, label=label, presence=Presence.PRESENT, score=mark.score)


def _absence(reading: ViewReading) -> Finding:
    label = f"No mass candidate, {SIDE_NAMES[reading.side]} {reading.view}"
    return _finding(reading, reading.breast_box, label=label, presence=Presence.ABSENT, score=reading.score)


def _finding(reading: ViewReading, box: Box, *, label: str, presence: Presence, score: float) -> Finding:
    x0, y0, x1, y1 = reading.radiograph.to_source.box(box)
    return Finding(
        key="",
        label=label,
        finding=sct(MASS_CANDIDATE),
        presence=presence,
        region=Region.box(reading.instance.sop_instance_uid, x0=x0, y0=y0, x1=x1, y1=y1),
        site=breast_code(reading.side),
        laterality=sct("7771000" if reading.side == "L" else "24028007"),
        score=score,
    )


def breast_code(side: str) -> Code:
    """Return the code of the left or right breast (CID 6023)."""
    return sct("80248007" if side == "L" else "73056007")


def _with_breast_score(finding: Finding, score: float) -> Finding:
    measured = Measurement(name=private("SCORE"), value=round(score, 4), unit=any_code("UCUM", "1"))
    return replace(finding, measurements=(*finding.measurements, measured))
