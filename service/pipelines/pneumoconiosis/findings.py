# SPDX-License-Identifier: Apache-2.0
"""Says a reading in codes, boxes on the stored image, and lines for people."""

from collections.abc import Mapping

from service.codes import Code, dcm, private, sct
from service.domain.image import Affine, Box, Radiograph
from service.domain.result import Evaluation, Finding, Presence, Region
from service.pipelines.certainty import Calibrated, shown_lines
from service.pipelines.pneumoconiosis.reading import AFFECTED, FilmReading, ZoneReading

_SIDES = {"R": "24028007", "L": "7771000"}


def headline(reading: FilmReading) -> str:
    """Return the result line."""
    if not reading.abnormal:
        return f"No small opacities of profusion 1/0 or more ({reading.profusion})"
    return f"Small opacities, profusion {reading.profusion}, shape {reading.primary}/{reading.secondary}"


def result_lines(
    reading: FilmReading, *, threshold_name: str, threshold: float, calibrated: Calibrated | None = None
) -> tuple[str, ...]:
    """Return the lines printed beside the heatmap, below the headline, calibrated score included if it may be shown."""
    zones = {zone.name: zone.profusion for zone in reading.zones}
    right, left = (" ".join(zones.get(side + level, "-") for level in "UML") for side in "RL")
    return (
        f"Right upper, middle, lower: {right}",
        f"Left upper, middle, lower: {left}",
        *_score_lines(reading.score, f"{threshold_name.replace('_', ' ')} at {threshold:.2f}", calibrated),
    )


def _score_lines(score: float, point: str, calibrated: Calibrated | None) -> tuple[str, ...]:
    lines = shown_lines(calibrated)
    return f"Model score {score:.2f}{'' if lines else ' (uncalibrated)'}; {point}", *lines


SUMMARY = (
    "Overall profusion is the mean over zones read as 0/1 or more.",
    "Large opacities, pleura and symbols are not read.",
)
"""What must be known to understand the reading."""


def findings(
    reading: FilmReading, *, lungs_box: Box, zone_boxes: Mapping[str, Box], to_source: Affine, radiograph: Radiograph
) -> tuple[Finding, ...]:
    """Return the finding of the whole film, then one for each zone; boxes are given on the film."""
    concept = _concept(reading)
    film = Finding(
        key="film",
        label=headline(reading),
        finding=concept,
        presence=_presence(reading.abnormal),
        region=_region(lungs_box, to_source, radiograph),
        site=sct("39607008"),
        laterality=sct("51440002"),
        score=round(reading.score, 6),
        evaluations=_film_evaluations(reading),
    )
    zones = (
        _zone_finding(zone, concept, region=_region(zone_boxes[zone.name], to_source, radiograph))
        for zone in reading.zones
    )
    return film, *zones


def _concept(reading: FilmReading) -> Code:
    """Return small rounded or irregular opacities, after the leading shape."""
    return dcm("112126" if reading.primary in "pqr" else "112125")


def _presence(abnormal: bool) -> Presence:
    return Presence.PRESENT if abnormal else Presence.ABSENT


def _film_evaluations(reading: FilmReading) -> tuple[Evaluation, ...]:
    profusion = (
        Evaluation(name=dcm("112151"), value=private(f"ILO-PROF-{reading.profusion}")),
        Evaluation(name=private("ILO-PROF-MAJOR"), value=private(f"ILO-PROFC-{reading.category}")),
    )
    if not reading.abnormal:
        return profusion
    affected = [zone.name for zone in reading.zones if zone.step >= AFFECTED]
    return (
        *profusion,
        Evaluation(name=private("ILO-SHAPE-1"), value=private(f"ILO-{reading.primary}")),
        Evaluation(name=private("ILO-SHAPE-2"), value=private(f"ILO-{reading.secondary}")),
        *(Evaluation(name=private("ILO-ZONE"), value=private(f"ZONE-{name}")) for name in affected),
    )


def _zone_finding(zone: ZoneReading, concept: Code, *, region: Region) -> Finding:
    return Finding(
        key=f"zone-{zone.name}",
        label=f"{zone.name} profusion {zone.profusion}",
        finding=concept,
        presence=_presence(zone.abnormal),
        region=region,
        site=private(f"ZONE-{zone.name}"),
        laterality=sct(_SIDES[zone.name[0]]),
        score=round(zone.score, 6),
        evaluations=(Evaluation(name=dcm("112151"), value=private(f"ILO-PROF-{zone.profusion}")),),
    )


def _region(box: Box, to_source: Affine, radiograph: Radiograph) -> Region:
    """Return the box on the stored image, inside its borders."""
    rows, columns = radiograph.source_shape
    x0, y0, x1, y1 = to_source.box(box)
    return Region.box(
        radiograph.sop_instance_uid,
        x0=round(max(x0, 0.0), 3),
        y0=round(max(y0, 0.0), 3),
        x1=round(min(x1, float(columns)), 3),
        y1=round(min(y1, float(rows)), 3),
    )
