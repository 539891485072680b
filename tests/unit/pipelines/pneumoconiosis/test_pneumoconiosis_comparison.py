# SPDX-License-Identifier: Apache-2.0
"""The change since an older film, zone by zone."""

from datetime import UTC, datetime
from typing import Any

import pytest

from service.domain.prior import Prior
from service.domain.result import Outcome, PackageIdentity, PackageStatus, PipelineResult
from service.domain.sheet import ReadingSheet
from service.pipelines.pneumoconiosis.comparison import compare, comparison_line, with_prior
from service.pipelines.pneumoconiosis.reading import FilmReading, ZoneReading, read_film
from service.results.words.japanese_film import QUESTIONS
from service.results.words.wording import JAPANESE

ZONES = ("RU", "RM", "RL", "LU", "LM", "LL")
PACKAGE = PackageIdentity(name="films", version="1.1.0", sha256="1" * 64, status=PackageStatus.RESEARCH)
OLDER = PackageIdentity(name="films", version="1.0.0", sha256="0" * 64, status=PackageStatus.RESEARCH)


def film(*steps: float) -> FilmReading:
    return read_film(
        [
            ZoneReading(name=name, expected_step=step, score=0.5, shape_scores=(1, 0, 0, 0, 0, 0), area_cm2=80.0)
            for name, step in zip(ZONES, steps, strict=True)
        ]
    )


def prior(*steps: float, overall: Any = 4.2, package: PackageIdentity = PACKAGE, **more: Any) -> Prior:
    zones = {f"zone_{name}_expected_step": step for name, step in zip(ZONES, steps, strict=False)}
    return Prior(
        study_instance_uid="1.2",
        study_date="20250301",
        package=package,
        outcome=Outcome.FINDINGS,
        values={"overall_expected_step": overall, **zones, **more},
    )


def result() -> PipelineResult:
    return PipelineResult(
        pipeline="pneumoconiosis",
        study_instance_uid="1.3",
        outcome=Outcome.FINDINGS,
        headline="",
        package=PACKAGE,
        input_sop_instance_uids=("1.3.1",),
        analysed_at=datetime(2026, 4, 1, tzinfo=UTC),
        summary=("what follows",),
        sheet=ReadingSheet(title="", note="", sections=()),
    )


def test_changes_are_steps_between_the_printed_profusions():
    found = compare(prior(4.4, 4.5, 0, 1, 2, 11), film(6, 5, 0, 3.4, 0.6, 0))
    assert found is not None
    assert {name: change.steps for name, change in found.zones.items()} == dict(
        zip(ZONES, (2, 0, 0, 2, -1, -11), strict=True)
    )
    assert (found.overall.before, found.overall.now) == (4, 5)


def test_the_line_names_date_profusion_and_every_zone():
    older = prior(4, 4, 4, 4, 4, 4)
    line = comparison_line(older, compare(older, film(6, 4, 3, 6, 4, 4)))
    assert line == "Since 2025-03-01: profusion 1/1 to 1/2, +1 step; zones, steps: R +2 0 -1, L +2 0 0"
    same = comparison_line(older, compare(older, film(4, 4, 4, 4, 4, 4)))
    assert same == "Since 2025-03-01: profusion 1/1, unchanged; zones, steps: R 0 0 0, L 0 0 0"


def test_zones_that_the_older_result_lacks_are_left_out():
    older = prior(4, 4, 4)
    found = compare(older, film(6, 4, 4, 6, 4, 4))
    assert found is not None
    assert set(found.zones) == {"RU", "RM", "RL"}
    assert comparison_line(older, found).endswith("R +2 0 0, L - - -")


@pytest.mark.parametrize("overall", [None, "4", True, float("nan"), float("inf"), [4]])
def test_an_older_result_of_another_form_is_not_compared(overall):
    older = prior(4, 4, 4, 4, 4, 4, overall=overall)
    assert compare(older, film(*[4] * 6)) is None
    told = with_prior(result(), film(*[4] * 6), older)
    assert told.summary[0] == "The result of 2025-03-01 holds no profusion to compare with."
    assert told.flags == ()
    assert "prior_date" not in told.values


def test_the_result_holds_the_change_in_summary_sheet_and_record():
    told = with_prior(result(), film(*[6] * 6), prior(4, 4, 4, 4, 4, 4))
    assert told.summary[1:] == ("what follows",)
    assert told.flags == ()
    assert told.values["prior_date"] == "2025-03-01"
    assert told.values["change_overall_steps"] == 2
    assert [told.values[f"change_zone_{name}_steps"] for name in ZONES] == [2] * 6
    (section,) = told.sheet.sections
    rows = {row.name: row.answer for row in section.rows}
    assert rows["Date"] == "2025-03-01"
    assert rows["Profusion"] == rows["Right upper"] == "1/1 to 2/1, +2 steps"
    assert {section.title, *rows} - QUESTIONS.keys() == set()


def test_another_package_is_flagged():
    told = with_prior(result(), film(*[6] * 6), prior(4, 4, 4, 4, 4, 4, package=OLDER))
    assert [flag.code for flag in told.flags] == ["prior_of_other_package"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "Since 2025-03-01: profusion 1/1 to 1/2, +1 step; zones, steps: R +2 0 -1, L +2 0 0",
            "2025-03-01からの変化:密度1/1から1/2、+1段階;肺野ごとの段階:右 +2 0 -1、左 +2 0 0",
        ),
        (
            "Since 2025-03-01: profusion 1/1, unchanged; zones, steps: R 0 0 0, L - - -",
            "2025-03-01からの変化:密度1/1、変化なし;肺野ごとの段階:右 0 0 0、左 - - -",
        ),
        ("1/1 to 2/1, +2 steps", "1/1から2/1、+2段階"),
        ("0/-, unchanged", "0/-、変化なし"),
    ],
)
def test_changes_are_said_in_japanese(line, said):
    assert JAPANESE.line(line) == said
