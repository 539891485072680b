# SPDX-License-Identifier: Apache-2.0
"""The study of a self test: a golden study of the pipeline's package under new UIDs, of a patient who is nobody.

Golden studies are phantoms, or images whose identity was removed, and say so.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from service.bootstrap.packages import packages_folder, signature_policy
from service.domain.errors import ConfigurationError
from service.domain.self_test import PATIENT_ID, PATIENT_NAME
from service.inference.package_files import PackageFiles, read_package
from service.ports import EncodedObject, ResultKind
from service.settings import Settings

REMOVED = ("OtherPatientIDs", "OtherPatientIDsSequence", "IssuerOfPatientID", "PatientBirthDate", "PatientAddress")
REFERENCES = ("ReferencedImageSequence", "SourceImageSequence", "ReferencedStudySequence")


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestStudy:
    """Files to be sent."""

    pipeline: str
    study_instance_uid: str
    files: tuple[EncodedObject, ...]


def self_test_study(settings: Settings, pipeline: str, folder: Path, *, now: datetime) -> SelfTestStudy:
    """Write the first golden study of the pipeline's package into `folder`, as a study that nobody has yet.

    Raises
    ------
    ConfigurationError
        The package has no golden studies.
    PackageError
        The package cannot be read.
    """
    choice = settings.pipelines[pipeline]
    files = read_package(
        packages_folder(settings) / choice.package / choice.version, policy=signature_policy(settings), now=now
    )
    images = _images(files)
    uids: dict[str, str] = {}
    written = [_written(data, folder / f"{number}.dcm", uids, now=now) for number, data in enumerate(images.values())]
    return SelfTestStudy(pipeline=pipeline, study_instance_uid=written[0][0], files=tuple(item for _, item in written))


def _images(files: PackageFiles) -> Mapping[str, bytes]:
    if not files.manifest.golden_studies:
        raise ConfigurationError(
            f"package {files.identity.name} {files.identity.version} has no golden study, and without one there is "
            "nothing to send; test another pipeline, or send a study of your own"
        )
    names = files.manifest.golden_studies[0].images(list(files.contents))
    return {name: files.contents[name] for name in names}


def _written(data: bytes, path: Path, uids: dict[str, str], *, now: datetime) -> tuple[str, EncodedObject]:
    dataset = dcmread(BytesIO(data))
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        if keyword in dataset:
            setattr(dataset, keyword, uids.setdefault(str(dataset[keyword].value), generate_uid(prefix=None)))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    _make_nobodys(dataset, now=now)
    dataset.save_as(path, enforce_file_format=True)
    item = EncodedObject(
        kind=ResultKind.HEATMAP,  # what it is called does not matter to the sender
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=str(dataset.SOPInstanceUID),
        path=path,
    )
    return str(dataset.StudyInstanceUID), item


def _make_nobodys(dataset: Dataset, *, now: datetime) -> None:
    for keyword in (*REMOVED, *REFERENCES):
        if keyword in dataset:
            delattr(dataset, keyword)
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = PATIENT_NAME, PATIENT_ID, ""
    dataset.AccessionNumber, dataset.StudyID, dataset.StudyDescription = "", "SELFTEST", "DOKUEI SELF TEST"
    dataset.StudyDate, dataset.StudyTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    dataset.QualityControlImage = "YES"
