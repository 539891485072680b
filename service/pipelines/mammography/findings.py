# SPDX-License-Identifier: Apache-2.0
"""From readings to coded findings: marks above the display threshold, or an explicit absence for each view."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from service.codes import Code, private, sct
from service.codes import code as any_code
from service.domain.image import Box
from service.domain.result import Finding, Measurement, Presence, Region, RenderingIntent
from service.pipelines.certainty import stated_score
from service.pipelines.mammography.kinds import KINDS, KindName, added_kinds, kind_of
from service.pipelines.mammography.marks import DetectedMark
from service.pipelines.mammography.reading import ViewReading
from service.pipelines.mammography.views import SIDE_NAMES
from service.ports import Package

Thresholds = Mapping[KindName, float]
"""From which score on a mark of each kind is shown, for every kind that the package looks for."""


def shown_marks(reading: ViewReading, thresholds: Thresholds) -> tuple[DetectedMark, ...]:
    """Return the marks at or above the display threshold of their kind."""
    return tuple(mark for mark in reading.marks if mark.score >= thresholds[mark.kind])


def findings_of(
    readings: Sequence[ViewReading], breasts: Mapping[str, float], *, thresholds: Thresholds
) -> tuple[Finding, ...]:
    """Return the marks of all views; a breast without any gets the absence of each kind stated on each of its views.

    The first finding of each breast also carries the breast's score.
    """
    found: list[Finding] = []
    for side, score in breasts.items():
        views = [reading for reading in readings if reading.side == side]
        of_breast = list(_marks(views, thresholds)) or [
            _absence(reading, kind) for reading in views for kind in thresholds
        ]
        found += [_with_breast_score(of_breast[0], score), *of_breast[1:]]
    return tuple(replace(finding, key=f"mark-{index}") for index, finding in enumerate(found, start=1))


def candidates_of(
    readings: Sequence[ViewReading], *, thresholds: Thresholds, floor: float | None
) -> tuple[Finding, ...]:
    """Return the marks below the display threshold and at or above the floor, which a workstation may offer.

    Without a floor there are none.
    """
    if floor is None:
        return ()
    return tuple(
        replace(_mark(reading, mark), key=f"candidate-{index}", rendering=RenderingIntent.OPTIONAL)
        for index, (reading, mark) in enumerate(_optional(readings, thresholds, floor=floor), start=1)
    )


def as_stated(findings: Sequence[Finding], package: Package) -> tuple[Finding, ...]:
    """Return the findings with calibrated scores of marks, where there are any that may be shown.

    A view without a mark keeps its score: that is no mark's. What graphs beside the detector mark has curves of its
    own; where the package has none, those scores stay as they are.
    """
    return tuple(_stated(finding, package) for finding in findings)


def _stated(finding: Finding, package: Package) -> Finding:
    if finding.score is None or finding.presence is not Presence.PRESENT:
        return finding
    kind = kind_of(finding.finding)
    target = kind if kind in added_kinds(package.parameters) else "mark"
    score, calibrated = stated_score(package, target, finding.score)
    return replace(finding, score=score, calibrated=calibrated)


def _optional(
    readings: Sequence[ViewReading], thresholds: Thresholds, *, floor: float
) -> Iterator[tuple[ViewReading, DetectedMark]]:
    for reading in readings:
        for mark in reading.marks:
            display = thresholds[mark.kind]
            if RenderingIntent.of(mark.score, display=display, floor=floor) is RenderingIntent.OPTIONAL:
                yield reading, mark


def _marks(readings: Sequence[ViewReading], thresholds: Thresholds) -> Iterator[Finding]:
    for reading in readings:
        for mark in shown_marks(reading, thresholds):
            yield _mark(reading, mark)


def _mark(reading: ViewReading, mark: DetectedMark) -> Finding:
    name = KINDS[mark.kind].candidate
    label = f"{name}, {SIDE_NAMES[reading.side]} {reading.view}, score {mark.score:.2f}"
    found = _finding(reading, mark.box, label=label, kind=mark.kind, presence=Presence.PRESENT, score=mark.score)
    if mark.malignancy is None:
        return found
    measured = Measurement(name=private("MALIGNANCY"), value=round(mark.malignancy, 4), unit=any_code("UCUM", "1"))
    return replace(found, measurements=(measured,))


def _absence(reading: ViewReading, kind: KindName) -> Finding:
    name = KINDS[kind].candidate
    label = f"No {name[0].lower()}{name[1:]}, {SIDE_NAMES[reading.side]} {reading.view}"
    return _finding(reading, reading.breast_box, label=label, kind=kind, presence=Presence.ABSENT, score=reading.score)


def _finding(
    reading: ViewReading, box: Box, *, label: str, kind: KindName, presence: Presence, score: float
) -> Finding:
    x0, y0, x1, y1 = reading.radiograph.to_source.box(box)
    return Finding(
        key="",
        label=label,
        finding=KINDS[kind].single,
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
