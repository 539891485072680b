# SPDX-License-Identifier: Apache-2.0
"""Lets an object in, or says why not: one bounded pass over its bytes that also reads what the ledger keeps of it."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from service.dicom.identity import check_identity, check_uid, uid_text
from service.dicom.keywords import LEDGER_KEYWORDS
from service.dicom.walk import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Coding,
    Walk,
    named,
)
from service.dicom.wanted import wanted_tree
from service.domain.errors import AdmissionError
from service.domain.fault import Fault
from service.domain.instance import AttributeValue, Scalar

_FIRST_BYTES = 65_536
_CHUNK_BYTES = 1 << 20
_META_BEGIN = 132
_META_UID = 0x00020010
_GROUP_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"
_MAX_META_ELEMENTS = 64
_MAX_VALUES = 256
_SOP_CLASS, _SOP_INSTANCE, _STUDY = 0x00080016, 0x00080018, 0x0020000D
_DEFLATED = frozenset(("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.8.1"))
_NATIVE: dict[str, Coding] = {
    "1.2.840.10008.1.2": IMPLICIT_LITTLE,
    "1.2.840.10008.1.2.1": EXPLICIT_LITTLE,
    "1.2.840.10008.1.2.2": EXPLICIT_BIG,
}


class Scanner:
    """Scans files that arrive; made once, used by any number of threads.

    Parameters
    ----------
    extra_keywords
        Attributes to read beside LEDGER_KEYWORDS; a dot descends into every item of a sequence.

    Raises
    ------
    KeyError
        DICOM has no such keyword.
    """

    def __init__(self, extra_keywords: Iterable[str] = ()) -> None:
        self._keywords = tuple(dict.fromkeys((*LEDGER_KEYWORDS, *extra_keywords)))
        self._wanted = wanted_tree(self._keywords)

    def scan(
        self, path: Path, *, lenient: bool = False, claimed: tuple[str, str] | None = None
    ) -> dict[str, AttributeValue]:
        """Return the attributes of an object that is well formed, and that says in one way only whose it is.

        Parameters
        ----------
        lenient
            Forgive odd lengths, implicit VR between explicit ones, a little disorder and padding at the end: nothing
            of it can be read in two ways. Never a doubt about identity, a length past the end, or a bomb.
        claimed
            SOP class and instance UID of the command that brought the object.

        Raises
        ------
        AdmissionError
            The object is not let in.
        OSError
            The file cannot be read.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self._scan(descriptor, lenient, claimed)
        finally:
            os.close(descriptor)

    def _scan(self, descriptor: int, lenient: bool, claimed: tuple[str, str] | None) -> dict[str, AttributeValue]:
        window = os.pread(descriptor, _FIRST_BYTES, 0)
        position, syntax = _file_meta(window)
        walk = Walk(
            descriptor,
            os.fstat(descriptor).st_size,
            coding=_NATIVE.get(syntax, EXPLICIT_LITTLE),
            encapsulated=syntax not in _NATIVE,
            lenient=lenient,
        )
        try:
            walk.root(position, self._wanted, window=window)
            _check(walk, claimed)
        except AdmissionError as error:
            error.study_instance_uid = _study(walk)
            raise
        found = walk.found
        attributes = {keyword: _joined(found[keyword]) for keyword in self._keywords if keyword in found}
        return {**attributes, "TransferSyntaxUID": syntax}


def data_set(path: Path) -> tuple[int, Coding]:
    """Return where a Part 10 file's data set begins and how it is written; raises AdmissionError."""
    with path.open("rb") as stream:
        position, syntax = _file_meta(stream.read(_FIRST_BYTES))
    return position, _NATIVE.get(syntax, EXPLICIT_LITTLE)


def read_data_set(path: Path) -> Iterator[bytes]:
    """Yield the bytes after the file meta information, in chunks; raises AdmissionError for what is no DICOM file."""
    position, _ = data_set(path)
    with path.open("rb") as stream:
        stream.seek(position)
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


def _check(walk: Walk, claimed: tuple[str, str] | None) -> None:
    check_identity(walk.identity, walk.character_set.value or b"" if walk.character_set else b"")
    if claimed is not None and claimed != (uid_text(walk.identity[_SOP_CLASS]), uid_text(walk.identity[_SOP_INSTANCE])):
        raise AdmissionError(
            f"{named(_SOP_CLASS)} or {named(_SOP_INSTANCE)} is not the one that the command announced (PS3.4 B.2.3); "
            "correct the sender",
            fault=Fault.UID_MISMATCH,
        )


def _study(walk: Walk) -> str:
    raw = walk.identity.get(_STUDY, b"")
    try:
        check_uid(_STUDY, raw)
    except AdmissionError:
        return ""
    return uid_text(raw)


def _joined(values: list[Scalar]) -> AttributeValue:
    if len(values) > 1:
        return tuple(values[:_MAX_VALUES])
    return values[0] if values else None


def _file_meta(window: bytes) -> tuple[int, str]:
    """Return where the data set begins and its transfer syntax (PS3.10 7.1)."""
    if window[128:_META_BEGIN] != b"DICM":
        raise AdmissionError(
            "file has no 'DICM' prefix after 128 bytes (PS3.10 7.1); give a DICOM Part 10 file", fault=Fault.NOT_PART10
        )
    position, syntax, end = _META_BEGIN, "", len(window)
    if window[position : position + 8] == _GROUP_LENGTH:  # PS3.10 requires it; without it, other groups end the meta
        end = min(end, position + 12 + int.from_bytes(window[position + 8 : position + 12], "little"))
    for _ in range(_MAX_META_ELEMENTS):
        if position + 8 > end or window[position : position + 2] != b"\x02\x00":
            break
        number = int.from_bytes(window[position + 2 : position + 4], "little")
        value, length = _meta_place(window, position)
        if number == _META_UID & 0xFFFF:
            syntax = uid_text(window[value : value + length])
        position = value + length
    return position, _checked_syntax(syntax)


def _meta_place(window: bytes, position: int) -> tuple[int, int]:
    if window[position + 4 : position + 6] in {b"OB", b"UN"}:
        return position + 12, int.from_bytes(window[position + 8 : position + 12], "little")
    return position + 8, int.from_bytes(window[position + 6 : position + 8], "little")


def _checked_syntax(syntax: str) -> str:
    if not syntax:
        raise AdmissionError(
            f"{named(_META_UID)} is absent; PS3.10 7.1 requires it: write the file again", fault=Fault.NOT_PART10
        )
    if syntax in _DEFLATED:
        raise AdmissionError(
            f"{named(_META_UID)} is a deflated one, which is not accepted because a small file can inflate without "
            "bound; send the object uncompressed",
            fault=Fault.TRANSFER_SYNTAX,
        )
    return syntax
