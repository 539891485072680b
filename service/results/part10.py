# SPDX-License-Identifier: Apache-2.0
"""Writes result objects as DICOM files: the same bytes for the same result, on stable storage or not at all."""

import os
from pathlib import Path

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.tag import Tag
from pydicom.uid import UID, ExplicitVRLittleEndian

from service.domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from service.ports import EncodedObject, ResultKind
from service.results.characters import CHARACTER_SET_TAG, own_encodings, values_of
from service.results.verbatim import Elements

SEQUENCE_HEADER_BYTES = 12
"""Tag, representation, reserved bytes and length of a sequence in Explicit VR (PS3.5 7.1.2)."""


def write_object(dataset: Dataset, folder: Path, *, kind: ResultKind, verbatim: Elements) -> EncodedObject:
    """Write the data set with the verbatim elements in place of its own, named after its SOP Instance UID.

    Our own text is encoded in the character set that the verbatim elements declare: Japanese where `characters` has
    made sure that it can be, ASCII in any other.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{dataset.SOPInstanceUID}.dcm"
    _replace(path, _file_bytes(dataset, verbatim))
    return EncodedObject(
        kind=kind,
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        path=path,
    )


def _file_bytes(dataset: Dataset, verbatim: Elements) -> bytes:
    stream = DicomBytesIO()
    stream.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(stream, _file_meta(dataset), enforce_standard=True)
    return bytes(stream.getvalue()) + _dataset_bytes(dataset, verbatim)


def _file_meta(dataset: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    return meta


def _dataset_bytes(dataset: Dataset, verbatim: Elements) -> bytes:
    """Encode element by element: pydicom's own writer would decode and encode the verbatim ones."""
    encodings = own_encodings(_character_set(verbatim))
    stream = _stream()
    for tag in sorted(set(dataset.keys()) | set(verbatim)):
        if tag in verbatim:
            write_data_element(stream, verbatim[tag])
        else:
            write_data_element(stream, dataset[tag], encodings)
    return bytes(stream.getvalue())


def encoded(dataset: Dataset, keyword: str, *, character_set: Elements) -> Elements:
    """Return an element of a data set in its encoded form, for several files that hold the same.

    Parameters
    ----------
    character_set
        Elements that may hold the Specific Character Set of those files.
    """
    stream = _stream()
    write_data_element(stream, dataset[keyword], own_encodings(_character_set(character_set)))
    content = bytes(stream.getvalue())[SEQUENCE_HEADER_BYTES:]
    tag = Tag(keyword)
    return {tag: RawDataElement(tag, "SQ", len(content), content, 0, is_implicit_VR=False, is_little_endian=True)}


def _stream() -> DicomBytesIO:
    stream = DicomBytesIO()
    stream.is_little_endian = True
    stream.is_implicit_VR = False
    return stream


def _character_set(verbatim: Elements) -> tuple[str, ...]:
    element = verbatim.get(CHARACTER_SET_TAG)
    return values_of(element.value or b"") if element is not None else ()


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
