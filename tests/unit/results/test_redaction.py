# SPDX-License-Identifier: Apache-2.0
"""The reasons for which an object is held are shown without the values that they are about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.results.redaction import LONGEST, redacted

PATIENT = ("YAMADA", "19600101", "T-0001", "1.2.840.99.7", "山田")


@pytest.mark.parametrize(
    ("problem", "kept"),
    [
        (
            "dciodvfy: Error - </OtherPatientIDsSequence(0010,1002)[1]/TypeOfPatientID(0010,0022)> - Missing attribute",
            "dciodvfy: Error - OtherPatientIDsSequence/TypeOfPatientID - Missing attribute",
        ),
        ("'SeriesDescription' repeats a part of the patient's name or ID", "SeriesDescription repeats a part"),
        (
            "'SOPInstanceUID' value '1.2.840.99.7' is not a UID of at most 64 characters",
            "SOPInstanceUID value … is not",
        ),
        ("the file cannot be read back: 'YAMADA^T' at 1.2.840.99.7", "the file cannot be read back: … at …"),
        ("evidence lists 1.2.840.99.7 2 times", "evidence lists … 2 times"),
        ("a rule: an element is malformed (could not convert 'T-0001')", "a rule: an element is malformed …"),
        ("the encoder failed: ValueError at sr1500.py:12", "the encoder failed:"),
        ('dsrdump: E: value [YAMADA] <19600101> "T-0001"', "dsrdump:"),
    ],
)
def test_words_and_keywords_stay_and_values_go(problem: str, kept: str) -> None:
    text = redacted(problem)
    assert text.startswith(kept)
    assert not any(value in text for value in PATIENT)


@given(st.text(alphabet="0123456789.^\\=山田é", min_size=4, max_size=64), st.sampled_from("'\"<[("))
def test_no_number_or_name_in_other_letters_comes_through(value: str, mark: str) -> None:
    for problem in (f"value {value} is bad", f"value {mark}{value}{mark} is bad"):
        assert value not in redacted(problem)


@given(st.text(max_size=500))
def test_any_text_is_redacted_to_something_short(problem: str) -> None:
    assert len(redacted(problem)) <= LONGEST
