# SPDX-License-Identifier: Apache-2.0
"""Writes result objects as DICOM files: the same bytes for the same result, on stable storage or not at all."""

import os
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_data_element, write_file_meta_info
from pydicom.uid import UID, ExplicitVRLittleEndian

from service.domain.implementation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from service.ports import EncodedObject, ResultKind
from service.results.verbatim import Elements


def write_object(dataset: Dataset, folder: Path, *, kind: ResultKind, verbatim: Elements) -> EncodedObject:
    """Write the data set with the verbatim elements in place of its own, named after its SOP Instance UID.

    Our own text is ASCII, so that it is right in whatever character set the verbatim elements declare.
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
    stream = DicomBytesIO()
    stream.is_little_endian = True
    stream.is_implicit_VR = False
    for tag in sorted(set(dataset.keys()) | set(verbatim)):
        write_data_element(stream, verbatim[tag] if tag in verbatim else dataset[tag])
    return bytes(stream.getvalue())


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
