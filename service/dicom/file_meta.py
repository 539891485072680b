# SPDX-License-Identifier: Apache-2.0
"""Cuts the head off a DICOM file that arrives as a stream: preamble, prefix and file meta information (PS3.10 7.1)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import chain

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from service.dicom.parsing import PARSE_FAULTS, quietly
from service.domain.errors import DicomStructureError

PREAMBLE_BYTES = 128
PREFIX = b"DICM"
META_BYTES = 65_536
"""File meta information is a few hundred bytes; private information of a sender may make it longer."""
GROUP_LENGTH_BYTES = 12
"""(0002,0000) itself, which its value does not count."""

Chunks = Iterable[bytes | memoryview]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMeta:
    """What the file meta information says of the data set that follows."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


def split_file_meta(stream: Chunks) -> tuple[FileMeta, Iterator[bytes | memoryview]]:
    """Return what the head of a file says, and the data set, still as a stream.

    The preamble is dropped unread: it could make the stored file executable.

    Raises
    ------
    DicomStructureError
        There is no such head, it is longer than META_BYTES, or its group length does not end where the group ends.
    """
    chunks = iter(stream)
    prefix = _prefix(chunks)
    start = PREAMBLE_BYTES + len(PREFIX)
    if prefix[PREAMBLE_BYTES:start] != PREFIX:
        raise DicomStructureError("no 'DICM' after 128 bytes (PS3.10 7.1); send a DICOM Part 10 file")
    meta, end = _parse(prefix, start)
    length = meta.get("FileMetaInformationGroupLength")
    if length is not None and length != end - start - GROUP_LENGTH_BYTES:
        raise DicomStructureError(
            f"(0002,0000) 'File Meta Information Group Length' is {length}, but the group ends elsewhere (PS3.10 7.1): "
            "two readers would begin the data set at two places; write the file again"
        )
    return _file_meta(meta), chain((memoryview(prefix)[end:],), chunks)


def _prefix(chunks: Iterator[bytes | memoryview]) -> bytearray:
    prefix = bytearray()
    for chunk in chunks:
        prefix += chunk
        if len(prefix) >= META_BYTES:
            break
    return prefix


@quietly()
def _parse(prefix: bytearray, start: int) -> tuple[Dataset, int]:
    """Return the elements of group 2, and where they end."""
    buffer = BytesIO(memoryview(prefix)[:META_BYTES])
    buffer.seek(start)
    try:
        meta = read_dataset(buffer, is_implicit_VR=False, is_little_endian=True, stop_when=_is_past_group_2)
        meta.decode()
    except PARSE_FAULTS as error:
        raise DicomStructureError(
            f"file meta information cannot be parsed ({type(error).__name__}); write the file again"
        ) from error
    return meta, buffer.tell()


def _is_past_group_2(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag.group != 2


def _file_meta(meta: Dataset) -> FileMeta:
    values = {name: str(meta.get(keyword) or "") for name, keyword in _KEYWORDS.items()}
    missing = [keyword for name, keyword in _KEYWORDS.items() if not values[name]]
    if missing:
        raise DicomStructureError(f"file meta information lacks {missing[0]} (PS3.10 7.1); write the file again")
    return FileMeta(**values)


_KEYWORDS = {
    "sop_class_uid": "MediaStorageSOPClassUID",
    "sop_instance_uid": "MediaStorageSOPInstanceUID",
    "transfer_syntax_uid": "TransferSyntaxUID",
}
