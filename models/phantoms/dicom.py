# SPDX-License-Identifier: Apache-2.0
"""Wraps phantom pixels as valid DICOM files, so that the whole node can be driven without any patient's data."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRLittleEndian,
)

JAPANESE = ("", "ISO 2022 IR 87")
"""Specific Character Set of most Japanese modalities: ASCII, with JIS X 0208 by escape sequence (PS3.5 H.3)."""

JAPANESE_NAME = "PHANTOM^TARO=人形^太郎=にんぎょう^たろう"

SYNTHETIC = "Synthetic image computed from a procedural phantom. No patient. Not for clinical use."

_NAMESPACE = uuid.UUID("0d6f9a30-5f0c-4d0b-9f3c-2b7a51c6e2aa")


def phantom_uid(*parts: object) -> str:
    """Return the UID that belongs to these parts, always the same one (2.25 root, PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, chr(31).join(map(str, parts))).int}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomStudy:
    """Who and when a phantom image pretends to be; every identifier derives from `seed`."""

    seed: str
    patient_name: str = "PHANTOM^DOKUEI"
    patient_sex: str = "O"
    patient_birth_date: str = "19610401"
    patient_age: str = "065Y"
    study_description: str = "Phantom study"
    study_date: str = "20260401"
    study_time: str = "090000"
    character_set: tuple[str, ...] = ()

    @property
    def study_instance_uid(self) -> str:
        """Study Instance UID (0020,000D)."""
        return phantom_uid(self.seed, "study")

    @property
    def number(self) -> str:
        """Eight digits for the patient ID and the accession number."""
        return f"{uuid.uuid5(_NAMESPACE, self.seed).int % 10**8:08d}"

    def uid(self, *parts: object) -> str:
        """Return the UID of a part of this study (a series, an instance, a frame of reference)."""
        return phantom_uid(self.seed, *parts)


def new_image(
    study: PhantomStudy, sop_class_uid: str, *, modality: str, series: str, instance: int = 1, series_number: int = 1
) -> FileDataset:
    """Return a data set with the modules that every image shares, from Patient to SOP Common (PS3.3 C.7, C.12.1).

    `series` names the series within the study: the same name, the same Series Instance UID.
    """
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    if study.character_set:
        dataset.SpecificCharacterSet = list(study.character_set)
    dataset.SOPClassUID = UID(sop_class_uid)
    dataset.SOPInstanceUID = study.uid(series, "instance", instance)
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    _set_patient_and_study(dataset, study)
    _set_series_and_equipment(dataset, study, modality=modality, series=series, number=series_number)
    dataset.InstanceNumber = instance
    dataset.ImageComments = SYNTHETIC
    dataset.QualityControlImage = "YES"
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    return dataset


def _set_patient_and_study(dataset: Dataset, study: PhantomStudy) -> None:
    dataset.PatientName = study.patient_name
    dataset.PatientID = f"PHANTOM-{study.number}"
    dataset.PatientBirthDate = study.patient_birth_date
    dataset.PatientSex = study.patient_sex
    dataset.PatientAge = study.patient_age
    dataset.StudyInstanceUID = study.study_instance_uid
    dataset.StudyID = study.number[:4]
    dataset.StudyDate = study.study_date
    dataset.StudyTime = study.study_time
    dataset.StudyDescription = study.study_description
    dataset.AccessionNumber = study.number
    dataset.ReferringPhysicianName = ""


def _set_series_and_equipment(
    dataset: Dataset, study: PhantomStudy, *, modality: str, series: str, number: int
) -> None:
    dataset.Modality = modality
    dataset.SeriesInstanceUID = study.uid(series, "series")
    dataset.SeriesNumber = number
    dataset.SeriesDescription = series
    for keyword in ("SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(dataset, keyword, study.study_date)
    for keyword in ("SeriesTime", "AcquisitionTime", "ContentTime"):
        setattr(dataset, keyword, study.study_time)
    dataset.Manufacturer = "Dokuei phantom generator"
    dataset.ManufacturerModelName = "Procedural phantom"
    dataset.SoftwareVersions = "1"
    dataset.DeviceSerialNumber = "1"


def set_pixels(dataset: Dataset, pixels: NDArray[Any], *, bits_stored: int, photometric: str) -> None:
    """Put one grey frame into the data set (Image Pixel module, PS3.3 C.7.6.3); int16 stays signed."""
    signed = np.issubdtype(pixels.dtype, np.signedinteger)
    stored = pixels.astype("<i2" if signed else "<u2")
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = photometric
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.BitsAllocated = 16
    dataset.BitsStored = bits_stored
    dataset.HighBit = bits_stored - 1
    dataset.PixelRepresentation = int(signed)
    dataset.PixelData = stored.tobytes()


def coded(value: str, scheme: str, meaning: str) -> Dataset:
    """Return a code sequence item (PS3.3 section 8)."""
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = scheme
    item.CodeMeaning = meaning
    return item


def save(dataset: FileDataset, path: Path, *, changes: Mapping[str, Any] | None = None) -> Path:
    """Apply `changes` (keyword to value; None deletes the attribute) and write the file; for odd variants of tests."""
    for keyword, value in (changes or {}).items():
        if value is None:
            delattr(dataset, keyword)
            continue
        setattr(dataset, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path


_VIEWS = {
    "PA": coded("272479007", "SCT", "postero-anterior"),
    "AP": coded("399348003", "SCT", "antero-posterior"),
    "LL": coded("399173006", "SCT", "left lateral"),
}


def write_dx(
    path: Path,
    pixels: NDArray[np.uint16],
    *,
    study: PhantomStudy,
    pixel_spacing_mm: float = 0.2,
    bits_stored: int = 12,
    view: str = "PA",
    photometric: str = "MONOCHROME2",
    patient_orientation: tuple[str, str] = ("L", "F"),
    for_processing: bool = False,
    instance: int = 1,
    changes: Mapping[str, Any] | None = None,
) -> Path:
    """Write a chest radiograph as a DX file (PS3.3 A.26).

    Parameters
    ----------
    pixels
        Display grey, (rows, columns), high is white, below 2**bits_stored. With photometric "MONOCHROME1" the stored
        values are reversed, so that the picture stays the same.
    pixel_spacing_mm
        Imager Pixel Spacing: at the detector.
    view
        "PA", "AP" or "LL".
    patient_orientation
        (0020,0020); the pixels are taken to lie that way already.
    """
    sop_class = DigitalXRayImageStorageForProcessing if for_processing else DigitalXRayImageStorageForPresentation
    dataset = new_image(study, sop_class, modality="DX", series=f"Chest {view}", instance=instance)
    reversed_scale = photometric == "MONOCHROME1"
    full = (1 << bits_stored) - 1
    set_pixels(dataset, full - pixels if reversed_scale else pixels, bits_stored=bits_stored, photometric=photometric)
    dataset.PresentationIntentType = "FOR PROCESSING" if for_processing else "FOR PRESENTATION"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.PatientOrientation = list(patient_orientation)
    dataset.ImagerPixelSpacing = [pixel_spacing_mm, pixel_spacing_mm]
    _set_chest_view(dataset, view)
    _set_grey_scale(dataset, full=full, reversed_scale=reversed_scale)
    return save(dataset, path, changes=changes)


def _set_chest_view(dataset: Dataset, view: str) -> None:
    dataset.BodyPartExamined = "CHEST"
    dataset.ViewPosition = view
    dataset.ViewCodeSequence = Sequence([_VIEWS[view]])
    dataset.AnatomicRegionSequence = Sequence([coded("51185008", "SCT", "Chest")])
    dataset.ImageLaterality = "U"
    dataset.AcquisitionContextSequence = Sequence()
    dataset.DetectorType = "DIRECT"
    dataset.PositionerType = "NONE"
    dataset.KVP = 120


def _set_grey_scale(dataset: Dataset, *, full: int, reversed_scale: bool) -> None:
    """Say that the values are log-attenuation and how they are shown (PS3.3 C.8.11.3)."""
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = 1 if reversed_scale else -1
    dataset.RescaleIntercept = 0
    dataset.RescaleSlope = 1
    dataset.RescaleType = "US"
    dataset.PresentationLUTShape = "INVERSE" if reversed_scale else "IDENTITY"
    if dataset.PresentationIntentType == "FOR PRESENTATION":
        dataset.WindowCenter = (full + 1) / 2
        dataset.WindowWidth = full + 1
