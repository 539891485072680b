# SPDX-License-Identifier: Apache-2.0
"""Given what the zones say, the sheet is right: every profusion x shape x zone, from logits to rows, codes and type."""

from itertools import product

import numpy as np
import pytest

from service.domain.image import IDENTITY, Radiograph
from service.pipelines.pneumoconiosis.contributions import Contributions
from service.pipelines.pneumoconiosis.findings import findings, headline
from service.pipelines.pneumoconiosis.lungs import ZONES
from service.pipelines.pneumoconiosis.reading import PROFUSION, SHAPES, read_film, read_zone
from service.pipelines.pneumoconiosis.sheet import FilmQuality, IloSheet, fill_in
from service.pipelines.pneumoconiosis.sheet_rows import reading_sheet

QUALITY = FilmQuality(
    pixel_spacing_mm=0.2,
    grey_range=0.9,
    saturated_share=0.0,
    lung_darkness=0.3,
    lung_at_edge_mm=0.0,
    cardiothoracic_ratio=0.45,
)
TITLES = ("Right upper", "Right middle", "Right lower", "Left upper", "Left middle", "Left lower")
ILO_TYPES = dict(zip(PROFUSION, ["PR0"] * 3 + ["PR1"] * 3 + ["PR2"] * 3 + ["PR3"] * 3, strict=True))
FILM = Radiograph(
    sop_instance_uid="1.2.3",
    pixels=np.zeros((8, 8), np.float32),
    padding=np.zeros((8, 8), np.bool_),
    pixel_spacing_mm=(0.2, 0.2),
    patient_orientation=None,
    source_shape=(8, 8),
    to_source=IDENTITY,
)


def sheet_of(levels: dict[str, int], shape: str) -> IloSheet:
    """Fill in the sheet of a network that is sure of each zone's level and of one shape."""
    seen = np.where(np.array(list(SHAPES)) == shape, 20, -20).astype(np.float32)
    reading = read_film(
        [
            read_zone(zone, np.where(np.arange(11) < levels[zone], 20, -20).astype(np.float32), seen, area_cm2=60.0)
            for zone in ZONES
        ]
    )
    shares = dict.fromkeys(ZONES, 0.0)
    return fill_in(reading, Contributions(by_zone=shares, score=0, baseline=0, residual=0), quality=QUALITY)


def rows_of(sheet: IloSheet) -> dict[str, str]:
    return {row.name: row.answer for section in reading_sheet(sheet).sections for row in section.rows}


def codes_of(sheet: IloSheet) -> list[list[tuple[str, str]]]:
    """Return (name, value) of every evaluation by finding: the film, then the zones."""
    boxes = dict.fromkeys(ZONES, (0.0, 0.0, 4.0, 4.0))
    found = findings(
        sheet, name_type=True, lungs_box=(0.0, 0.0, 8.0, 8.0), zone_boxes=boxes, to_source=IDENTITY, radiograph=FILM
    )
    return [[(each.name.value, each.value.value) for each in finding.evaluations] for finding in found]


@pytest.mark.parametrize("shape", SHAPES)
def test_one_zone_of_every_profusion_is_told_alone(shape):
    for level, (zone, title) in product(range(len(PROFUSION)), zip(ZONES, TITLES, strict=True)):
        sheet = sheet_of({**dict.fromkeys(ZONES, 0), zone: level}, shape)
        rows, codes = rows_of(sheet), codes_of(sheet)
        told = {name: rows[name].split(",")[0] for name in TITLES}
        assert told == {**dict.fromkeys(TITLES, "0/-"), title: PROFUSION[level]}
        assert codes[0].count(("112151", f"ILO-PROF-{rows['Profusion'].split()[0]}")) == 1
        assert codes[1 + ZONES.index(zone)] == [("112151", f"ILO-PROF-{PROFUSION[level]}")]
        affected, abnormal = level >= PROFUSION.index("0/1"), level >= PROFUSION.index("1/0")
        assert rows["Zones at 0/1 or more"] == (zone if affected else "none")
        assert rows["Profusion"] == (
            f"{PROFUSION[level]} (category {PROFUSION[level][0]})" if affected else "0/- (category 0)"
        )
        assert rows["Shape and size"] == (f"{shape}/{shape}" if abnormal else "none at 1/0 or more")
        assert (("ILO-ZONE", f"ZONE-{zone}") in codes[0]) == abnormal
        assert [value for name, value in codes[0] if name.startswith("ILO-SHAPE")] == [f"ILO-{shape}"] * 2 * abnormal
        assert rows["Type, candidate"].split(":")[0] == ("none" if abnormal else "PR0")
        assert headline(sheet, name_type=True).startswith(
            f"Small opacities, profusion {PROFUSION[level]}, shape {shape}/{shape}"
            if abnormal
            else "No small opacities"
        )


@pytest.mark.parametrize("shape", SHAPES)
def test_both_lungs_of_every_profusion_have_its_type(shape):
    for level, profusion in enumerate(PROFUSION):
        sheet = sheet_of(dict.fromkeys(ZONES, level), shape)
        rows, codes = rows_of(sheet), codes_of(sheet)
        assert rows["Profusion"] == f"{profusion} (category {profusion[0]})"
        assert {rows[title].split(",")[0] for title in TITLES} == {profusion}
        assert rows["Type, candidate"].split(":")[0] == ILO_TYPES[profusion]
        assert ("JPN-PR-CAND", f"JPN-PRC{ILO_TYPES[profusion][-1]}") in codes[0]
        assert ("ILO-PROF-MAJOR", f"ILO-PROFC-{profusion[0]}") in codes[0]


def test_overall_profusion_is_the_mean_of_what_is_affected():
    """2/2 and 1/0 beside normal zones come to 1/2, whichever zones they are."""
    for first, second in product(ZONES, ZONES):
        if first == second:
            continue
        sheet = sheet_of({**dict.fromkeys(ZONES, 1), first: 7, second: 3}, "q")
        assert rows_of(sheet)["Profusion"] == "1/2 (category 1)"
        bilateral = first[0] != second[0]
        assert sheet.candidate.type == ("PR1" if bilateral else None)
