# SPDX-License-Identifier: Apache-2.0
"""However malformed a source's header is, a not-analysed object leaves: no patient ends in silence."""

import struct
import warnings
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from harness.studies import context_of, result_of, source_dataset, stored
from service.domain.instance import Instance
from service.domain.result import Outcome
from service.results import ENCODERS
from service.results.gate import check_object
from service.results.source.verbatim import (
    COMPRESSION,
    OPTIONAL,
    PLACE,
    REQUEST,
    REQUIRED,
    SIDE,
    left_out,
    patient_and_study,
)

READ = ("Modality", "InstanceNumber", "ViewPosition", "PatientOrientation", "BodyPartExamined", "Manufacturer")
COPIED = (*REQUIRED, *OPTIONAL, *COMPRESSION, *SIDE, *PLACE, *REQUEST)
FLAT = [word for word in (*COPIED, *READ) if dictionary_VR(word) != "SQ" and word != "StudyInstanceUID"]
SEQUENCES = [word for word in COPIED if dictionary_VR(word) == "SQ"]
IN_ITEMS = ["PatientID", "TypeOfPatientID", "CodeValue", "LongCodeValue", "CodingSchemeDesignator", "CodeMeaning"]
IN_ITEMS += ["LocalNamespaceEntityID", "UniversalEntityID", "UniversalEntityIDType", "RequestedProcedureID"]
IN_ITEMS += ["ReferencedSOPClassUID", "ReferencedSOPInstanceUID", "PatientSex", "AccessionNumber"]
BELOW = ["RequestedProcedureCodeSequence", "ScheduledProtocolCodeSequence", "ReferencedStudySequence"]
BELOW += ["IssuerOfPatientIDQualifiersSequence", "AssigningJurisdictionCodeSequence", "EquivalentCodeSequence"]
NASTY = [b"", b" ", b"\\", b"M\\F", b"x" * 70, b"X" * 300, b"2026-07-01", b"19600230", b"25:61", b"\xff\xfe"]
NASTY += [
    b"\x1b$B;3ED\x1b(B",
    b"<b>",
    b"a\nError - </Foo(0000,0000)> b",
    b"1.2.x",
    b"0.01",
    b"1e999",
    b"\0\0",
    b"lower",
]
VALUES = st.one_of(st.sampled_from(NASTY), st.just(b"OK"), st.binary(max_size=20))


def with_raw(dataset: Dataset, keyword: str, value: bytes) -> None:
    """Put bytes under a keyword, whatever they are."""
    tag = Tag(tag_for_keyword(keyword) or 0)
    padded = value + b" " * (len(value) % 2)
    dataset[tag] = RawDataElement(tag, dictionary_VR(tag), len(padded), padded, 0, False, True)


@st.composite
def items(draw: st.DrawFn, *, depth: int = 0) -> Dataset:
    item = Dataset()
    for keyword in draw(st.lists(st.sampled_from(IN_ITEMS), max_size=4, unique=True)):
        with_raw(item, keyword, draw(VALUES))
    for keyword in draw(st.lists(st.sampled_from(BELOW), max_size=2 - depth, unique=True)):
        setattr(item, keyword, draw(st.lists(items(depth=depth + 1), max_size=2)))
    return item


def rewritten(instance: Instance, dataset: Dataset) -> Instance:
    dataset.file_meta = pydicom.dcmread(instance.path).file_meta
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pydicom.dcmwrite(instance.path, dataset, enforce_file_format=True)
    return instance


def not_analysed(modality: str, source: Instance, folder: Path) -> list[Path]:
    result, context = result_of(modality, (source,), Outcome.NOT_ANALYSED), context_of(source)
    return [item.path for encoder in ENCODERS.values() for item in encoder(result, context, folder)]


@pytest.mark.peers
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    modality=st.sampled_from(["CR", "MG", "CT"]),
    values=st.dictionaries(st.sampled_from(FLAT), VALUES, max_size=4),
    sequences=st.dictionaries(st.sampled_from(SEQUENCES), st.lists(items(), max_size=2), max_size=2),
)
def test_a_not_analysed_object_leaves_from_any_header(
    modality: str,
    values: dict[str, bytes],
    sequences: dict[str, list[Dataset]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    instance = stored(source_dataset(modality), folder / "source")
    dataset = pydicom.dcmread(instance.path)
    for keyword, value in values.items():
        with_raw(dataset, keyword, value)
    for keyword, entries in sequences.items():
        setattr(dataset, keyword, entries)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = not_analysed(modality, rewritten(instance, dataset), folder / "out")
        leaves = any(check_object(path) == () for path in paths)  # the first that does is enough
        assert leaves, {path.name: check_object(path) for path in paths}


def other_id(**values: str) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


@pytest.mark.peers
def test_another_patient_id_without_its_type_is_left_out_alone(tmp_path: Path) -> None:
    """Type of Patient ID is type 1 there; old equipment leaves it out, and its studies must not end in silence."""
    dataset = source_dataset("CR")
    good = other_id(PatientID="山田 1", TypeOfPatientID="TEXT", IssuerOfPatientID="A")
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.OtherPatientIDsSequence = [other_id(PatientID="X-2"), good]
    source = stored(dataset, tmp_path / "source")
    for path in not_analysed("CR", source, tmp_path / "out"):
        written = pydicom.dcmread(path)
        assert [item.PatientID for item in written.OtherPatientIDsSequence] == ["山田 1"]
        assert check_object(path) == ()
    assert left_out(pydicom.dcmread(source.path)) == ("OtherPatientIDsSequence",)


@pytest.mark.peers
def test_a_bad_code_deep_in_a_request_takes_nothing_else_away(tmp_path: Path) -> None:
    bad, good = other_id(CodeMeaning="no value"), other_id(CodeValue="1", CodingSchemeDesignator="L", CodeMeaning="m")
    request = other_id(RequestedProcedureID="R1", ScheduledProcedureStepID="S1")
    request.RequestedProcedureCodeSequence = [good]
    request.ScheduledProtocolCodeSequence = [bad, good]
    dataset = source_dataset("CR")
    dataset.RequestAttributesSequence = [request]
    source = stored(dataset, tmp_path / "source")
    paths = not_analysed("CR", source, tmp_path / "out")
    requests = [pydicom.dcmread(path).get("RequestAttributesSequence") for path in paths]
    copied = [entry[0] for entry in requests if entry]
    assert copied
    assert all(len(entry.ScheduledProtocolCodeSequence) == 1 for entry in copied)
    assert all(len(entry.RequestedProcedureCodeSequence) == 1 for entry in copied)
    assert all(check_object(path) == () for path in paths)
    found = left_out(pydicom.dcmread(source.path))
    assert found == ("RequestAttributesSequence.ScheduledProtocolCodeSequence",)


@pytest.mark.parametrize(
    ("sequence", "good", "bad"),
    [
        ("ProcedureCodeSequence", {"LongCodeValue": "x" * 40, "CodingSchemeDesignator": "L", "CodeMeaning": "m"}, {}),
        (
            "ProcedureCodeSequence",
            {"CodeValue": "1", "CodingSchemeDesignator": "99DOKUEI", "CodeMeaning": "not in our table"},
            {"CodeValue": "1" * 17, "CodingSchemeDesignator": "L", "CodeMeaning": "m"},
        ),
        (
            "ReasonForPerformedProcedureCodeSequence",
            {"URNCodeValue": "urn:x", "CodeMeaning": "m"},
            {"CodeValue": "1", "CodingSchemeDesignator": "L", "CodeMeaning": "m" * 65},
        ),
        (
            "IssuerOfAccessionNumberSequence",
            {"LocalNamespaceEntityID": "RIS"},
            {"UniversalEntityID": "1.2.3"},
        ),
        (
            "IssuerOfPatientIDQualifiersSequence",
            {"UniversalEntityID": "1.2.3", "UniversalEntityIDType": "ISO"},
            {"UniversalEntityID": "1.2.3", "UniversalEntityIDType": "WRONG"},
        ),
    ],
)
@pytest.mark.peers
def test_items_are_copied_if_they_are_valid(
    sequence: str, good: dict[str, str], bad: dict[str, str], tmp_path: Path
) -> None:
    dataset, invalid = source_dataset("CR"), Dataset()
    for keyword, value in bad.items():
        with_raw(invalid, keyword, value.encode())
    source = stored(dataset, tmp_path / "source")
    dataset = pydicom.dcmread(source.path)
    setattr(dataset, sequence, [invalid, other_id(**good)])
    source = rewritten(source, dataset)
    for path in not_analysed("CR", source, tmp_path / "out"):
        (item,) = pydicom.dcmread(path)[sequence].value
        assert {element.keyword: element.value for element in item} == good
        assert check_object(path) == ()


def test_a_valid_sequence_is_copied_byte_for_byte() -> None:
    item = Dataset()
    with_raw(item, "PatientID", b"\x83\x84\xfa\x5c ")
    with_raw(item, "TypeOfPatientID", b"TEXT")
    dataset = source_dataset("CR")
    dataset.OtherPatientIDsSequence = [item]
    copied = patient_and_study(dataset)[Tag("OtherPatientIDsSequence")].value
    assert copied is not None
    assert copied == b"\xfe\xff\x00\xe0" + struct.pack("<L", len(copied) - 8) + copied[8:]
    assert b"\x83\x84\xfa\x5c " in copied


@pytest.mark.peers
def test_a_line_feed_in_a_name_forges_no_report_of_a_validator(tmp_path: Path) -> None:
    """dciodvfy prints values as they are; a name could write errors, and hold back the patient's own results."""
    dataset = source_dataset("CR")
    instance = stored(dataset, tmp_path / "source")
    dataset = pydicom.dcmread(instance.path)
    forged = b"A\nError - </SOPClassUID(0008,0016)> - Missing attribute\n"
    with_raw(dataset, "PatientName", forged)
    for path in not_analysed("CR", rewritten(instance, dataset), tmp_path / "out"):
        assert forged in path.read_bytes()
        assert check_object(path) == ()
