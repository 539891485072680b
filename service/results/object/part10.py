# SPDX-License-Identifier: Apache-2.0
"""Writes result objects as DICOM files: the same bytes for the same result, on stable storage or not at all."""

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.tag import BaseTag, Tag
from pydicom.uid import UID, ExplicitVRLittleEndian

from service.domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from service.ports import EncodedObject, ResultKind
from service.results.object.encoding import element_bytes, encodings_for
from service.results.source.verbatim import ITEM, Elements

NUMBER_FORMATS = {"US": "H", "UL": "L"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """An element too large to be held: its value is written as it is made.

    `vr` is one with a length of four bytes ("OB", "OW", "OF", "SQ"); `length` counts the bytes of all `chunks`.
    """

    keyword: str
    vr: str
    length: int
    chunks: Callable[[], Iterable[bytes]]

    @property
    def tag(self) -> BaseTag:
        """The element's tag."""
        return Tag(tag_for_keyword(self.keyword) or 0)

    def parts(self) -> Iterator[bytes]:
        """Yield header and value in Explicit VR Little Endian (PS3.5 7.1.2), padded to even length."""
        even = self.length + self.length % 2
        yield struct.pack("<HH2sHL", self.tag.group, self.tag.element, self.vr.encode("ascii"), 0, even)
        written = 0
        for chunk in self.chunks():
            written += len(chunk)
            yield chunk
        if written != self.length:
            raise ValueError(f"'{self.keyword}' has {written} bytes, {self.length} were announced; correct its encoder")
        yield b"\0" * (even - written)


def write_object(
    dataset: Dataset, folder: Path, *, kind: ResultKind, verbatim: Elements, bulk: tuple[Bulk, ...] = ()
) -> EncodedObject:
    """Write the data set with the verbatim elements in place of its own, named after its SOP Instance UID.

    Our own text is encoded in the character set that the verbatim elements declare: Japanese where `characters` has
    made sure that it can be, ASCII in any other.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    _replace(path, _file_parts(dataset, verbatim, bulk))
    return EncodedObject(
        kind=kind,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        path=path,
    )


def item(content: bytes) -> bytes:
    """Return encoded elements as a sequence item of defined length."""
    return ITEM + struct.pack("<L", len(content)) + content


def sequence_of_one(tag: int, content: bytes) -> bytes:
    """Return encoded elements as a sequence of one item, header and all."""
    only = item(content)
    return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, b"SQ", 0, len(only)) + only


def numbers(tag: int, vr: str, values: Sequence[int]) -> bytes:
    """Return a US or UL element; pydicom takes a hundred times as long, which thousands of frames add up to seconds."""
    content = struct.pack(f"<{len(values)}{NUMBER_FORMATS[vr]}", *values)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode("ascii"), len(content)) + content


def elements(dataset: Dataset) -> bytes:
    """Return a data set's elements in Explicit VR Little Endian, in the order of their tags."""
    return b"".join(element_bytes(dataset.get_item(tag)) for tag in sorted(dataset.keys()))


def _file_parts(dataset: Dataset, verbatim: Elements, bulk: tuple[Bulk, ...]) -> Iterator[bytes]:
    stream = DicomBytesIO()
    stream.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(stream, _file_meta(dataset), enforce_standard=True)
    yield bytes(stream.getvalue())
    yield from _dataset_parts(dataset, verbatim, {element.tag: element for element in bulk})


def _file_meta(dataset: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return meta


def _dataset_parts(dataset: Dataset, verbatim: Elements, bulk: dict[BaseTag, Bulk]) -> Iterator[bytes]:
    """Encode element by element: pydicom's own writer would decode and encode the verbatim ones."""
    encodings = encodings_for(verbatim)
    for tag in sorted(set(dataset.keys()) | set(verbatim) | set(bulk)):
        if tag in bulk:
            yield from bulk[tag].parts()
        else:
            yield element_bytes(verbatim[tag] if tag in verbatim else dataset.get_item(tag), encodings)


def _replace(path: Path, parts: Iterable[bytes]) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:
        stream.writelines(parts)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
