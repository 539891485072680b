# SPDX-License-Identifier: Apache-2.0
"""What people read in presentation states, segmentations and maps is in the language of the destination."""

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from harness.studies import CHARACTER_SETS, context_of, named_sources, result_of
from service.domain.instance import Instance
from service.domain.profile import EncodingProfile, Language
from service.domain.result import Outcome, PipelineResult, Priority
from service.ports import ResultKind
from service.results import ENCODERS
from service.results.gate import check_object
from service.results.lint.every_object import code_items
from service.results.words.wording import ENGLISH, JAPANESE, Words, title

JAPANESE_PROFILE = EncodingProfile(language=Language.JAPANESE)
OVERLAYS = (ResultKind.PRESENTATION_STATE, ResultKind.SEGMENTATION, ResultKind.PARAMETRIC_MAP)
HEADLINE = "Small opacities, profusion 1/2, shape q/q"


def encoded(
    kind: ResultKind, result: PipelineResult, sources: tuple[Instance, ...], folder: Path, profile: EncodingProfile
) -> list[Dataset]:
    context = context_of(*sources, profile=profile, priority=Priority.URGENT)
    return [pydicom.dcmread(entry.path) for entry in ENCODERS[kind](result, context, folder)]


def on_every_image(state: Dataset) -> str:
    return str(state.GraphicAnnotationSequence[-1].TextObjectSequence[0].UnformattedTextValue)


@pytest.mark.parametrize(("profile", "words"), [(EncodingProfile(), ENGLISH), (JAPANESE_PROFILE, JAPANESE)])
@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_presentation_state_says_everything_in_one_language(
    modality: str, outcome: Outcome, profile: EncodingProfile, words: Words, tmp_path: Path
) -> None:
    sources = named_sources(modality, "kanji", tmp_path / "sources")
    result = result_of(modality, sources, outcome, headline=HEADLINE)
    for state in encoded(ResultKind.PRESENTATION_STATE, result, sources, tmp_path, profile):
        said = on_every_image(state)
        assert said.startswith(f"AI {words.outcomes[outcome]}\r\n")
        assert words.research_banner in said
        assert (words.not_negative_sentence in said) == (outcome is Outcome.NOT_ANALYSED)
        assert (words.line(HEADLINE) in said) == (outcome is not Outcome.NOT_ANALYSED)
        assert {layer.GraphicLayerDescription for layer in state.GraphicLayerSequence} == {words.research_banner}
        captions = [
            str(text.UnformattedTextValue)
            for annotation in state.GraphicAnnotationSequence[:-1]
            for text in annotation.TextObjectSequence
        ]
        assert set(captions) <= {words.label(finding) for finding in result.findings}
        assert said.isascii() == (words is ENGLISH)


@pytest.mark.parametrize(("profile", "words"), [(EncodingProfile(), ENGLISH), (JAPANESE_PROFILE, JAPANESE)])
def test_descriptions_are_in_the_language_and_codes_and_segments_in_english(
    profile: EncodingProfile, words: Words, tmp_path: Path
) -> None:
    sources = named_sources("CT", "kanji", tmp_path / "sources")
    result = result_of("CT", sources, Outcome.FINDINGS, headline=HEADLINE)
    for kind in OVERLAYS:
        for dataset in encoded(kind, result, sources, tmp_path, profile):
            assert dataset.ContentDescription == words.line(HEADLINE)
            assert all(str(item.CodeMeaning).isascii() for item in code_items(dataset))
            assert all(str(segment.SegmentLabel).isascii() for segment in dataset.get("SegmentSequence") or [])


@pytest.mark.peers
@pytest.mark.parametrize("character_set", CHARACTER_SETS)
def test_japanese_overlays_are_valid_in_every_character_set(character_set: str, tmp_path: Path) -> None:
    sources = named_sources("CT", character_set, tmp_path / "sources")
    result = result_of("CT", sources, Outcome.PARTLY_ANALYSED, headline=HEADLINE)
    context = context_of(*sources, profile=JAPANESE_PROFILE)
    for kind in OVERLAYS:
        for entry in ENCODERS[kind](result, context, tmp_path):
            assert check_object(entry.path) == ()


def test_a_source_that_cannot_carry_japanese_has_english_overlays(tmp_path: Path) -> None:
    sources = named_sources("CR", "latin", tmp_path / "sources")
    for source in sources:
        dataset = pydicom.dcmread(source.path)
        dataset.PatientName = "\x1b$B;3ED\x1b(B^X"
        pydicom.dcmwrite(source.path, dataset)
    result = result_of("CR", sources, Outcome.FINDINGS)
    (state,) = encoded(ResultKind.PRESENTATION_STATE, result, sources, tmp_path, JAPANESE_PROFILE)
    assert on_every_image(state).startswith("AI Analysed: findings")


@pytest.mark.parametrize("sentence", [JAPANESE.research_banner, JAPANESE.not_negative_sentence])
def test_the_gate_misses_a_sentence_in_either_language(sentence: str, tmp_path: Path) -> None:
    sources = named_sources("CR", "kanji", tmp_path / "sources")
    context = context_of(*sources, profile=JAPANESE_PROFILE)
    result = result_of("CR", sources, Outcome.NOT_ANALYSED)
    (entry,) = ENCODERS[ResultKind.PRESENTATION_STATE](result, context, tmp_path)
    assert check_object(entry.path, validators=()) == ()
    state = pydicom.dcmread(entry.path)
    text = state.GraphicAnnotationSequence[-1].TextObjectSequence[0]
    text.UnformattedTextValue = str(text.UnformattedTextValue).replace(sentence, "")
    pydicom.dcmwrite(entry.path, state)
    assert any(f"says '{sentence}'" in problem for problem in check_object(entry.path, validators=()))


def test_a_description_is_one_value(radiograph: Instance) -> None:
    """A backslash would make two of it; to simple readers, so would a character that has the backslash's byte."""
    result = result_of("CR", (radiograph,), Outcome.FINDINGS, headline="A\\B " * 40)
    for words in (ENGLISH, JAPANESE):
        assert "\\" not in title(result, words)
        assert len(title(result, words)) <= 64
    banners = (JAPANESE.research_banner, *JAPANESE.outcomes.values(), JAPANESE.line(HEADLINE))
    assert all(b"\\" not in said.encode("iso2022_jp") for said in banners)
