# SPDX-License-Identifier: Apache-2.0
"""Data sets that highdicom collects references from, without a patient."""

from pydicom.dataset import Dataset

EMPTY = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID")


def stand_in(*, study: str, series: str, sop_class: str, sop_instance: str) -> Dataset:
    """Return an image by its UIDs alone.

    highdicom refuses character sets that are valid (results.md 6), so the patient's attributes are put in afterwards,
    byte for byte.
    """
    dataset = Dataset()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, sop_instance
    dataset.Rows = dataset.Columns = 1  # highdicom takes what has none for no image
    for keyword in EMPTY:
        setattr(dataset, keyword, "")
    dataset.StudyDate = dataset.StudyTime = None
    return dataset
