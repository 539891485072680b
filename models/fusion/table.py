# SPDX-License-Identifier: Apache-2.0
"""Tables from CSV files: joined by study or patient, typed column by column, missing values kept as such."""

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.fusion.attributes import ATTRIBUTES, UNKNOWN, age_years

Rows = list[dict[str, str]]
_MOST_CATEGORIES = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """Which columns are no inputs: the target, the patient, the study; and what to leave out or take as words."""

    target: str
    patient: str
    study: str
    left_out: frozenset[str] = frozenset()
    as_words: frozenset[str] = frozenset()

    @property
    def reserved(self) -> frozenset[str]:
        """Columns that are never inputs."""
        return self.left_out | {self.target, self.patient, self.study}


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Table:
    """N studies.

    Parameters
    ----------
    numbers
        By column, float64 (N,), NaN where missing.
    words
        By column, text (N,), "" where missing.
    target
        0 or 1, (N,).
    patients, studies
        Text, (N,).
    """

    numbers: Mapping[str, NDArray[np.float64]]
    words: Mapping[str, NDArray[np.str_]]
    target: NDArray[np.int64]
    patients: NDArray[np.str_]
    studies: NDArray[np.str_]

    def rows(self, chosen: NDArray[np.intp]) -> "Table":
        """Return these rows, in this order."""
        return Table(
            numbers={name: column[chosen] for name, column in self.numbers.items()},
            words={name: column[chosen] for name, column in self.words.items()},
            target=self.target[chosen],
            patients=self.patients[chosen],
            studies=self.studies[chosen],
        )


def read_rows(path: Path) -> Rows:
    """Read a CSV file with a header line, UTF-8.

    Raises
    ------
    ValueError
        No header, a column twice, or a line of another length.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader, [])]
        if not header or "" in header or len(set(header)) < len(header):
            raise ValueError(f"{path}: the first line must name every column once; it is {','.join(header)!r}")
        rows = []
        for line in filter(None, reader):
            if len(line) != len(header):
                raise ValueError(f"{path}, line {reader.line_num}: {len(line)} values, the header has {len(header)}")
            rows.append(dict(zip(header, (value.strip() for value in line), strict=True)))
    if not rows:
        raise ValueError(f"{path}: no rows")
    return rows


def join(rows: Rows, other: Rows, *, key: str, where: str) -> Rows:
    """Add the columns of another file by `key`; where it has no row for a study its columns are missing.

    Raises
    ------
    ValueError
        The key is no column of both, a row of the other file is there twice, or a column is in both.
    """
    if key not in rows[0] or key not in other[0]:
        raise ValueError(f"{where}: both files need the column {key!r} to be joined; name it with --key")
    keyed = {row[key]: row for row in other}
    if len(keyed) < len(other):
        raise ValueError(f"{where}: {key!r} is there more than once; make one row of each")
    added = [name for name in other[0] if name != key]
    both = sorted({*added} & {*rows[0]})
    if both:
        raise ValueError(f"{where}: column {both[0]!r} is in the first file too; rename or remove it")
    nothing = dict.fromkeys(added, "")
    return [row | {name: keyed.get(row[key], nothing)[name] for name in added} for row in rows]


def make_table(rows: Rows, roles: Roles) -> Table:
    """Type every column: numbers where all known values are, else words.

    Raises
    ------
    ValueError
        A reserved column is missing, the target is not 0 or 1, a column of words has too many, or there is no input.
    """
    for name in (roles.target, roles.patient):
        if name not in rows[0]:
            raise ValueError(f"no column {name!r}; there are {', '.join(rows[0])}")
    columns = {name: [row[name] for row in rows] for name in rows[0] if name not in roles.reserved}
    numbers: dict[str, NDArray[np.float64]] = {}
    words: dict[str, NDArray[np.str_]] = {}
    for name, values in columns.items():
        parsed = None if name in roles.as_words or _is_word(name) else _numbers(name, values)
        if parsed is None:
            words[name] = _words(name, values)
        else:
            numbers[name] = parsed
    if not columns:
        raise ValueError("no column is left as an input; leave out fewer")
    patients = [row[roles.patient] for row in rows]
    if any(_missing(patient) for patient in patients):
        raise ValueError(f"column {roles.patient!r} is empty in some rows; patients must be known to split by patient")
    return Table(
        numbers=numbers,
        words=words,
        target=_target(roles.target, [row[roles.target] for row in rows]),
        patients=np.array(patients),
        studies=np.array([row.get(roles.study, "") for row in rows]),
    )


def _missing(value: str) -> bool:
    return value.upper() in UNKNOWN


def _is_word(name: str) -> bool:
    return name in ATTRIBUTES and not ATTRIBUTES[name].numeric


def _numbers(name: str, values: Sequence[str]) -> NDArray[np.float64] | None:
    """Return the column as numbers; None where a known value is none (but a DICOM age must be one)."""
    read: Callable[[str], float] = age_years if name == "PatientAge" else float
    column = []
    for value in values:
        try:
            column.append(math.nan if _missing(value) else read(value))
        except ValueError:
            if name == "PatientAge":
                raise
            return None
    found = np.array(column)
    if np.isinf(found).any():
        raise ValueError(f"column {name!r} has an infinite value; leave the cell empty where it is unknown")
    return found


def _words(name: str, values: Sequence[str]) -> NDArray[np.str_]:
    column = np.array(["" if _missing(value) else value for value in values])
    if len(set(column.tolist()) - {""}) > _MOST_CATEGORIES:
        raise ValueError(
            f"column {name!r} has more than {_MOST_CATEGORIES} different words, like an identifier; leave it out "
            "with --leave-out, or group its values"
        )
    return column


def _target(name: str, values: Sequence[str]) -> NDArray[np.int64]:
    wrong = sorted({value for value in values if value not in {"0", "1", "0.0", "1.0"}})
    if wrong:
        raise ValueError(f"target {name!r} has the value {wrong[0]!r}; it must be 0 or 1 in every row")
    target = np.array([int(float(value)) for value in values], dtype=np.int64)
    if len(set(target.tolist())) < 2:
        raise ValueError(f"target {name!r} is {target[0]} in every row; both 0 and 1 are needed")
    return target
