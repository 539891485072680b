# SPDX-License-Identifier: Apache-2.0
"""Says a reading in codes, boxes on the stored image, and lines for people."""

from collections.abc import Mapping

from service.codes import Code, code, dcm, private, sct
from service.domain.image import Affine, Box, Radiograph
from service.domain.result import Evaluation, Finding, Measurement, Presence, Region
from service.pipelines.certainty import Calibrated, shown_lines
from service.pipelines.pneumoconiosis.large_opacities import LargeOpacity
from service.pipelines.pneumoconiosis.reading import AFFECTED, FilmReading, ZoneReading
from service.pipelines.pneumoconiosis.sheet import IloSheet
from service.pipelines.pneumoconiosis.sheet_rows import NOTE, sheet_evaluations, signed

_SIDES = {"R": "24028007", "L": "7771000"}


def headline(sheet: IloSheet, *, name_type: bool) -> str:
    """Return the result line; the candidate type stands in it where `name_type`, never for a demonstration."""
    candidate = f", {sheet.candidate.type} candidate" if name_type and sheet.candidate.type else ""
    return f"{_opacities(sheet)}{candidate}"


def _opacities(sheet: IloSheet) -> str:
    reading, large = sheet.reading, sheet.large
    if large and large.opacities:
        return f"Large opacity {large.ilo} (ILO rule), small opacities {reading.profusion}"
    if not reading.abnormal and sheet.pleura and sheet.pleura.sides:
        return f"Pleural findings, small opacities {reading.profusion}"
    if not reading.abnormal:
        return f"No small opacities of profusion 1/0 or more ({reading.profusion})"
    return f"Small opacities, profusion {reading.profusion}, shape {reading.primary}/{reading.secondary}"


def result_lines(
    sheet: IloSheet, *, threshold_name: str, threshold: float, calibrated: Calibrated | None = None
) -> tuple[str, ...]:
    """Return the lines printed beside the heatmap, below the headline: the zones first, which explain the score."""
    reading, shares = sheet.reading, sheet.contributions.by_zone
    profusions = {zone.name: zone.profusion for zone in reading.zones}
    shown = {name: signed(share) for name, share in shares.items()}
    return (
        f"Right upper, middle, lower: {_of_side('R', profusions)}",
        f"Left upper, middle, lower: {_of_side('L', profusions)}",
        f"Right, share of the score: {_of_side('R', shown)}",
        f"Left, share of the score: {_of_side('L', shown)}",
        *_score_lines(reading.score, f"{threshold_name.replace('_', ' ')} at {threshold:.2f}", calibrated),
    )


def _score_lines(score: float, point: str, calibrated: Calibrated | None) -> tuple[str, ...]:
    lines = shown_lines(calibrated)
    return f"Model score {score:.2f}{'' if lines else ' (uncalibrated)'}; {point}", *lines


def _of_side(side: str, by_zone: Mapping[str, str]) -> str:
    return " ".join(by_zone.get(side + level, "-") for level in "UML")


def summary(sheet: IloSheet) -> tuple[str, ...]:
    """Return what must be known to understand the reading."""
    pleura = "pleura" if sheet.pleura is None or not sheet.pleura.thresholds else "part of the pleura"
    parts = {
        "large opacities": sheet.large is not None,
        pleura: sheet.pleura is not None and not sheet.pleura.unread,
        "symbols": False,
    }
    unread = [name for name, is_read in parts.items() if not is_read]
    said = " and ".join(filter(None, (", ".join(unread[:-1]), unread[-1])))
    return (
        "Overall profusion is the mean over zones read as 0/1 or more.",
        f"{said[0].upper()}{said[1:]} are not read.",
        NOTE,
    )


def findings(
    sheet: IloSheet,
    *,
    name_type: bool,
    lungs_box: Box,
    zone_boxes: Mapping[str, Box],
    to_source: Affine,
    radiograph: Radiograph,
) -> tuple[Finding, ...]:
    """Return the finding of the whole film, then one for each zone and each large opacity; boxes lie on the film."""
    reading = sheet.reading
    concept = _concept(reading)
    film = Finding(
        key="film",
        label=headline(sheet, name_type=False),
        finding=concept,
        presence=_presence(reading.abnormal),
        region=_region(lungs_box, to_source, radiograph),
        site=sct("39607008"),
        laterality=sct("51440002"),
        score=round(reading.score, 6),
        evaluations=(*_film_evaluations(reading), *sheet_evaluations(sheet, name_type=name_type)),
    )
    zones = (
        _zone_finding(
            zone,
            concept,
            region=_region(zone_boxes[zone.name], to_source, radiograph),
            share=sheet.contributions.by_zone[zone.name],
        )
        for zone in reading.zones
    )
    large = (
        _large_finding(number, opacity, region=_region(opacity.box, to_source, radiograph))
        for number, opacity in enumerate(sheet.large.opacities if sheet.large else (), start=1)
    )
    return film, *zones, *large


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


def _zone_finding(zone: ZoneReading, concept: Code, *, region: Region, share: float) -> Finding:
    return Finding(
        key=f"zone-{zone.name}",
        label=f"{zone.name} profusion {zone.profusion}",
        finding=concept,
        presence=_presence(zone.abnormal),
        region=region,
        site=private(f"ZONE-{zone.name}"),
        laterality=sct(_SIDES[zone.name[0]]),
        score=round(zone.score, 6),
        measurements=(Measurement(name=private("SCORE-SHARE"), value=round(share, 4), unit=code("UCUM", "1")),),
        evaluations=(Evaluation(name=dcm("112151"), value=private(f"ILO-PROF-{zone.profusion}")),),
    )


def _large_finding(number: int, opacity: LargeOpacity, *, region: Region) -> Finding:
    side = "right" if opacity.side == "R" else "left"
    return Finding(
        key=f"large-{number}",
        label=f"Large opacity, {side}, {opacity.longest_mm:.0f} mm",
        finding=sct("4147007"),
        presence=Presence.PRESENT,
        region=region,
        site=sct("39607008"),
        laterality=sct(_SIDES[opacity.side]),
        score=round(opacity.score, 6),
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
