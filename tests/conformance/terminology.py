# SPDX-License-Identifier: Apache-2.0
"""Tables of the codes that objects may have."""

import re
from collections.abc import Collection, Iterator, Sequence
from functools import cache
from pathlib import Path

import yaml

import service
from service.codes import PRIVATE_SCHEME, CodeEntry
from service.codes import table as codes
from service.domain.provenance import MANUFACTURER
from service.domain.result import Outcome
from service.results.overlay.presentation_state import CONTENT_LABELS
from service.results.report.cad_library import CHEST_WORDS, MAMMOGRAPHY_WORDS
from service.results.report.cad_parts import SUMMARIES
from service.results.report.context_groups import ADDED_CHEST_MODIFIERS
from service.results.report.sr1500 import WHOLE_PRESENCE
from service.results.report.sr_document import CODING_SCHEME_UIDS, PRIVATE_SCHEME_NAME
from service.results.report.sr_group import PRESENCE
from service.results.words.statements import STATE_SENTENCES
from tests.conformance.generated import joined, table

HERE = Path(service.__file__).parent
PACKAGES = HERE.parent / "models" / "packages"
SCHEME_NAMES = {
    "DCM": "DICOM Controlled Terminology",
    "SCT": "SNOMED CT",
    "UCUM": "Unified Code for Units of Measure",
    "LN": "LOINC",
    "UMLS": "Unified Medical Language System",
    "RADLEX": "RadLex",
    "RFC5646": "Tags for identifying languages",
    PRIVATE_SCHEME: PRIVATE_SCHEME_NAME,
}


OWN_TABLES = frozenset({"DCM", "SCT", PRIVATE_SCHEME})


def schemes() -> str:
    """Return the coding schemes, and how objects identify them."""
    rows = []
    for scheme in dict.fromkeys(scheme for scheme, _ in codes()):
        count = sum(own == scheme for own, _ in codes())
        identified = CODING_SCHEME_UIDS.get(scheme, "")
        if scheme == PRIVATE_SCHEME:
            identified = f'name "{PRIVATE_SCHEME_NAME}", responsible organization "{MANUFACTURER}"'
        rows.append((scheme, SCHEME_NAMES[scheme], str(count), identified or "by its designator alone"))
    return table(("Designator", "Scheme", "Codes", "In Coding Scheme Identification Sequence"), rows)


def codes_of(scheme: str) -> str:
    """Return the codes of a scheme, and who names each."""
    return _codes({scheme})


def other_codes() -> str:
    """Return the codes of the schemes that have no table of their own."""
    return _codes({scheme for scheme, _ in codes()} - OWN_TABLES)


def _codes(schemes_of_table: Collection[str]) -> str:
    entries = [entry for entry in codes().values() if entry.code.scheme in schemes_of_table]
    return table(
        ("Code", "Meaning", "Japanese", "Use", "Basis", "Named by"),
        [
            (
                entry.code.value if entry.code.scheme in OWN_TABLES else f"{entry.code.value} ({entry.code.scheme})",
                entry.code.meaning,
                entry.meaning_ja,
                entry.use,
                entry.basis,
                _named_by(entry),
            )
            for entry in entries
        ],
    )


def _named_by(entry: CodeEntry) -> str:
    value = entry.code.value
    if value in _constants() or any(pattern.fullmatch(value) for pattern in _patterns()):
        return "node"
    return "shipped package" if (entry.code.scheme, value) in _of_packages() else "site's package"


@cache
def _constants() -> frozenset[str]:
    """Return every plain text constant of the node's modules."""
    return frozenset(re.findall(r'"([^"\\\n]+)"', _sources()))


@cache
def _patterns() -> tuple[re.Pattern[str], ...]:
    """Return the forms of codes that are put together, for example of a zone from its side and level."""
    forms = re.findall(r'\b(?:private|dcm|sct)\(f"([^"\n]+)"', _sources())
    return tuple(re.compile(".+".join(map(re.escape, re.split(r"\{[^}]*\}", form)))) for form in forms)


@cache
def _sources() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(HERE.rglob("*.py")))


@cache
def _of_packages() -> frozenset[tuple[str, str]]:
    """Return the codes that the manifests of the shipped packages name."""
    manifests = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(PACKAGES.rglob("manifest.yaml"))]
    return frozenset(found for manifest in manifests for found in _pairs(manifest))


def _pairs(value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        if {"scheme", "value"} <= value.keys():
            yield str(value["scheme"]), str(value["value"])
        for below in value.values():
            yield from _pairs(below)
    elif isinstance(value, list):
        for below in value:
            yield from _pairs(below)


def context_groups() -> str:
    """Return where codes come from context groups of the standard, and what is added to extensible ones."""
    rows = [
        (f"CID {words.view_cid}", f"view of an image in the library of {report}", "the source's code")
        for words, report in ((MAMMOGRAPHY_WORDS, "Mammography CAD SR"), (CHEST_WORDS, "Chest CAD SR"))
    ]
    rows += [
        (f"CID {words.modifier_cid}", f"view modifier, in {report}", "the source's code")
        for words, report in ((MAMMOGRAPHY_WORDS, "Mammography CAD SR"), (CHEST_WORDS, "Chest CAD SR"))
    ]
    added = joined(f"({entry.value}, {entry.scheme}, {entry.meaning})" for entry in ADDED_CHEST_MODIFIERS)
    rows.append(("CID 6102", "modifier of a finding of Chest CAD SR, extended", added))
    return table(("Context group", "Where", "Codes"), rows)


SAYS = {
    Outcome.FINDINGS: "measurement groups; presence {}",
    Outcome.NO_FINDINGS: "a group; presence {}",
    Outcome.PARTLY_ANALYSED: "groups, and a comment naming what was not analysed; without a finding, presence {}",
    Outcome.NOT_ANALYSED: "a group; presence {}, and the reasons",
}


def states() -> str:
    """Return how each state of an analysis is told in codes and words."""
    rows: list[Sequence[str]] = []
    for outcome in Outcome:
        presence = PRESENCE[WHOLE_PRESENCE[outcome]]
        summaries = joined(f"{entry.value} {entry.meaning}" for entry in SUMMARIES[outcome].values())
        said = SAYS[outcome].format(f"({presence.value}, {presence.scheme}, {presence.meaning})")
        rows.append(
            (outcome.value.replace("_", " "), said, CONTENT_LABELS[outcome], summaries, STATE_SENTENCES[outcome])
        )
    return table(
        (
            "State",
            "TID 1500 report",
            "Content label of the presentation state",
            "CAD report (CID 6047)",
            "Text and PDF",
        ),
        rows,
    )
