# SPDX-License-Identifier: Apache-2.0
"""Writes result objects as DICOM files: the same bytes for the same result, on stable storage or not at all."""

import os
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian

from service.domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from service.ports import EncodedObject, ResultKind
from service.results.encoding import element_bytes, encodings_for
from service.results.verbatim import Elements


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
    encodings = encodings_for(verbatim)
    tags = sorted(set(dataset.keys()) | set(verbatim))
    own = (verbatim[tag] if tag in verbatim else dataset.get_item(tag) for tag in tags)
    return b"".join(element_bytes(element, encodings) for element in own)


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
