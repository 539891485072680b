# SPDX-License-Identifier: Apache-2.0
"""A result in plain words as Basic Text SR (PS3.3 A.35.1) after TID 2000, for archives that take no other report.

English or Japanese; it holds no number and no coordinate that the words do not say.
"""

from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage

from service.codes import code, dcm
from service.domain.result import Finding, Outcome, PipelineResult
from service.ports import EncodedObject, ResultContext, ResultKind
from service.results.object.equipment import stamp
from service.results.object.identifiers import result_uid, sr_series_instance_uid
from service.results.object.part10 import write_object
from service.results.report.sr_document import Identity, device_observer, document, language
from service.results.report.sr_tree import Container, Image, Item, Link, Text, contains
from service.results.source.sources import Sources
from service.results.source.verbatim import patient_and_study
from service.results.words.rows import row_of
from service.results.words.statements import is_demonstration, series_description
from service.results.words.wording import WORDS, Words, headline, provenance, reasons, sheet_lines

SERIES_NUMBER = 9601
TEXT_ROLE = "text"


def encode_text(result: PipelineResult, context: ResultContext, folder: Path) -> tuple[EncodedObject, ...]:
    """Write the report in words."""
    sources = Sources.of(context)
    dataset = text_document(result, context, sources, role=TEXT_ROLE)
    verbatim = patient_and_study(sources.header(sources.first.sop_instance_uid))
    return (write_object(dataset, folder, kind=ResultKind.TEXT, verbatim=verbatim),)


def text_document(result: PipelineResult, context: ResultContext, sources: Sources, *, role: str) -> Dataset:
    """Return the report in words, complete but for patient and study; `role` makes its UIDs."""
    uid = result_uid(result, role, revision=context.revision, profile=context.profile)
    identity = Identity(
        sop_class_uid=BasicTextSRStorage,
        sop_instance_uid=uid,
        series_instance_uid=sr_series_instance_uid(uid),
        series_number=SERIES_NUMBER,
    )
    study = sources.first.study_instance_uid
    root = _root(result, sources, WORDS[sources.language])
    dataset = document(
        root,
        identity,
        study_instance_uid=study,
        evidence=sources.instances,
        predecessors=context.predecessors,
    )
    header = sources.header(sources.first.sop_instance_uid)
    stamp(dataset, result, description=series_description(result, "text", context=context), source=header)
    return dataset


def _root(result: PipelineResult, sources: Sources, words: Words) -> Item:
    """Return TID 2000: conclusion first, then what was not analysed, findings, and how it was made."""
    sections = (
        _section("121076", "121077", _conclusion(result, words)),
        _section("121070", "121071", _findings(result, words)),
        _section("121111", "121106", (*_summary(result, sources, words), *sheet_lines(result, words))),
        _procedure(result, sources, words),
    )
    observer = device_observer(result)
    links = (*language(code("RFC5646", words.language.value)), *observer, *contains(*filter(None, sections)))
    return Item(code("LN", "18748-4"), Container("2000"), links)


def _section(heading: str, name: str, lines: tuple[str, ...]) -> Item | None:
    said = tuple(line for line in lines if line.strip())
    return Item(dcm(heading), Container(), _texts(name, said)) if said else None


def _texts(name: str, lines: tuple[str, ...]) -> tuple[Link, ...]:
    return contains(*(Item(dcm(name), Text(line)) for line in lines))


def _conclusion(result: PipelineResult, words: Words) -> tuple[str, ...]:
    """Return the state in unmistakable words, the result line, what was left out and why, and the warnings."""
    warning = (words.demonstration_sentence,) if is_demonstration(result) else ()
    state = f"{words.outcomes[result.outcome]} - {words.states[result.outcome]}"
    return (*warning, state, headline(result, words), *_left_out(result, words), words.research_sentence)


def _left_out(result: PipelineResult, words: Words) -> tuple[str, ...]:
    return tuple(f"{words.term('Not analysed')}: {reason}" for reason in reasons(result, words))


def _findings(result: PipelineResult, words: Words) -> tuple[str, ...]:
    if not result.findings:
        is_refusal = result.outcome is Outcome.NOT_ANALYSED
        return (words.term("The model was not run." if is_refusal else "No finding was marked."),)
    return tuple(_sentence(finding, result, words) for finding in result.findings)


def _sentence(finding: Finding, result: PipelineResult, words: Words) -> str:
    """Say place, finding and presence in the words of their codes, after the label where it says something else."""
    row = row_of(finding, result, words)
    values = f" ({row.values})" if row.values else ""
    place = f"{row.place}, " if row.place else ""
    label = "" if row.finding in row.label else f"{row.label} - "
    return f"{label}{place}{row.finding}: {row.presence}{values}"


def _summary(result: PipelineResult, sources: Sources, words: Words) -> tuple[str, ...]:
    notes = [f"{words.term('Note')}: {words.reason(flag)}" for flag in result.flags]
    return (*map(words.line, result.summary), *notes, *(f"{words.term('Note')}: {note}" for note in sources.notes))


def _procedure(result: PipelineResult, sources: Sources, words: Words) -> Item:
    """Return how the result was made and from which images, as references that a viewer can follow."""
    lines = tuple(f"{name}: {value}" for name, value in provenance(result, words))
    images = contains(*(Item(dcm("121112"), Image(instance)) for instance in sources.instances))
    return Item(dcm("121064"), Container(), (*_texts("121065", lines), *images))
