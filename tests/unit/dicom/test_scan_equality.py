# SPDX-License-Identifier: Apache-2.0
"""The scan reads what pydicom reads: on pydicom's test files, phantoms, real data, and whatever can be written."""

import warnings
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence

from harness.phantom import ct_slice
from harness.raw import BIG_ENDIAN, EXPLICIT, IMPLICIT, body, element, part10
from service.dicom.header import read_attributes
from service.dicom.scan import Scanner
from service.domain.errors import AdmissionError

EXTRA = (
    "PatientComments",
    "PatientName",
    "StudyDescription",
    "ReferencedImageSequence.ReferencedSOPInstanceUID",
    "SmallestImagePixelValue",
    "ProcedureCodeSequence.CodeMeaning",
)
SCANNER = Scanner(EXTRA)
PYDICOM = Path(pydicom.__file__).parent / "data"


def compared(paths: Iterable[Path]) -> Counter[str]:
    """Compare both readers on every file that the scan lets in."""
    seen: Counter[str] = Counter()
    for path in paths:
        try:
            scanned = SCANNER.scan(path)
        except AdmissionError as error:
            seen[error.fault] += 1
            continue
        assert scanned == read_attributes(path, EXTRA), path.name
        seen["same"] += 1
    return seen


def dicom_files(folder: Path) -> Iterable[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                if stream.read(132)[128:] == b"DICM":
                    yield path


def test_both_readers_agree_on_the_files_of_pydicom() -> None:
    seen = compared(dicom_files(PYDICOM))
    assert seen["same"] > 100
    assert set(seen) <= {"same", "identity", "truncated", "wrong_group", "transfer_syntax", "not_part10",
                         "value_representation", "duplicate_element"}  # fmt: skip


def test_both_readers_agree_on_a_phantom(tmp_path: Path) -> None:
    for number, syntax in enumerate((EXPLICIT, IMPLICIT, BIG_ENDIAN, "1.2.840.10008.1.2.4.50")):
        assert compared([ct_slice(tmp_path / f"{number}.dcm", transfer_syntax=syntax)]) == {"same": 1}


@pytest.mark.real_data
def test_both_readers_agree_on_real_images(real_data_folder: Path) -> None:
    seen = compared(dicom_files(real_data_folder))
    assert seen["same"] > 200


TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x17F, exclude_characters="\\\x7f"), max_size=12)
PLAIN = st.text("ABC xyz019_-^=", max_size=12)
WORDS = st.lists(st.text("ABC019_ ", max_size=8), max_size=4)
NUMBERS = st.lists(st.one_of(st.integers(-99_999, 99_999), st.floats(-1e6, 1e6).map(lambda x: round(x, 3))), max_size=6)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "StudyDescription": st.one_of(TEXT, PLAIN),
    "PatientComments": TEXT,
    "PatientName": PLAIN.filter(lambda name: name.count("=") < 3),
    "ImageType": WORDS,
    "SoftwareVersions": st.lists(TEXT, max_size=3),
    "PixelSpacing": NUMBERS,
    "ImageOrientationPatient": NUMBERS,
    "InstanceNumber": st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)),
    "StudyDate": st.sampled_from(["", "20200101", "2020010", "19991231"]),
    "StudyTime": st.sampled_from(["", "120000", "120000.5 ", "99"]),
    "PatientAge": st.sampled_from(["", "042Y", "1Y", "nonsense"]),
    "Rows": st.integers(0, 65_535),
    "PixelRepresentation": st.integers(0, 1),
    "SmallestImagePixelValue": st.integers(0, 32_767),
    "ExposureIndex": st.lists(st.floats(-100, 100).map(lambda x: round(x, 2)), max_size=1),
    "FrameOfReferenceUID": st.sampled_from(["", "1.2.3", "2.25.7"]),
    "SpecificCharacterSet": st.sampled_from(["ISO_IR 192", "ISO_IR 100", "", ["", "ISO 2022 IR 87"]]),
}


def item(values: dict[str, Any]) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


ITEMS = st.lists(
    st.fixed_dictionaries(
        {}, optional={"CodeValue": PLAIN, "CodeMeaning": TEXT, "SpecificCharacterSet": st.just("ISO_IR 192")}
    ).map(item),
    max_size=3,
)
DATA_SETS = st.tuples(
    st.fixed_dictionaries({}, optional=VALUES),
    st.fixed_dictionaries({}, optional={"ViewCodeSequence": ITEMS, "ProcedureCodeSequence": ITEMS}),
    st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN]),
    st.booleans(),
)


def written(path: Path, drawn: tuple[dict[str, Any], dict[str, list[Dataset]], str, bool]) -> Path:
    values, sequences, syntax, undefined = drawn
    dataset = item(values)
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.PatientID = "1.2.3", "1.2.3.1", "ID"
    for keyword, items in sequences.items():
        setattr(dataset, keyword, Sequence(items))
        dataset[keyword].is_undefined_length = undefined
        for entry in items:
            entry.is_undefined_length_sequence_item = undefined
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset.save_as(path, enforce_file_format=True)
    return path


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=DATA_SETS)
def test_both_readers_agree_on_whatever_is_well_formed(tmp_path: Path, drawn: Any) -> None:
    try:
        path = written(tmp_path / "object.dcm", drawn)
    except (ValueError, UnicodeError, TypeError, OverflowError):
        return  # pydicom does not write it
    assert SCANNER.scan(path) == read_attributes(path, EXTRA)
    assert SCANNER.scan(path, lenient=True) == read_attributes(path, EXTRA)


SEEDS = [
    (PYDICOM / "test_files" / name).read_bytes()[:60_000]
    for name in (
        "CT_small.dcm",
        "MR_small.dcm",
        "MR_small_implicit.dcm",
        "MR_small_bigendian.dcm",
        "JPEG2000.dcm",
        "rtplan.dcm",
    )
    if (PYDICOM / "test_files" / name).is_file()
]


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.sampled_from(range(len(SEEDS))),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.binary(max_size=12)), min_size=1, max_size=6),
    lenient=st.booleans(),
)
def test_no_damage_raises_anything_else(
    tmp_path: Path, seed: int, cuts: list[tuple[float, int, bytes]], *, lenient: bool
) -> None:
    content = SEEDS[seed]
    for place, removed, added in cuts:
        at = 132 + int(place * min(len(content) - 132, 4_000))
        content = content[:at] + added + content[at + removed :]
    path = tmp_path / "object.dcm"
    path.write_bytes(content)
    with suppress(AdmissionError):
        assert SCANNER.scan(path, lenient=lenient)["SOPInstanceUID"]


def test_a_part_that_is_read_late_is_read_right(tmp_path: Path) -> None:
    """Values on both sides of a window's edge, and headers longer than several windows."""
    for padding in (65_400, 65_450, 65_500, 131_000, 400_000):
        private = element(0x00090010, "LO", b"VENDOR") + element(0x00091001, "OB", bytes(padding))
        path = part10(tmp_path / "object.dcm", body(private, at=0x00100000))
        assert compared([path]) == {"same": 1}
        assert SCANNER.scan(path)["PatientID"] == "SECRETID"


@pytest.mark.parametrize("content", [b"\0" * 400, b"\xff" * 400, bytes(range(256)) * 2])
def test_noise_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(AdmissionError):
        SCANNER.scan(part10(tmp_path / "object.dcm", content))
