# SPDX-License-Identifier: Apache-2.0
"""Rules for the report in words: one state, said so that none can be taken for another, and who made it from what."""

from collections.abc import Callable

from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage

from service.domain.provenance import DEMONSTRATION_MODEL_NAME
from service.domain.result import Outcome
from service.results.lint.report import (
    Concept,
    children,
    concept,
    content_items,
    evidence_is_complete,
    relationships_resolve,
    state_is_unverified,
    template,
)
from service.results.words.wording import ENGLISH, WORDS, Words

TITLE: Concept = ("18748-4", "LN", "Diagnostic Imaging Report")
LANGUAGE: Concept = ("121049", "DCM", "Language of Content Item and Descendants")
CONCLUSIONS: Concept = ("121076", "DCM", "Conclusions")
DESCRIPTION: Concept = ("121065", "DCM", "Procedure Description")
VALUE_TYPES = frozenset(
    {"CONTAINER", "TEXT", "CODE", "UIDREF", "IMAGE", "COMPOSITE", "DATE", "TIME", "DATETIME", "PNAME"}
)
"""Value types that Basic Text SR may hold (PS3.3 A.35.1.3.1)."""
PROVENANCE = ("Model package", "Operating point", "Software", "Analysed at")


def is_text_report(dataset: Dataset) -> list[str]:
    """Basic Text SR, TID 2000, a title of CID 7000."""
    problems = []
    if dataset.get("SOPClassUID") != BasicTextSRStorage:
        problems.append(f"'SOPClassUID' is {dataset.get('SOPClassUID')}, not Basic Text SR Storage")
    if concept(dataset) != TITLE:
        problems.append(f"the title is {concept(dataset)}, not {TITLE}")
    if template(dataset) != "2000":
        problems.append(f"the root template is {template(dataset)!r}, not '2000'")
    return problems


def holds_words_only(dataset: Dataset) -> list[str]:
    """No number, no coordinates: archives that take this class alone do not know them."""
    types = {str(item.get("ValueType", "")) for item in content_items(dataset)}
    return [f"value type {value!r} is not allowed in Basic Text SR" for value in sorted(types - VALUE_TYPES)]


def states_one_outcome(dataset: Dataset) -> list[str]:
    """The conclusions hold the sentence of exactly one state, and no sentence of another."""
    words = _words(dataset)
    if words is None:
        return ["the language is neither English nor Japanese (121049, DCM)"]
    said = [outcome for outcome in Outcome if words.states[outcome] in _conclusions(dataset)]
    return [] if len(said) == 1 else [f"the conclusions hold the sentences of {len(said)} states, not of one"]


def refusal_gives_its_reason(dataset: Dataset) -> list[str]:
    """What was not analysed, whole or part, is followed by why."""
    words = _words(dataset)
    if words is None:
        return []
    incomplete = [words.states[outcome] for outcome in (Outcome.PARTLY_ANALYSED, Outcome.NOT_ANALYSED)]
    text = _conclusions(dataset)
    is_incomplete = any(sentence in text for sentence in incomplete)
    missing = is_incomplete and f"{words.term('Not analysed')}: " not in text
    return ["not everything was analysed, but no reason is given"] if missing else []


def words_say_research(dataset: Dataset) -> list[str]:
    """The conclusions say that it is research, and a demonstration that it is one."""
    words = _words(dataset)
    if words is None:
        return []
    needed = [words.research_sentence]
    needed += [words.demonstration_sentence] if dataset.ManufacturerModelName == DEMONSTRATION_MODEL_NAME else []
    text = _conclusions(dataset)
    return [f"the conclusions do not say {sentence!r}" for sentence in needed if sentence not in text]


def says_how_it_was_made(dataset: Dataset) -> list[str]:
    """Package, operating point, software and time of the analysis are said."""
    words = _words(dataset)
    if words is None:
        return []
    lines = [str(item.get("TextValue", "")) for item in content_items(dataset) if concept(item) == DESCRIPTION]
    names = [words.term(name) for name in PROVENANCE]
    return [f"the report does not say {name!r}" for name in names if not any(line.startswith(name) for line in lines)]


def words_are_readable(dataset: Dataset) -> list[str]:
    """A report in English is ASCII, and one in Japanese was not written in a character set that lost it."""
    words = _words(dataset)
    texts = [str(item.TextValue) for item in content_items(dataset) if "TextValue" in item]
    if words is ENGLISH and not all(text.isascii() for text in texts):
        return ["an English report holds characters that are not ASCII"]
    return [f"a text cannot be read: {text[:20]!r}" for text in texts if "\ufffd" in text or not text.strip()]


def _words(dataset: Dataset) -> Words | None:
    """Return the words of the language that the report declares."""
    values = [item.ConceptCodeSequence[0].CodeValue for item in children(dataset, LANGUAGE)]
    return next((words for language, words in WORDS.items() if [language.value] == values), None)


def _conclusions(dataset: Dataset) -> str:
    sections = children(dataset, CONCLUSIONS)
    return "\n".join(str(item.get("TextValue", "")) for section in sections for item in children(section))


TEXT_RULES: tuple[Callable[[Dataset], list[str]], ...] = (
    is_text_report,
    holds_words_only,
    states_one_outcome,
    refusal_gives_its_reason,
    words_say_research,
    says_how_it_was_made,
    words_are_readable,
    state_is_unverified,
    evidence_is_complete,
    relationships_resolve,
)
