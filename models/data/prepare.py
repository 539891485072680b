# SPDX-License-Identifier: Apache-2.0
"""Turns the labels of a public set, as the user got it, into labels.csv; what is not there is counted."""

import csv
import gzip
import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from models.data.images import is_picture
from models.data.problem import DataError
from models.data.public import PixelSize, Recipe, Table, Target

_COLUMNS = (
    "file",
    "patient_id_hash",
    "target",
    "label",
    "site",
    "manufacturer",
    "laterality",
    "view",
    "pixel_size_mm",
    "split",
    "exclude_reason",
)
_LEFT, _RIGHT = frozenset(("L", "LEFT")), frozenset(("R", "RIGHT"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The text of labels.csv, and how many of the set's images are there, labelled but absent, and excluded."""

    text: str
    images: int
    absent: int
    excluded: int
    positive: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    file: str
    patient: str
    words: frozenset[str]
    cells: Mapping[str, str]
    table: Table | None


def prepare(recipe: Recipe, folder: Path, *, target: str) -> Prepared:
    """Write the set's labels for one target in our form.

    A patient becomes the hash of the set's name and number: sets are public, so this only keeps patients of two sets
    apart. Images are looked for by the path of the recipe, else by their name anywhere below the folder.

    Raises
    ------
    DataError
        The set has no such target or no labels that we convert, a table is not there or lacks columns, or no image is.
    """
    wanted = _target(recipe, target)
    there = _Files(folder)
    rows: list[dict[str, str]] = []
    absent = 0
    for entry in _entries(recipe, folder):
        file = there.find(entry.file)
        if file is None:
            absent += 1
            continue
        rows.append(_row(recipe, entry, folder / file, file, (target, wanted)))
    if not rows:
        raise DataError(
            f"none of the {absent} images that {recipe.name} labels lies below {folder}; it should look like: "
            f"{recipe.layout.strip()}"
        )
    return Prepared(
        text=_as_csv(rows),
        images=len(rows),
        absent=absent,
        excluded=sum(bool(row["exclude_reason"]) for row in rows),
        positive=sum(row["label"] == "1" and not row["exclude_reason"] for row in rows),
    )


def _target(recipe: Recipe, target: str) -> Target:
    if not recipe.converts:
        raise DataError(f"{recipe.name} has no labels that are converted: {recipe.no_labels.strip()}")
    if target not in recipe.targets:
        raise DataError(f"{recipe.name} has no target {target!r}; known are {', '.join(recipe.targets)}")
    return recipe.targets[target]


class _Files:
    """Where the images of a set lie: by path, or by name where the user unpacked them otherwise."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}; name the folder of the set")
        self._paths = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        self._names: dict[str, list[str]] = {}
        for path in sorted(self._paths):
            self._names.setdefault(path.rpartition("/")[2], []).append(path)

    def find(self, file: str) -> str | None:
        """Return the path of a file, None where it is not there.

        Raises
        ------
        DataError
            Two files have its name, and neither its path.
        """
        if file in self._paths:
            return file
        found = self._names.get(file.rpartition("/")[2], [])
        if len(found) > 1:
            raise DataError(f"{file} could be {' or '.join(found)}; remove one")
        return found[0] if found else None


def _entries(recipe: Recipe, folder: Path) -> Iterator[_Entry]:
    if recipe.names is not None:
        pattern = re.compile(recipe.names.pattern)
        for path in sorted(folder.glob(recipe.names.glob)):
            file = path.relative_to(folder).as_posix()
            if match := pattern.fullmatch(file):
                words = frozenset((match["label"],))
                yield _Entry(file=file, patient=match["patient"], words=words, cells={}, table=None)
        return
    found = [(table, path) for table in recipe.tables for path in sorted(folder.rglob(table.glob))]
    if not found:
        globs = " or ".join(table.glob for table in recipe.tables)
        raise DataError(f"{recipe.name} needs its table {globs} below {folder}, and it is not there; get it too")
    first = found[0][0]
    for table, path in found:
        if table is first:
            yield from _table_entries(table, path)


def _table_entries(table: Table, path: Path) -> Iterator[_Entry]:
    reader = csv.DictReader(io.StringIO(_text(path)), delimiter=table.delimiter)
    wanted = {*re.findall(r"{([^{}]+)}", table.file), table.patient, table.label}
    optional = {table.view, table.laterality, table.manufacturer, table.split} - {""}
    missing = (wanted | optional) - set(reader.fieldnames or [])
    if missing:
        raise DataError(
            f"{path.name} lacks the columns {', '.join(sorted(missing))}; it has {', '.join(reader.fieldnames or [])}: "
            "another release of the set? Correct the recipe"
        )
    for cells in reader:
        filled = {name: (value or "").strip() for name, value in cells.items() if name}
        words = filled[table.label].split(table.separator) if table.separator else [filled[table.label]]
        yield _Entry(
            file=re.sub(r"{([^{}]+)}", lambda found, filled=filled: filled[found[1]], table.file),  # type: ignore[misc]
            patient=filled[table.patient],
            words=frozenset(word.strip() for word in words),
            cells=filled,
            table=table,
        )


def _text(path: Path) -> str:
    stored = path.read_bytes()
    return (gzip.decompress(stored) if path.suffix == ".gz" else stored).decode("utf-8-sig")


def _row(recipe: Recipe, entry: _Entry, path: Path, file: str, target: tuple[str, Target]) -> dict[str, str]:
    label, excluded = _label(entry.words, target[1])
    return {
        "file": file,
        "patient_id_hash": hashlib.sha256(f"{recipe.name}/{entry.patient}".encode()).hexdigest()[:24],
        "target": target[0],
        "label": label,
        "site": recipe.name,
        "pixel_size_mm": _pixel_size(recipe.pixel_size, entry.cells, path),
        "exclude_reason": excluded,
        **_described(entry),
    }


def _described(entry: _Entry) -> dict[str, str]:
    table = entry.table
    if table is None:
        return {"manufacturer": "", "laterality": "", "view": "", "split": ""}
    side = entry.cells.get(table.laterality, "").upper()
    return {
        "manufacturer": entry.cells.get(table.manufacturer, ""),
        "laterality": "L" if side in _LEFT else "R" if side in _RIGHT else "",
        "view": entry.cells.get(table.view, ""),
        "split": table.splits.get(entry.cells.get(table.split, ""), ""),
    }


def _label(words: frozenset[str], target: Target) -> tuple[str, str]:
    """Return ("1" or "0", why it is excluded)."""
    positive, negative = bool(words & set(target.positive)), bool(words & set(target.negative))
    if not target.positive:
        return ("0" if negative else "1"), ""
    if not target.negative:
        return ("1" if positive else "0"), ""
    if positive == negative:
        return "0", f"neither positive nor negative: {', '.join(sorted(words))}"[:200]
    return ("1" if positive else "0"), ""


def _pixel_size(rule: PixelSize, cells: Mapping[str, str], path: Path) -> str:
    """Return mm along a pixel's side of this file; "" where it is unknown or DICOM says it."""
    if rule.rule == "fixed":
        return f"{rule.mm:g}"
    if rule.rule != "column" or not is_picture(path):
        return ""
    try:
        spacing, original = float(cells[rule.column]), float(cells[rule.original])
    except (KeyError, ValueError):
        return ""
    with Image.open(path) as picture:
        return f"{spacing * original / picture.width:.5g}"


def _as_csv(rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
