# SPDX-License-Identifier: Apache-2.0
"""Everything that is said to people, by language; codes and their meanings are English in every object."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from service import __version__
from service.codes import Code
from service.domain.profile import Language
from service.domain.result import Finding, Outcome, PipelineResult, Presence, Reason
from service.results.words import japanese, statements
from service.results.words.statements import MAX_LABEL, is_demonstration, latin


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The sentences of one language, and how lines, reasons, codes and labels of a result are said in it."""

    language: Language
    research_banner: str
    demonstration_banner: str
    research_sentence: str
    demonstration_sentence: str
    not_negative_sentence: str
    outcomes: Mapping[Outcome, str]
    states: Mapping[Outcome, str]
    presences: Mapping[Presence, str]
    line: Callable[[str], str]
    term: Callable[[str], str]
    reason: Callable[[Reason], str]
    code: Callable[[Code], str]
    label: Callable[[Finding], str]
    pipeline: Callable[[str], str]
    question: Callable[[str], str]


ENGLISH = Words(
    language=Language.ENGLISH,
    research_banner=statements.RESEARCH_BANNER,
    demonstration_banner=statements.DEMONSTRATION_BANNER,
    research_sentence=statements.RESEARCH_SENTENCE,
    demonstration_sentence=statements.DEMONSTRATION_SENTENCE,
    not_negative_sentence=statements.NOT_NEGATIVE_SENTENCE,
    outcomes=statements.OUTCOME_WORDS,
    states=statements.STATE_SENTENCES,
    presences=statements.PRESENCE_WORDS,
    line=latin,
    term=str,
    reason=lambda entry: latin(entry.message),
    code=lambda entry: latin(entry.meaning),
    label=lambda finding: statements.label(finding.label) or "Finding",
    pipeline=lambda name: name.replace("_", " "),
    question=latin,
)
JAPANESE = Words(
    language=Language.JAPANESE,
    research_banner=japanese.RESEARCH_BANNER,
    demonstration_banner=japanese.DEMONSTRATION_BANNER,
    research_sentence=japanese.RESEARCH_SENTENCE,
    demonstration_sentence=japanese.DEMONSTRATION_SENTENCE,
    not_negative_sentence=japanese.NOT_NEGATIVE_SENTENCE,
    outcomes=japanese.OUTCOMES,
    states=japanese.STATES,
    presences=japanese.PRESENCES,
    line=lambda words: japanese.line(latin(words)),
    term=lambda words: japanese.TERMS[words],
    reason=lambda entry: japanese.reason(entry, latin(entry.message)),
    code=japanese.code,
    label=lambda finding: japanese.label(finding, statements.label(finding.label))[:MAX_LABEL],
    pipeline=japanese.pipeline,
    question=lambda words: japanese.question(latin(words)),
)
WORDS: Mapping[Language, Words] = MappingProxyType({words.language: words for words in (ENGLISH, JAPANESE)})


def headline(result: PipelineResult, words: Words) -> str:
    """Return the result line, which names its state: an unknown form is said in the words of the state first."""
    said = words.line(result.headline)
    if words is ENGLISH or said != latin(result.headline):
        return said
    return f"{words.outcomes[result.outcome]} ({said})"


def title(result: PipelineResult, words: Words) -> str:
    """Return the result line as a long string (LO): at most 64 characters, no backslash, which separates values."""
    return headline(result, words).replace("\\", "/")[:MAX_LABEL].strip()


def reason_line(result: PipelineResult, words: Words) -> str:
    """Return the line that says what was not analysed; "" when everything was."""
    if words is ENGLISH:
        return statements.reason_line(result)
    said = " ".join(reasons(result, words))
    return f"{words.outcomes[result.outcome]}:{said}" if said else ""


def reasons(result: PipelineResult, words: Words) -> tuple[str, ...]:
    """Return why something was not analysed, one line for each reason; nothing where all was."""
    if result.outcome not in {Outcome.NOT_ANALYSED, Outcome.PARTLY_ANALYSED}:
        return ()
    return tuple(map(words.reason, result.refusals)) or (words.term("no reason was recorded"),)


def package_line(result: PipelineResult, words: Words) -> str:
    """Return name, version and the beginning of the digest of the package."""
    return statements.package_line(result) if result.package else words.term("none ran")


def comments(result: PipelineResult, words: Words = ENGLISH, *, notes: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the comments of a report, most important first.

    Parameters
    ----------
    notes
        What could not be done as the destination asks, in English.
    """
    lines = [headline(result, words), reason_line(result, words)]
    if result.outcome is Outcome.NOT_ANALYSED:
        lines.append(words.not_negative_sentence)
    lines += map(words.line, result.summary)
    lines += [f"{words.term('Note')}: {words.reason(flag)}" for flag in result.flags]
    lines += [f"{words.term('Note')}: {note}" for note in notes]
    lines += [words.demonstration_sentence] if is_demonstration(result) else []
    return tuple(line for line in (*lines, words.research_sentence) if line)


def sheet_lines(result: PipelineResult, words: Words) -> tuple[str, ...]:
    """Return the reading sheet as lines of text, what it is not before all; nothing where there is none."""
    sheet = result.sheet
    if sheet is None:
        return ()
    rows = (
        f"{words.question(section.title)} - {words.question(row.name)}: {words.line(row.answer)}"
        for section in sheet.sections
        for row in section.rows
    )
    return (f"{words.question(sheet.title)}: {words.line(sheet.note)}", *rows)


def provenance(result: PipelineResult, words: Words) -> tuple[tuple[str, str], ...]:
    """Return what made the result, as pairs of a term and its value: the same in every object for people."""
    package = result.package
    rows = [("Pipeline", words.pipeline(result.pipeline))]
    if package is None:
        rows.append(("Model package", words.term("none ran")))
    else:
        rows += [
            ("Model package", latin(f"{package.name} {package.version}")),
            ("Package digest (SHA-256)", package.sha256),
            ("Package status", words.term(package.status.value)),
        ]
    rows += [
        ("Operating point", operating_point(result, words)),
        ("Software", f"dokuei {__version__}"),
        ("Analysed at", f"{result.analysed_at:%Y-%m-%d %H:%M:%S %z}".strip()),
    ]
    return tuple((words.term(name), value) for name, value in rows)


def operating_point(result: PipelineResult, words: Words) -> str:
    """Return the score and the threshold that it was held against."""
    triage = result.triage
    if triage is None:
        return words.term("no operating point was applied")
    name = latin(triage.operating_point)
    return f"{name} {triage.threshold:.3f} ({words.term('Model score')} {triage.score:.3f})"
