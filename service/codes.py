# SPDX-License-Identifier: Apache-2.0
"""Every coded concept that Dokuei emits, once, read from `codes.csv` beside this file."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

PRIVATE_SCHEME = "99DOKUEI"
"""Coding scheme designator of concepts for which DICOM, SNOMED CT and RadLex have no code."""


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.3 section 8): value <= 16 characters, scheme, meaning <= 64 characters."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeEntry:
    """A row of codes.csv: the code, its Japanese meaning and where it comes from."""

    code: Code
    meaning_ja: str
    use: str
    basis: str


@cache
def table() -> dict[tuple[str, str], CodeEntry]:
    """Return all rows of codes.csv by (scheme, value)."""
    with files("service").joinpath("codes.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return {(row["scheme"], row["value"]): _entry(row) for row in rows}


def _entry(row: dict[str, str]) -> CodeEntry:
    code = Code(value=row["value"], scheme=row["scheme"], meaning=row["meaning"])
    return CodeEntry(code=code, meaning_ja=row["meaning_ja"], use=row["use"], basis=row["basis"])


def code(scheme: str, value: str) -> Code:
    """Return the code; an unknown one is a programming error and raises KeyError naming it."""
    try:
        return table()[scheme, value].code
    except KeyError:
        raise KeyError(f"code ({value}, {scheme}) is not in service/codes.csv; add it there with its basis") from None


def dcm(value: str) -> Code:
    """Return a code of the DICOM Controlled Terminology (PS3.16 Annex D)."""
    return code("DCM", value)


def sct(value: str) -> Code:
    """Return a SNOMED CT code."""
    return code("SCT", value)


def private(value: str) -> Code:
    """Return a code of our own scheme, 99DOKUEI."""
    return code(PRIVATE_SCHEME, value)
