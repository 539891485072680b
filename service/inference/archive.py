# SPDX-License-Identifier: Apache-2.0
"""A package as one file, `.cadpkg`: a zip whose bytes depend on the package alone, read with distrust.

Everything is judged by the archive's directory before anything is unpacked, and unpacked into memory: nothing is
written, so no name in an archive can reach a file.
"""

import io
import lzma
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from service.domain.errors import PackageError
from service.inference.manifest_types import check_relative_path
from service.inference.plain_file import read_file

SUFFIX: Final = ".cadpkg"
MAX_MEMBERS: Final = 1000
MAX_UNPACKED_BYTES: Final = 1 << 31
_MAGIC: Final = b"PK\x03\x04"
_END: Final = b"PK\x05\x06"
_END_BYTES: Final = 22
"""Length of the end of an archive without a comment (APPNOTE 4.3.16)."""
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_ENCRYPTED: Final = 0x1
_UNIX: Final = 3
_PLAIN_FILE: Final = (stat.S_IFREG | 0o644) << 16
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ZIP_FAULTS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)
"""What Python's zipfile raises on damaged or hostile archives; RuntimeError when one is encrypted."""


def write_archive(contents: Mapping[str, bytes]) -> bytes:
    """Return the archive of these files by relative path; the same files give the same bytes on every machine.

    Nothing is compressed: weights hardly shrink, and zlib's output differs between its versions.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(contents):
            member = zipfile.ZipInfo(name, date_time=_EPOCH)
            member.create_system = _UNIX
            member.external_attr = _PLAIN_FILE
            archive.writestr(member, contents[name])
    return stream.getvalue()


def read_archive(path: Path) -> dict[str, bytes]:
    """Return the files of an archive by relative path.

    Raises
    ------
    PackageError
        It is damaged, or a member is not a plain file with a safe name of its own within the limits.
    """
    data = read_file(path, max_bytes=MAX_UNPACKED_BYTES)
    if not data.startswith(_MAGIC):
        raise PackageError(f"{path}: is no zip archive from its first byte on; export the package again")
    if data[-_END_BYTES : -_END_BYTES + 4] != _END:
        # Searching for the end would find that of golden tensors, which are archives inside this one.
        raise PackageError(f"{path}: damaged (it does not end with its directory); export or copy the package again")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            _check_members(members, path)
            return {member.filename: archive.read(member) for member in members}
    except ZIP_FAULTS as error:
        raise PackageError(f"{path}: damaged ({error}); export or copy the package again") from None


def _check_members(members: list[zipfile.ZipInfo], path: Path) -> None:
    if len(members) > MAX_MEMBERS:
        raise PackageError(f"{path}: has {len(members)} members; at most {MAX_MEMBERS} are allowed")
    for member in members:
        _check_member(member, path)
    names = Counter(member.filename for member in members)
    _refuse_any([name for name, count in names.items() if count > 1], path, "is there twice")
    folded = Counter(name.casefold() for name in names)
    collisions = [name for name in names if folded[name.casefold()] > 1]
    _refuse_any(collisions, path, "differs from another name in upper and lower case alone")
    folders = {parent.as_posix() for name in names for parent in Path(name).parents}
    _refuse_any([name for name in names if name in folders], path, "is a file and a folder")
    size = sum(member.file_size for member in members)
    if size > MAX_UNPACKED_BYTES:
        raise PackageError(f"{path}: unpacks to {size} bytes; at most {MAX_UNPACKED_BYTES} are allowed")


def _refuse_any(names: list[str], path: Path, what: str) -> None:
    if names:
        raise PackageError(f"{path}: member {names[0]!r} {what}; export the package again")


def _check_member(member: zipfile.ZipInfo, path: Path) -> None:
    where = f"{path}: member {member.orig_filename!r}"
    try:
        check_relative_path(member.orig_filename)
    except ValueError as error:
        raise PackageError(f"{where}: {error}") from None
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in {0, stat.S_IFREG}:
        raise PackageError(f"{where}: is a link, a folder or a device; a package holds plain files only")
    if member.flag_bits & _ENCRYPTED:
        raise PackageError(f"{where}: is encrypted; a package is readable")
    if member.compress_type not in _METHODS:
        raise PackageError(f"{where}: compression method {member.compress_type}; stored and deflated are allowed")
