# SPDX-License-Identifier: Apache-2.0
"""Marker values in every element that can name a patient, and the search for them where none may be named."""

import re
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

MARK = "ZZMARK"
PATIENTS = re.compile(r"ZZMARK|PHANTOM[\^-]")
"""A marker of this module or of harness.phantom, or the name or ID of a phantom of models.phantoms."""

TEXTS = (
    "PatientName", "PatientID", "IssuerOfPatientID", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName",
    "PatientAddress", "PatientTelephoneNumbers", "PatientComments", "MilitaryRank", "EthnicGroup", "Occupation",
    "AdditionalPatientHistory", "PatientReligiousPreference", "CountryOfResidence", "RegionOfResidence",
    "MedicalRecordLocator", "AccessionNumber", "StudyID", "StudyDescription", "SeriesDescription", "ProtocolName",
    "InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "ReferringPhysicianName",
    "PerformingPhysicianName", "OperatorsName", "NameOfPhysiciansReadingStudy", "RequestingPhysician", "StationName",
    "DeviceSerialNumber", "RequestedProcedureDescription", "PerformedProcedureStepDescription", "ImageComments",
    "AdmittingDiagnosesDescription",
)  # fmt: skip
BIRTH_DATE = "19010203"


def marked(path: Path, target: Path) -> Path:
    """Copy a DICOM file with 40 markers: 36 texts, a private element, two nested ones and the date of birth."""
    dataset = dcmread(path)
    for number, keyword in enumerate(TEXTS, start=1):
        setattr(dataset, keyword, f"{MARK}{number:02d}")
    dataset.PatientBirthDate = BIRTH_DATE
    dataset.private_block(0x0009, f"{MARK}37", create=True).add_new(0x10, "LO", f"{MARK}37")
    other, request = Dataset(), Dataset()
    other.PatientID, other.TypeOfPatientID = f"{MARK}38", "TEXT"
    request.ScheduledProcedureStepDescription = f"{MARK}39"
    dataset.OtherPatientIDsSequence, dataset.RequestAttributesSequence = [other], [request]
    target.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(target)
    return target


def uids(path: Path) -> set[str]:
    """The UIDs of a file that lead to its patient."""
    header = dcmread(path, stop_before_pixels=True)
    keywords = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
    return {str(header[keyword].value) for keyword in keywords if keyword in header}


def check(text: str, where: str, *, more: set[str] | frozenset[str] = frozenset()) -> None:
    """Fail when a patient is named; `more` are words that must not be there either. The failure says where."""
    found = {match.group() for match in PATIENTS.finditer(text)} | {word for word in more if word in text}
    if not found:
        return
    lines = [line for line in text.splitlines() if any(word in line for word in found)]
    raise AssertionError(f"a patient is named in {where} ({sorted(found)[:3]}): {lines[0][:300]}")
