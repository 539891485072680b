# SPDX-License-Identifier: Apache-2.0
"""Says an ILO-style sheet in rows for people, and in the codes that there are."""

from collections.abc import Iterator
from typing import Final

from service.codes import private
from service.domain.result import Evaluation
from service.domain.sheet import ReadingSheet, SheetRow, SheetSection
from service.pipelines.pneumoconiosis.pleura import PleuralReading
from service.pipelines.pneumoconiosis.reading import AFFECTED, ZoneReading
from service.pipelines.pneumoconiosis.sheet import FilmQuality, IloSheet, LargeOpacities

TITLE = "ILO-style reading sheet"
NOTE = "Suggestive, not an ILO classification: that takes a reader and the ILO standard images beside the film."
SIDES = {"R": "right", "L": "left"}
LEVELS = {"U": "upper", "M": "middle", "L": "lower"}

PLEURAL_ROWS: Final = {
    "thickening": "Diffuse thickening",
    "plaque": "Plaque",
    "calcification": "Calcification",
    "angle": "Costophrenic angle obliterated",
}
_PLEURAL_CODES: Final = {
    "thickening": "ILO-DPT",
    "plaque": "ILO-PPLAQ",
    "calcification": "ILO-PL-CALC",
    "angle": "ILO-CPA",
}


def reading_sheet(sheet: IloSheet) -> ReadingSheet:
    """Return the sheet as it is shown."""
    sections = {
        "Film quality": _quality(sheet.quality),
        "Small opacities": _small(sheet),
        "Zones": (_zone(zone, sheet) for zone in sheet.reading.zones),
        "Large opacities": _large(sheet),
        "Pleura": _pleura(sheet.pleura),
        "Symbols": iter((SheetRow.unread("Obligatory symbols"),)),
        "Pneumoconiosis Act (Japan)": _act(sheet),
    }
    made = (SheetSection(title=title, rows=tuple(rows)) for title, rows in sections.items())
    return ReadingSheet(title=TITLE, note=NOTE, sections=tuple(made))


def _quality(quality: FilmQuality) -> Iterator[SheetRow]:
    yield SheetRow.unread("Grade 1 to 4", why="for a reader")
    yield SheetRow(name="Pixel spacing", answer=f"{quality.pixel_spacing_mm:.3g} mm")
    yield SheetRow(name="Grey range", answer=f"{100 * quality.grey_range:.0f} % of the display")
    yield SheetRow(name="Black or white", answer=f"{100 * quality.saturated_share:.0f} % of the film's middle")
    yield SheetRow(name="Heart brighter than lung", answer=f"{quality.lung_darkness:.2f} of the display")
    yield SheetRow(name="Lung at the edge", answer=f"{quality.lung_at_edge_mm:.0f} mm")
    yield SheetRow(name="Heart over chest width", answer=f"{quality.cardiothoracic_ratio:.2f}")
    yield SheetRow.unread("Rotation, breath, scapulae, artefacts")


def _small(sheet: IloSheet) -> Iterator[SheetRow]:
    reading = sheet.reading
    yield SheetRow(name="Profusion", answer=f"{reading.profusion} (category {reading.category})")
    shape = f"{reading.primary}/{reading.secondary}" if reading.abnormal else "none at 1/0 or more"
    yield SheetRow(name="Shape and size", answer=shape)
    affected = ", ".join(zone.name for zone in reading.zones if zone.step >= AFFECTED)
    yield SheetRow(name="Zones at 0/1 or more", answer=affected or "none")


def _zone(zone: ZoneReading, sheet: IloSheet) -> SheetRow:
    share = sheet.contributions.by_zone[zone.name]
    return SheetRow(
        name=zone_title(zone.name),
        answer=f"{zone.profusion}, score {zone.score:.2f}, share of the film's {signed(share)}",
    )


def zone_title(name: str) -> str:
    """Return the name of a zone in words, for example "Right upper"."""
    return f"{SIDES[name[0]]} {LEVELS[name[1]]}".capitalize()


def signed(share: float) -> str:
    """Return a share of the score with its sign; what rounds to nothing is +0.00."""
    return f"{round(share, 2) + 0.0:+.2f}"


def _large(sheet: IloSheet) -> Iterator[SheetRow]:
    large = sheet.large
    for name in ("Category, ILO rule", "Category, Japanese rule"):
        if large is None:
            yield SheetRow.unread(name, why=sheet.large_unread)
        else:
            category = large.ilo if "ILO" in name else large.japanese
            yield SheetRow(name=name, answer=_category(category.value, large))


def _category(category: str, large: LargeOpacities) -> str:
    if not large.opacities:
        return f"{category}, none above 10 mm"
    return f"{category}, longest diameters {large.sum_of_longest_mm:.0f} mm, area {large.area_cm2:.0f} cm2"


def _pleura(pleura: PleuralReading | None) -> Iterator[SheetRow]:
    if pleura is None:
        yield SheetRow.unread("Pleural abnormality")
        return
    for finding, name in PLEURAL_ROWS.items():
        if finding not in pleura.thresholds:
            yield SheetRow.unread(name, why=pleura.unread.get(finding, ""))
        else:
            yield SheetRow(name=name, answer=" and ".join(SIDES[side] for side in pleura.sides_of(finding)) or "none")


def _act(sheet: IloSheet) -> Iterator[SheetRow]:
    candidate = sheet.candidate
    found = candidate.type.value if candidate.type else "none"
    yield SheetRow(name="Type, candidate", answer=f"{found}: {candidate.why}")


def sheet_evaluations(sheet: IloSheet, *, name_type: bool) -> tuple[Evaluation, ...]:
    """Return what the sheet has codes for beside profusion, shapes and zones; nothing for what was not read.

    Parameters
    ----------
    name_type
        Whether the candidate type may be said in code, where no words stand beside it; never of a demonstration.
    """
    return (*_large_codes(sheet.large), *_pleura_codes(sheet.pleura), *_type_codes(sheet, name_type=name_type))


def _large_codes(large: LargeOpacities | None) -> Iterator[Evaluation]:
    if large is not None:
        yield Evaluation(name=private("ILO-LARGE"), value=private(f"ILO-LARGE-{large.ilo.value}"))
        yield Evaluation(name=private("JPN-LARGE"), value=private(f"JPN-LARGE-{large.japanese.value}"))


def _pleura_codes(pleura: PleuralReading | None) -> Iterator[Evaluation]:
    """Yield the site of each finding that is read, "O" where it is on neither side."""
    for finding, name in _PLEURAL_CODES.items():
        if pleura is not None and finding in pleura.thresholds:
            for side in pleura.sides_of(finding) or ("O",):
                yield Evaluation(name=private(name), value=private(f"ILO-PL-SITE-{side}"))


def _type_codes(sheet: IloSheet, *, name_type: bool) -> Iterator[Evaluation]:
    if name_type and sheet.candidate.type is not None:
        yield Evaluation(name=private("JPN-PR-CAND"), value=private(f"JPN-PRC{sheet.candidate.type.value[-1]}"))
