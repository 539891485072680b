# SPDX-License-Identifier: Apache-2.0
"""Brings the list of files in a manifest up to date; everything that a person wrote, comments too, stays as it is."""

import hashlib
import os
from pathlib import Path
from typing import Final

from service.domain.errors import PackageError
from service.inference.manifest import MANIFEST_MAX_BYTES, MANIFEST_NAME, UNLISTED
from service.inference.manifest_types import check_relative_path
from service.inference.plain_file import read_file

_KEY: Final = "files:"


def seal(folder: Path) -> int:
    """Write the digest of every file of the folder into its manifest; return how many files there are.

    Raises
    ------
    PackageError
        A file cannot be part of a package, or the manifest cannot be read.
    """
    path = folder / MANIFEST_NAME
    text = _text(path)
    names = [name for name in _names(folder) if name not in UNLISTED]
    digests = {name: hashlib.sha256(read_file(folder / name)).hexdigest() for name in names}
    lines = text.splitlines()
    start, end = _block(lines)
    block = [_KEY, *(f"  {name}: {digest}" for name, digest in digests.items())]
    replace_text(path, "\n".join([*lines[:start], *block, *lines[end:]]) + "\n")
    return len(digests)


def _block(lines: list[str]) -> tuple[int, int]:
    """Return where the key `files` begins and ends: what is indented below it; the text's end where it is absent."""
    start = next((index for index, line in enumerate(lines) if line.startswith(_KEY)), len(lines))
    end = min(start + 1, len(lines))
    for index in range(end, len(lines)):
        if lines[index].strip() and not lines[index].startswith((" ", "\t")):
            break
        end = index + 1 if lines[index].strip() else end
    return start, end


def _text(path: Path) -> str:
    try:
        return read_file(path, max_bytes=MANIFEST_MAX_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise PackageError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from None


def replace_text(path: Path, text: str) -> None:
    """Put a whole text under this name, or leave what was there."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def _names(folder: Path) -> list[str]:
    names = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() and not path.is_symlink():
            continue
        try:
            names.append(check_relative_path(name))
        except ValueError as error:
            raise PackageError(f"{path}: {error}; rename or remove it") from None
    return names
