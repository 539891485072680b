# SPDX-License-Identifier: Apache-2.0
"""Records and verifies the SHA-256 of every file of a folder, in the form of `sha256sum`."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.data.problem import DataError

FILE_NAME = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How a folder differs from its list; nothing in all three when it is the same."""

    missing: tuple[str, ...]
    changed: tuple[str, ...]
    new: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.changed or self.new)

    def __str__(self) -> str:
        kinds = (("missing", self.missing), ("changed", self.changed), ("not in the list", self.new))
        return "; ".join(
            f"{len(files)} {kind}: {', '.join(files[:5])}{' ...' if len(files) > 5 else ''}"
            for kind, files in kinds
            if files
        )


def digests(folder: Path, *, step: Callable[[], object] = lambda: None) -> dict[str, str]:
    """Return the SHA-256 of every file below the folder by its path there, the list itself left out."""
    found = {}
    for path in _files(folder):
        with path.open("rb") as file:
            found[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
        step()
    return found


def _files(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; name the folder of the set")
    yield from sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / FILE_NAME)


def as_text(found: Mapping[str, str]) -> str:
    """Return the lines of `sha256sum`."""
    return "".join(f"{digest}  {file}\n" for file, digest in sorted(found.items()))


def parse(text: str, *, where: str) -> dict[str, str]:
    """Read the lines of `sha256sum`.

    Raises
    ------
    DataError
        A line has another form; it is named.
    """
    listed = {}
    for number, line in enumerate(text.splitlines(), start=1):
        found = _LINE.fullmatch(line)
        if found is None:
            raise DataError(f"{where}, line {number}: {line[:80]!r} is no line of sha256sum; record the list again")
        listed[found[2]] = found[1]
    return listed


def compare(listed: Mapping[str, str], found: Mapping[str, str]) -> Comparison:
    """Compare what the list says with what is there."""
    return Comparison(
        missing=tuple(sorted(set(listed) - set(found))),
        changed=tuple(sorted(file for file in set(listed) & set(found) if listed[file] != found[file])),
        new=tuple(sorted(set(found) - set(listed))),
    )


def record_or_verify(
    folder: Path, *, sums: Path | None = None, step: Callable[[], object] = lambda: None
) -> tuple[int, bool]:
    """Compare the folder with its list, or write the list at the first use; return (files, whether it was written).

    `sums` lies elsewhere where the folder must not be written to.

    Raises
    ------
    DataError
        The folder differs from the list; the files are named.
    """
    path = sums or folder / FILE_NAME
    found = digests(folder, step=step)
    if not path.exists():
        path.write_text(as_text(found), encoding="utf-8")
        return len(found), True
    differences = compare(parse(path.read_text("utf-8"), where=str(path)), found)
    if differences:
        raise DataError(
            f"{folder} is not what {path} says: {differences}; get these files again, or, if the change is meant, "
            "remove the list and record it anew"
        )
    return len(found), False
