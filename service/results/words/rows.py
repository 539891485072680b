# SPDX-License-Identifier: Apache-2.0
"""Findings as rows of a table for people, in the words of a language."""

from dataclasses import dataclass

from service.codes import code
from service.domain.result import Finding, Measurement, PipelineResult
from service.results.report.sr_group import score_of
from service.results.words.wording import Words

NO_UNITS = code("UCUM", "1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One finding: its label, where it is, what it is, what the model says of it, and its numbers and grades."""

    label: str
    place: str
    finding: str
    presence: str
    values: str


def row_of(finding: Finding, result: PipelineResult, words: Words) -> Row:
    """Return the row of a finding."""
    return Row(
        label=words.label(finding),
        place=_place(finding, words),
        finding=words.code(finding.finding),
        presence=words.presences[finding.presence],
        values="; ".join((*_evaluations(finding, words), *_numbers(finding, result, words))),
    )


def _place(finding: Finding, words: Words) -> str:
    """Return site and side; a site whose name holds the side ("Left breast") says it once."""
    site = words.code(finding.site) if finding.site else ""
    side = words.code(finding.laterality) if finding.laterality else ""
    return site if side and side.lower() in site.lower() else " ".join(filter(None, (site, side)))


def _evaluations(finding: Finding, words: Words) -> list[str]:
    return [words.code(entry.value) for entry in finding.evaluations]


def _numbers(finding: Finding, result: PipelineResult, words: Words) -> list[str]:
    score = None if finding.score is None else score_of(finding, finding.score, result)
    return [_number(entry, words) for entry in (score, *finding.measurements) if entry is not None]


def _number(entry: Measurement, words: Words) -> str:
    unit = "" if entry.unit == NO_UNITS else f" {entry.unit.value}"
    return f"{words.code(entry.name)} {entry.value:g}{unit}"
