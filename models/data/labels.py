# SPDX-License-Identifier: Apache-2.0
"""Reads labels.csv, the form in which a site says what its images show."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from models.data.problem import LabelsError, Problem
from models.phantoms.chest_radiograph.opacities import PROFUSION

KEYS = ("sop_uid", "series_uid", "study_uid", "file")
"""What names an image, the most specific first; a series or a study stands for all its images."""
FREE_PREFIX = "icoerd_"
"""Columns that begin so are kept as they are."""


def _is_relative(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError("a path below the folder, without '..'")
    return value


def _is_profusion(value: str) -> str:
    if value not in PROFUSION:
        raise ValueError(f"one of the ILO 12-point scale: {', '.join(PROFUSION)}")
    return value


def _upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


Uid = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)*$", max_length=64)]
Pseudonym = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{8,128}$")]
Word = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
RelativePath = Annotated[str, AfterValidator(_is_relative)]


class LabelRow(BaseModel):
    """One statement about one image, series or study; cells that are empty are None.

    `label` is the reader's word for `target`; which words are positive is said where the data are used.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sop_uid: Uid | None = None
    series_uid: Uid | None = None
    study_uid: Uid | None = None
    file: RelativePath | None = None
    patient_id_hash: Pseudonym
    target: Word
    label: Word
    reader: Word | None = None
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    site: Word | None = None
    manufacturer: Word | None = None
    laterality: Annotated[Literal["L", "R", "B", "U"], BeforeValidator(_upper)] | None = None
    view: Word | None = None
    x_mm: Annotated[float, Field(allow_inf_nan=False)] | None = None
    y_mm: Annotated[float, Field(allow_inf_nan=False)] | None = None
    z_mm: Annotated[float, Field(allow_inf_nan=False)] | None = None
    diameter_mm: Annotated[float, Field(gt=0, le=1000)] | None = None
    mask_path: RelativePath | None = None
    ilo_profusion: Annotated[str, AfterValidator(_is_profusion)] | None = None
    exclude_reason: Word | None = None
    reading_minutes: Annotated[float, Field(ge=0, le=1000)] | None = None
    arrival_time: datetime | None = None
    pixel_size_mm: Annotated[float, Field(gt=0, le=10)] | None = None
    split: Literal["train", "tuning", "test"] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The column that names the image, and its value."""
        return next((name, value) for name in KEYS if (value := getattr(self, name)))


COLUMNS = tuple(LabelRow.model_fields)
_REQUIRED = ("patient_id_hash", "target", "label")
_REMEDIES: Mapping[str, str] = {
    "patient_id_hash": "give a salted hash or study number of 8 or more letters and digits, never a patient ID",
    "file": "give the path from the folder of images, with /",
    "mask_path": "give the path from the folder of images, with /",
    "arrival_time": "write it as 2026-04-01T09:30:00",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A row that fits, with its line in the file, and its columns that are kept as they are."""

    number: int
    row: LabelRow
    free: Mapping[str, str]


def read_labels(path: Path) -> tuple[Line, ...]:
    """Return every row of the file.

    Raises
    ------
    LabelsError
        Columns or rows do not fit, or two rows contradict each other; every fault is named.
    """
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        fault = Problem(
            line=text_line(path, error.start), column="", value="", rule="UTF-8", remedy="save the file as UTF-8"
        )
        raise LabelsError(path.name, [fault]) from error
    reader = csv.DictReader(text.splitlines(), restkey="", restval=None)
    problems = list(_column_problems(reader.fieldnames or []))
    if problems:
        raise LabelsError(path.name, problems)
    lines: list[Line] = []
    for cells in reader:
        found = _line(reader.line_num, cells)
        lines.extend([found] if isinstance(found, Line) else [])
        problems.extend([] if isinstance(found, Line) else found)
    problems.extend(_contradictions(lines))
    if problems:
        raise LabelsError(path.name, sorted(problems, key=lambda problem: problem.line))
    return tuple(lines)


def text_line(path: Path, position: int) -> int:
    """Return the line (from 1) of a byte of the file."""
    return path.read_bytes()[:position].count(b"\n") + 1


def _column_problems(names: Sequence[str]) -> Iterator[Problem]:
    known = f"known are {', '.join(COLUMNS)} and {FREE_PREFIX}*"
    for name in names:
        if name not in COLUMNS and not name.startswith(FREE_PREFIX):
            yield Problem(line=1, column=name, value=name, rule="no column of labels.csv", remedy=f"rename it; {known}")
        if list(names).count(name) > 1:
            yield Problem(line=1, column=name, value=name, rule="given twice", remedy="remove one")
    for name in _REQUIRED:
        if name not in names:
            yield Problem(line=1, column=name, value="", rule="required, and absent", remedy="add the column")
    if not set(KEYS) & set(names):
        rule = f"one of {', '.join(KEYS)} is required"
        yield Problem(line=1, column=KEYS[0], value="", rule=rule, remedy="add the column")


def _line(number: int, cells: Mapping[str, str | None]) -> Line | list[Problem]:
    if "" in cells or None in cells.values():
        rule = "as many cells as columns"
        return [Problem(line=number, column="", value="", rule=rule, remedy="look for a missing or unquoted comma")]
    filled = {name: value.strip() for name, value in cells.items() if value and value.strip()}
    free = {name: value for name, value in filled.items() if name.startswith(FREE_PREFIX)}
    try:
        row = LabelRow.model_validate({name: value for name, value in filled.items() if name not in free})
    except ValidationError as error:
        return [_problem(number, filled, fault["loc"], fault["msg"]) for fault in error.errors()]
    if not any(getattr(row, name) for name in KEYS):
        rule, remedy = "a row names an image", f"fill one of {', '.join(KEYS)}"
        return [Problem(line=number, column=KEYS[0], value="", rule=rule, remedy=remedy)]
    return Line(number=number, row=row, free=free)


def _problem(number: int, filled: Mapping[str, str], place: tuple[int | str, ...], message: str) -> Problem:
    column = str(place[0]) if place else ""
    remedy = _REMEDIES.get(column, "correct the cell, or leave it empty if the column is optional")
    rule = re.sub(r"^(Value error, |Input should be )", "", message)
    return Problem(line=number, column=column, value=filled.get(column, ""), rule=rule, remedy=remedy)


def _contradictions(lines: list[Line]) -> Iterator[Problem]:
    """Yield rows in which one reader says two things of one image, or an image belongs to two patients."""
    said: dict[tuple[object, ...], Line] = {}
    owner: dict[tuple[str, str], Line] = {}
    for line in lines:
        row = line.row
        place = (row.x_mm, row.y_mm, row.z_mm, row.laterality)
        first = said.setdefault((row.key, row.target, row.reader, place), line)
        if first is not line:
            rule = f"line {first.number} says {first.row.label!r} of the same image, target, reader and place"
            yield Problem(line=line.number, column="label", value=row.label, rule=rule, remedy="remove one of them")
        known = owner.setdefault(row.key, line)
        if known.row.patient_id_hash != row.patient_id_hash:
            rule = f"line {known.number} gives the same image to another patient"
            yield Problem(
                line=line.number, column="patient_id_hash", value=row.patient_id_hash, rule=rule, remedy="correct one"
            )
