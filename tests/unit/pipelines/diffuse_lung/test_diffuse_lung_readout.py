# SPDX-License-Identifier: Apache-2.0
"""The ICOERD sheet, the change since the prior study, and what a package may say of both."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_diffuse_lung_extent import PATTERNS, chest, extent_of, section

from service.codes import private
from service.domain.errors import PackageError
from service.domain.prior import Prior
from service.domain.result import Outcome, PackageIdentity, PackageStatus
from service.pipelines.diffuse_lung.acceptance import Acceptance
from service.pipelines.diffuse_lung.anatomy import anatomy_flags
from service.pipelines.diffuse_lung.change import (
    compare,
    comparison_flags,
    comparison_lines,
    comparison_values,
)
from service.pipelines.diffuse_lung.groups import DEFAULT, GROUPS, parse_groups
from service.pipelines.diffuse_lung.icoerd import (
    FINDINGS,
    fill_sheet,
    grade,
    sheet_evaluations,
    sheet_lines,
    sheet_sums,
    sheet_values,
)
from service.pipelines.diffuse_lung.lung_extent import LungExtent
from service.pipelines.diffuse_lung.patterns import parse_patterns
from service.pipelines.diffuse_lung.reading import Reading
from service.pipelines.diffuse_lung.summary import table, upper_to_lower

CUTS = Reading().icoerd_cut_points
GROUPING = parse_groups(None, PATTERNS)
PACKAGE = PackageIdentity(name="lung", version="1.0.0", sha256="a" * 64, status=PackageStatus.RESEARCH)


# --- grades -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("percent", "expected"),
    [(0, 0), (4.99, 0), (5, 1), (24.99, 1), (25, 2), (49.99, 2), (50, 3), (100, 3)],
)
def test_a_grade_begins_at_its_cut_point(percent: float, expected: int) -> None:
    assert grade(percent, CUTS) == expected


@given(st.floats(0, 100), st.floats(0, 100))
def test_more_is_never_graded_lower(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0 <= grade(low, CUTS) <= grade(high, CUTS) <= 3


def tiles(*abnormal: int) -> list[list[int]]:
    """Twenty tiles of which so many have pattern 1 and so many pattern 2."""
    row = [1] * abnormal[0] + [2] * abnormal[1]
    return [row + [0] * (20 - len(row))]


def graded() -> LungExtent:
    """Right: reticulation 0, 5, 25 %, honeycombing 50 % below; left: reticulation of 50 % in the middle alone."""
    return extent_of(
        [
            section(1, tiles(0, 0), tiles(0, 0), height_mm=20),
            section(2, tiles(1, 0), tiles(10, 0), height_mm=10),
            section(3, tiles(5, 10), tiles(0, 0), height_mm=0),
        ]
    )


def test_each_zone_is_graded_and_the_sum_is_theirs() -> None:
    sheet = fill_sheet(graded(), GROUPING, cut_points=CUTS)
    grades = {entry.finding.group: entry for entry in sheet.read}
    assert set(grades) == {"irregular", "honeycombing"}
    assert grades["irregular"].grades == (0, 1, 2, 0, 3, 0)
    assert grades["irregular"].total == 6
    assert grades["honeycombing"].grades == (0, 0, 3, 0, 0, 0)


def test_cut_points_are_the_package_s() -> None:
    sheet = fill_sheet(graded(), GROUPING, cut_points=(1.0, 4.0, 24.0))
    assert sheet.read[0].grades == (0, 2, 3, 0, 3, 0)
    assert "1, 4, 24 %" in next(iter(sheet_lines(sheet)))


def test_the_highest_sum_is_18() -> None:
    full = [[1] * 20]
    extent = extent_of([section(n, full, full, height_mm=-10.0 * n) for n in range(3)])
    assert fill_sheet(extent, GROUPING, cut_points=CUTS).read[0].total == 18


def test_what_is_not_read_is_said_and_never_graded() -> None:
    sheet = fill_sheet(graded(), GROUPING, cut_points=CUTS)
    *_, last = sheet_lines(sheet)
    assert last == ("ICOERD not read: rounded, inhomogeneous attenuation, emphysema, large opacities, pleura, symbols")
    named = {entry.name.value for entry in sheet_evaluations(sheet)} | {entry.name.value for entry in sheet_sums(sheet)}
    assert named == {"ICO-IR", "ICO-HC", "ICO-IR-SUM", "ICO-HC-SUM"}
    values = sheet_values(sheet)
    assert values["grades"]["large_opacities"] is None
    assert values["grades"]["rounded"] is None
    assert "Large opacities" in values["not_read"]


def test_large_opacities_are_not_read_even_with_every_pattern() -> None:
    names = ["normal", *DEFAULT]
    entries = [
        {"name": name, "title": name, "scheme": "99DOKUEI", "value": "DLD-CYST", "least_percent": 2} for name in names
    ]
    grouping = parse_groups(None, parse_patterns({"patterns": entries}))
    read = [finding.group for finding in FINDINGS if grouping.is_read(finding.group)]
    assert read == ["rounded", "irregular", "attenuation", "honeycombing", "emphysema"]


def test_a_zone_without_lung_is_not_read_and_neither_is_the_sum() -> None:
    bare = [[-1] * 20]
    extent = extent_of([section(n, tiles(10, 0), tiles(0, 0) if n else bare, height_mm=-10.0 * n) for n in range(3)])
    sheet = fill_sheet(extent, GROUPING, cut_points=CUTS)
    assert sheet.read[0].grades == (3, 3, 3, None, 0, 0)
    assert sheet.read[0].total is None
    lines = list(sheet_lines(sheet))
    assert lines[1] == "ICOERD irregular or linear: R 3/3/3, L -/0/0; sum not read of 18"
    assert not [entry for entry in sheet_evaluations(sheet) if entry.site == private("ZONE-LU")]
    assert [entry.name.value for entry in sheet_sums(sheet)] == []


def test_grades_are_coded_with_their_zone_and_side() -> None:
    evaluations = sheet_evaluations(fill_sheet(graded(), GROUPING, cut_points=CUTS))
    assert len(evaluations) == 12
    (worst,) = [each for each in evaluations if each.name.value == "ICO-HC" and each.value.value == "ICO-G3"]
    assert worst.site == private("ZONE-RL")
    assert worst.laterality is not None
    assert worst.laterality.meaning == "Right"
    sums = {each.name.value: each.value for each in sheet_sums(fill_sheet(graded(), GROUPING, cut_points=CUTS))}
    assert sums == {"ICO-IR-SUM": 6.0, "ICO-HC-SUM": 3.0}


# --- groups and numbers of the manifest -------------------------------------------------------------------------------


def test_groups_add_their_patterns_up_once() -> None:
    extent = graded()
    assert GROUPING.percent(extent, "irregular") == pytest.approx(extent.percent(1))
    assert GROUPING.percent(extent, "fibrosis") == pytest.approx(extent.percent(1) + extent.percent(2))
    assert GROUPING.percent(extent, "rounded") is None
    own = parse_groups({"reticulation": ["rounded", "consolidation"]}, PATTERNS)
    assert own.percent(extent, "rounded") == own.percent(extent, "consolidation") == pytest.approx(extent.percent(1))
    assert own.percent(extent, "honeycombing") is None, "the package's own table replaces the default one"


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([], "no mapping"),
        ({"granuloma": ["rounded"]}, "unknown pattern granuloma; known are reticulation, honeycombing"),
        ({"normal": ["rounded"]}, "unknown pattern normal"),
        ({"reticulation": "irregular"}, "no list of groups"),
        ({"reticulation": ["linear"]}, "known are rounded, irregular"),
        ({"reticulation": ["fibrosis"]}, "no list of groups"),
    ],
)
def test_groups_that_are_not_understood_are_refused(groups: Any, message: str) -> None:
    with pytest.raises(PackageError, match=message):
        parse_groups(groups, PATTERNS)


def test_every_default_group_is_known() -> None:
    assert {group for groups in DEFAULT.values() for group in groups} <= set(GROUPS)


def test_reading_takes_what_the_manifest_says() -> None:
    own = Reading.parse({"subpleural_mm": 5, "icoerd_cut_points": [1, 2, 3]})
    assert (own.subpleural_mm, own.icoerd_cut_points, own.vein_share) == (5.0, (1.0, 2.0, 3.0), 0.4)
    assert Reading.parse({}) == Reading()


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        ([], "no mapping"),
        ({"shell": 10}, "unknown key shell; known are icoerd_cut_points"),
        ({"vein_share": 1.2}, "not a number from 0 to 1"),
        ({"vein_share": True}, "not a number"),
        ({"subpleural_mm": "10"}, "not a number"),
        ({"icoerd_cut_points": [5, 25]}, "three rising numbers"),
        ({"icoerd_cut_points": [5, 5, 50]}, "three rising numbers"),
        ({"icoerd_cut_points": [0, 5, 50]}, "three rising numbers"),
        ({"icoerd_cut_points": [5, 25, 101]}, "three rising numbers"),
        ({"icoerd_cut_points": "5, 25, 50"}, "three rising numbers"),
    ],
)
def test_a_reading_that_is_not_understood_is_refused(reading: Any, message: str) -> None:
    with pytest.raises(PackageError, match=message):
        Reading.parse(reading)


# --- density and outline ----------------------------------------------------------------------------------------------


def emphysema(tiles_called: int, low_px: int) -> list[str]:
    names = parse_patterns(
        {
            "patterns": [
                {"name": name, "title": name, "scheme": "99DOKUEI", "value": "DLD-NORMAL", "least_percent": 2}
                for name in ("normal", "emphysema", "other")
            ]
        }
    )
    row = [1] * tiles_called + [0] * (100 - tiles_called)
    extent = extent_of([section(1, [row], [[0] * 100], height_mm=0, low_px=low_px)])
    flags = anatomy_flags(extent, names, Acceptance(), margin=Reading().low_attenuation_margin)
    return [flag.code for flag in flags if flag.code == "emphysema_not_confirmed"]


@pytest.mark.parametrize(
    ("called", "low_percent", "flagged"),
    [(40, 10.0, False), (42, 10.0, True), (20, 20.0, False), (20, 20.1, True), (0, 10.0, False), (0, 30.0, True)],
)
def test_emphysema_and_density_may_differ_by_ten_points_either_way(
    called: int, low_percent: float, flagged: bool
) -> None:
    # Of 200 tiles, `called` are half as many percent.
    assert bool(emphysema(called, round(low_percent / 100 * 200 * 144))) == flagged


def test_a_lung_that_jumps_is_flagged() -> None:
    sections = chest(12).slices
    flags = [flag.code for flag in anatomy_flags(extent_of(sections, jumps=2), PATTERNS, Acceptance(), margin=10)]
    assert "lungs_inconsistent" in flags
    calm = [flag.code for flag in anatomy_flags(extent_of(sections), PATTERNS, Acceptance(), margin=10)]
    assert "lungs_inconsistent" not in calm


def test_the_summary_says_what_the_shares_are_of() -> None:
    volume = table(graded(), PATTERNS, spacing_mm=1.0)
    assert volume[0] == "% of lung; R and L by upper/middle/lower zone"
    assert volume[-1].startswith("Zones: equal thirds of lung volume")
    assert "Reticulation: 13 (R 0/5/25, L 0/50/0)" in volume
    flat = extent_of(graded().slices, has_volumes=False)
    sliced = table(flat, PATTERNS, spacing_mm=10.0)
    assert sliced[0] == "% of lung area on 3 slices, 10 mm apart, no volumes; R and L by upper/middle/lower zone"
    assert sliced[-1].startswith("Zones: equal thirds of lung area")


def test_depth_and_height_are_compared() -> None:
    near = [[True] * 5 + [False] * 35]
    rows = [[2] * 5 + [0] * 15], [[0] * 20]

    extent = extent_of([section(n, rows[0], rows[1], height_mm=-10.0 * n, subpleural=np.array(near)) for n in range(3)])
    assert extent.percent(2, shell=0) == 100
    assert extent.percent(2, shell=1) == 0  # noqa: S604
    assert "Honeycombing: 100 % of subpleural and 0 % of central lung, upper to lower 1.0" in table(
        extent, PATTERNS, spacing_mm=1.0
    )
    assert upper_to_lower(3.0, 2.0) == 1.5
    assert upper_to_lower(3.0, 0.0) is None


# --- change -----------------------------------------------------------------------------------------------------------


def prior(percent: Any, *, digest: str = "a", mode: Any = "volume") -> Prior:
    package = PackageIdentity(name="lung", version="0.9.0", sha256=digest * 64, status=PackageStatus.RESEARCH)
    values = {"percent": percent, "mode": mode}
    return Prior(
        study_instance_uid="1.2.9", study_date="20240301", package=package, outcome=Outcome.FINDINGS, values=values
    )


NOW: Mapping[str, float] = {"normal": 80.0, "reticulation": 15.0, "honeycombing": 5.0}


def test_change_is_given_in_points_and_in_percent_and_names_the_study() -> None:
    found = compare(prior({"normal": 90.0, "reticulation": 10.0, "honeycombing": 0.0}), NOW, mode="volume")
    assert found is not None
    assert list(comparison_lines(found, PATTERNS)) == [
        "Change since the study of 2024-03-01 (lung 0.9.0)",
        "Normal lung, before and now: 90.0 and 80.0 %, -10.0 points (-11 %)",
        "Honeycombing, before and now: 0.0 and 5.0 %, +5.0 points",
        "Reticulation, before and now: 10.0 and 15.0 %, +5.0 points (+50 %)",
    ]
    values = comparison_values(found)
    assert (values["study_instance_uid"], values["study_date"]) == ("1.2.9", "20240301")
    assert values["points"] == {"normal": -10.0, "reticulation": 5.0, "honeycombing": 5.0}
    assert values["relative_percent"] == {"normal": -11.1, "reticulation": 50.0, "honeycombing": None}
    assert list(comparison_flags(found, PACKAGE)) == []


def test_another_package_and_another_way_of_sampling_are_flagged() -> None:
    other = compare(prior({"normal": 90.0}, digest="b"), NOW, mode="volume")
    assert other is not None
    assert [flag.code for flag in comparison_flags(other, PACKAGE)] == ["prior_of_other_package"]
    sliced = compare(prior({"normal": 90.0}, mode="slices"), NOW, mode="volume")
    assert sliced is not None
    assert [flag.code for flag in comparison_flags(sliced, PACKAGE)] == ["prior_of_other_mode"]
    unknown = compare(prior({"normal": 90.0}, mode=None), NOW, mode="volume")
    assert unknown is not None
    assert [flag.code for flag in comparison_flags(unknown, PACKAGE)] == ["prior_of_other_mode"]


@pytest.mark.parametrize("percent", [None, [], {"other": 3.0}, {"normal": "many"}])
def test_a_prior_without_these_shares_is_named_and_compared_in_nothing(percent: Any) -> None:
    found = compare(prior(percent), NOW, mode="volume")
    assert found is not None
    assert list(comparison_lines(found, PATTERNS))[1] == "No share of the prior study can be compared"
    assert comparison_values(found)["points"] == {}


def test_without_a_prior_there_is_no_change() -> None:
    assert compare(None, NOW, mode="volume") is None


def test_lines_are_plain_latin() -> None:
    sheet = fill_sheet(graded(), GROUPING, cut_points=CUTS)
    for line in (*sheet_lines(sheet), *table(graded(), PATTERNS, spacing_mm=1.0)):
        assert re.fullmatch(r"[ -~]+", line)
