# SPDX-License-Identifier: Apache-2.0
"""Reports, texts and printed reports of every pipeline, state, language and character set before independent judges."""

from pathlib import Path

import pydicom
import pytest

from harness.orthanc import Orthanc
from harness.pairs import in_pairs
from harness.studies import CHARACTER_SETS, NAME, context_of, named_sources, result_of, stored
from harness.validators import dcentvfy, dciodvfy, dsr2html, dsrdump, pdf_text, pdf_typefaces
from service.domain.instance import Instance
from service.domain.profile import DEFAULT_PROFILE, CharacterSet, EncodingProfile, Language, ReportClass, TrackingForm
from service.domain.result import Outcome, PipelineResult
from service.ports import EncodedObject, ResultKind
from service.results import ENCODERS
from service.results.gate import check_object
from service.results.words.wording import WORDS

pytestmark = pytest.mark.peers

KINDS = (ResultKind.SR, ResultKind.TEXT, ResultKind.PDF, ResultKind.HEATMAP)
JAPANESE = EncodingProfile(language=Language.JAPANESE)
PROFILES = {
    "default": DEFAULT_PROFILE,
    "AIR": EncodingProfile(report_class=ReportClass.COMPREHENSIVE_3D, tracking=TrackingForm.CORNERSTONE),
    "Japanese": JAPANESE,
    "Japanese UTF-8": EncodingProfile(language=Language.JAPANESE, character_set=CharacterSet.UTF8),
}


def encode(
    result: PipelineResult, origin: tuple[Instance, ...], profile: EncodingProfile, folder: Path
) -> list[EncodedObject]:
    context = context_of(*origin, profile=profile)
    return [item for kind in KINDS for item in ENCODERS[kind](result, context, folder)]


def comparable(origin: tuple[Instance, ...], profile: EncodingProfile, folder: Path) -> list[Path]:
    """Return the sources as dcentvfy, which compares bytes, can compare them: in UTF-8, converted by pydicom."""
    if profile.character_set is CharacterSet.PRESERVE:
        return [source.path for source in origin]
    converted = []
    for source in origin:
        dataset = pydicom.dcmread(source.path)
        dataset.decode()
        dataset.SpecificCharacterSet = "ISO_IR 192"
        converted.append(stored(dataset, folder).path)
    return converted


def iod_errors(path: Path) -> list[str]:
    """Return dciodvfy's errors; under ISO_IR 13 it takes half-width kana, which the source's name has, for an error."""
    is_kana = pydicom.dcmread(path, stop_before_pixels=True).get("SpecificCharacterSet") == "ISO_IR 13"
    return [error for error in dciodvfy(path) if not (is_kana and "PatientName" in error)]


def judge(
    made: list[EncodedObject], origin: tuple[Instance, ...], profile: EncodingProfile, outcome: Outcome, folder: Path
) -> None:
    for item in made:
        assert check_object(item.path, validators=()) == (), item.kind
        assert iod_errors(item.path) == [], item.kind
        if item.kind in {ResultKind.SR, ResultKind.TEXT}:
            assert dsrdump(item.path)
            assert dsr2html(item.path)
        if item.kind is ResultKind.PDF:
            judge_pdf(item.path, profile.language, outcome)
    assert dcentvfy([*(item.path for item in made), *comparable(origin, profile, folder)]) == []


def judge_pdf(path: Path, language: Language, outcome: Outcome) -> None:
    """Find the sentences of this state, and of no other, in what poppler reads."""
    dataset = pydicom.dcmread(path)
    pdf = path.with_suffix(".pdf")
    pdf.write_bytes(dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength])
    text, words = pdf_text(pdf), WORDS[language]
    found = {each for each in Outcome if "".join(words.states[each].split()) in text}
    assert found == {outcome}
    assert "".join(words.research_sentence.split()) in text
    assert ("".join(words.demonstration_banner.split()) in text) == (outcome is not Outcome.NOT_ANALYSED)
    assert "Yamada" not in text
    assert "T-0001" not in text
    assert set(pdf_typefaces(pdf).values()) == {True}


@pytest.mark.parametrize(
    ("modality", "outcome", "profile"), in_pairs(["CR", "MG", "CT"], list(Outcome), ["default", "AIR", "Japanese"])
)
def test_every_pipeline_state_and_profile(modality: str, outcome: Outcome, profile: str, tmp_path: Path) -> None:
    origin = named_sources(modality, "kanji", tmp_path / "sources")
    result = result_of(modality, origin, outcome)
    made = encode(result, origin, PROFILES[profile], tmp_path / "first")
    judge(made, origin, PROFILES[profile], outcome, tmp_path / "converted")
    again = encode(result, tuple(reversed(origin)), PROFILES[profile], tmp_path / "second")
    assert [item.path.read_bytes() for item in made] == [item.path.read_bytes() for item in again]


@pytest.mark.parametrize("profile", ["default", "Japanese", "Japanese UTF-8"])
@pytest.mark.parametrize("character_set", sorted(CHARACTER_SETS.keys() - {"kanji"}))
def test_every_character_set(character_set: str, profile: str, tmp_path: Path) -> None:
    origin = named_sources("CR", character_set, tmp_path / "sources")
    made = encode(result_of("CR", origin, Outcome.PARTLY_ANALYSED), origin, PROFILES[profile], tmp_path / "out")
    judge(made, origin, PROFILES[profile], Outcome.PARTLY_ANALYSED, tmp_path / "converted")
    for item in made:
        assert pydicom.dcmread(item.path).PatientName == pydicom.dcmread(origin[0].path).PatientName


@pytest.mark.parametrize("character_set", ["kanji", "utf-8"])
def test_orthanc_stores_every_form_once_and_reads_its_name(
    orthanc: Orthanc, character_set: str, tmp_path: Path
) -> None:
    origin = named_sources("CR", character_set, tmp_path / "sources")
    made = [
        item
        for outcome in Outcome
        for item in encode(result_of("CR", origin, outcome), origin, JAPANESE, tmp_path / "out")
    ]
    for item in made:
        first, second = orthanc.upload(item.path), orthanc.upload(item.path)
        assert (first["Status"], second["Status"]) == ("Success", "AlreadyStored"), item.kind
        assert orthanc.tags(first["ID"])["PatientName"] == NAME
    assert len(orthanc.instances()) == len(made)
    (study,) = orthanc.studies()
    assert len(orthanc.series_of(study)) == len({pydicom.dcmread(item.path).SeriesInstanceUID for item in made})
