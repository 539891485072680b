# SPDX-License-Identifier: Apache-2.0
"""A reading sheet stands in the report, coded, each grade with its place, and validators find nothing wrong with it."""

from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from harness.studies import context_of, result_of, source_dataset, stored
from harness.validators import PIXELMED, pixelmed
from service.codes import code, private, sct
from service.domain.record import load_result, save_result
from service.domain.result import Measurement, Outcome, PipelineResult, SiteEvaluation
from service.ports import ResultKind
from service.results import ENCODERS
from service.results.gate import check_object
from service.results.lint.report import concept, content_items

EXTENSIBLE = "not found in context group 100"
"""As in test_air_profile: PixelMed of 2022 takes the group of procedures for not extensible."""
SHEET = (
    SiteEvaluation(
        name=private("ICO-HC"), value=private("ICO-G2"), site=private("ZONE-RL"), laterality=sct("24028007")
    ),
    SiteEvaluation(name=private("ICO-HC"), value=private("ICO-G0"), site=private("ZONE-LU"), laterality=sct("7771000")),
    SiteEvaluation(name=private("ICO-IR"), value=private("ICO-G1"), site=private("ZONE-RM")),
    SiteEvaluation(name=private("ICO-EM"), value=private("ICO-G3")),
)
SUM = Measurement(name=private("ICO-HC-SUM"), value=2.0, unit=code("UCUM", "1"))


@pytest.fixture
def graded(tmp_path: Path) -> tuple[PipelineResult, Dataset, Path]:
    sources = tuple(stored(source_dataset("CT", number), tmp_path / "sources") for number in (1, 2))
    result = replace(result_of("CT", sources, Outcome.FINDINGS), evaluations=SHEET, measurements=(SUM,))
    entry = ENCODERS[ResultKind.SR](result, context_of(*sources), tmp_path / "out")[0]
    return result, pydicom.dcmread(entry.path), entry.path


def sheet_items(report: Dataset) -> list[Dataset]:
    (container,) = [item for item in report.ContentSequence if concept(item)[:2] == ("C0034375", "UMLS")]
    return [item for item in container.ContentSequence if concept(item)[0].startswith("ICO-")]


def test_every_grade_says_its_question_answer_place_and_side(graded: tuple[PipelineResult, Dataset, Path]) -> None:
    _, report, _ = graded
    worst, none, middle, whole, total = sheet_items(report)
    assert (concept(worst)[0], worst.ConceptCodeSequence[0].CodeValue) == ("ICO-HC", "ICO-G2")
    (site,) = worst.ContentSequence
    assert (concept(site)[0], site.ConceptCodeSequence[0].CodeValue) == ("363698007", "ZONE-RL")
    (side,) = site.ContentSequence
    assert side.ConceptCodeSequence[0].CodeMeaning == "Right"
    assert none.ConceptCodeSequence[0].CodeMeaning == "ICOERD grade 0"
    assert "ContentSequence" not in middle.ContentSequence[0]
    assert "ContentSequence" not in whole
    assert total.MeasuredValueSequence[0].NumericValue == 2
    assert total.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "1"


def test_without_a_sheet_nothing_is_said_of_one(tmp_path: Path) -> None:
    sources = (stored(source_dataset("CT"), tmp_path / "sources"),)
    plain = replace(result_of("CT", sources, Outcome.FINDINGS), triage=None)
    entry = ENCODERS[ResultKind.SR](plain, context_of(*sources), tmp_path / "out")[0]
    names = {concept(item)[0] for item in content_items(pydicom.dcmread(entry.path))}
    assert "C0034375" not in names


def test_the_sheet_survives_the_record(graded: tuple[PipelineResult, Dataset, Path], tmp_path: Path) -> None:
    result, _, _ = graded
    save_result(result, tmp_path / "kept")
    kept = load_result(tmp_path / "kept")
    assert (kept.evaluations, kept.measurements) == (SHEET, (SUM,))


def test_own_rules_hold(graded: tuple[PipelineResult, Dataset, Path]) -> None:
    assert check_object(graded[2], validators=()) == ()


@pytest.mark.peers
def test_validators_find_no_error(graded: tuple[PipelineResult, Dataset, Path]) -> None:
    assert check_object(graded[2]) == ()


@pytest.mark.peers
@pytest.mark.skipif(not PIXELMED.exists(), reason="PixelMed's validator is not installed (Debian: libpixelmed-java)")
def test_pixelmed_finds_no_error(graded: tuple[PipelineResult, Dataset, Path]) -> None:
    assert [error for error in pixelmed(graded[2]) if not error.endswith(EXTENSIBLE)] == []
