# SPDX-License-Identifier: Apache-2.0
"""Whose object it is must be said in one way only."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from harness.images import image_dataset
from service.dicom.identity import check_identity
from service.domain.errors import DicomStructureError


def dataset() -> Dataset:
    return image_dataset(np.zeros((2, 2), dtype=np.uint8))


def test_an_ordinary_object_passes() -> None:
    check_identity(dataset())


@pytest.mark.parametrize("uid", ["", "1", "1.02.3", "1.2.", ".1.2", "1..2", "../x", "1.2\n3", "1." + "2" * 63])
def test_a_uid_that_breaks_the_grammar_is_refused(uid: str) -> None:
    broken = dataset()
    broken.SOPInstanceUID = uid
    with pytest.raises(DicomStructureError, match=r"\(0008,0018\) 'SOP Instance UID'"):
        check_identity(broken)


def test_an_absent_study_uid_is_refused() -> None:
    broken = dataset()
    del broken.StudyInstanceUID
    with pytest.raises(DicomStructureError, match="Study Instance UID"):
        check_identity(broken)


@pytest.mark.parametrize("value", ["SECRET\nX", "SECRET\x00X", "SECRET\x1b"])
def test_control_characters_are_refused_and_never_repeated(value: str) -> None:
    broken = dataset()
    broken.PatientID = value
    with pytest.raises(DicomStructureError, match="Patient ID") as caught:
        check_identity(broken)
    assert "SECRET" not in str(caught.value)


def test_two_patient_ids_are_refused() -> None:
    broken = dataset()
    broken.PatientID = MultiValue(str, ["SECRET1", "SECRET2"])
    with pytest.raises(DicomStructureError, match="2 values") as caught:
        check_identity(broken)
    assert "SECRET" not in str(caught.value)
