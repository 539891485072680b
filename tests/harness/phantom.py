# SPDX-License-Identifier: Apache-2.0
"""Small valid DICOM files to send about: every element that names a patient carries a marker."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

MARKER = "ZZMARKER"
"""Stands in every element of a patient's identity; it must never be seen in a log or a metric."""
PhantomStudy = Callable[[str], Path]
"""Returns the folder of a sample study of the demo by its name; a fixture of the same name gives it."""


def ct_slice(
    path: Path,
    *,
    rows: int = 64,
    study_uid: str = "",
    instance_number: int = 1,
    transfer_syntax: str = ExplicitVRLittleEndian,
) -> Path:
    """Write a CT slice and return its path; compressed ones carry frames that no decoder will read."""
    dataset = Dataset()
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID = study_uid or generate_uid()
    dataset.SeriesInstanceUID = generate_uid()
    dataset.Modality = "CT"
    dataset.InstanceNumber = instance_number
    _mark(dataset)
    _add_pixels(dataset, rows)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        dataset.PixelData = encapsulate([b"not a codestream"])
        dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path, enforce_file_format=True)
    return path


def _mark(dataset: Dataset) -> None:
    dataset.PatientName = f"{MARKER}NAME^TARO"
    dataset.PatientID = f"{MARKER}ID"
    dataset.AccessionNumber = f"{MARKER}ACC"
    dataset.StudyDescription = f"{MARKER}DESC"
    dataset.ReferringPhysicianName = f"{MARKER}REF"
    dataset.InstitutionName = f"{MARKER}INST"
    dataset.PatientBirthDate = "19700102"
    dataset.PatientSex = "O"
    dataset.StudyDate = "20200101"
    dataset.StudyTime = "000000"
    dataset.StudyID = "1"
    dataset.SeriesNumber = 1


def _add_pixels(dataset: Dataset, rows: int) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = rows
    dataset.BitsAllocated = 16
    dataset.BitsStored = 12
    dataset.HighBit = 11
    dataset.PixelRepresentation = 0
    dataset.PixelSpacing = [0.5, 0.5]
    pixels = np.random.default_rng(7).integers(0, 4096, (rows, rows), dtype=np.uint16)
    dataset.PixelData = pixels.tobytes()
