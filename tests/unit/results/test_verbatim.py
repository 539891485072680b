# SPDX-License-Identifier: Apache-2.0
"""Patient and study attributes come out byte for byte as they came in, whatever their character set or sanity."""

import struct
import warnings
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ImplicitVRLittleEndian

from harness.studies import context_of, instance_of, result_of, source_dataset, stored
from service.domain.instance import Instance
from service.domain.result import Outcome
from service.ports import ResultKind
from service.results import ENCODERS
from service.results.gate import check_object

NAME = "Yamada^Tarou=山田^太郎=やまだ^たろう"
HALF_WIDTH = "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"


def raw_values(path: Path, *keywords: str) -> dict[str, bytes]:
    """Find elements in the file by hand, so that no library's idea of text comes between."""
    content = path.read_bytes()
    start = content.index(b"DICM") + 4
    values, position = {}, start
    wanted = {Tag(keyword): keyword for keyword in keywords}
    while position < len(content):
        group, element, vr = struct.unpack_from("<HH2s", content, position)
        is_long = vr in {b"OB", b"OW", b"SQ", b"UN", b"UC", b"UR", b"UT"}
        (length,) = struct.unpack_from("<L" if is_long else "<H", content, position + (8 if is_long else 6))
        position += 12 if is_long else 8
        tag = Tag(group, element)
        if tag in wanted:
            values[wanted[tag]] = content[position : position + length]
        position += length
    return values


def written(source: Instance, folder: Path) -> list[Path]:
    result, context = result_of("CR", (source,), Outcome.FINDINGS), context_of(source)
    return [entry.path for encoder in ENCODERS.values() for entry in encoder(result, context, folder)]


@pytest.mark.parametrize(
    ("charset", "name", "description"),
    [
        (["", "ISO 2022 IR 87"], NAME, "胸部"),
        (["ISO 2022 IR 13", "ISO 2022 IR 87"], HALF_WIDTH, "胸部"),
        ("ISO_IR 13", "ﾔﾏﾀﾞ^ﾀﾛｳ", "ｷｮｳﾌﾞ"),
        ("ISO_IR 192", NAME, "胸部 CT"),
        ("ISO_IR 100", "Müller^Jörg", "Thorax a.p. für Gießen"),
        (None, "Test^Patient", "Chest"),
    ],
)
def test_every_character_set_survives(
    charset: str | list[str] | None, name: str, description: str, tmp_path: Path
) -> None:
    dataset = source_dataset("CR")
    if charset is not None:
        dataset.SpecificCharacterSet = charset
    dataset.PatientName, dataset.StudyDescription = name, description
    dataset.ReferringPhysicianName = name
    source = stored(dataset, tmp_path / "source")
    keywords = ("SpecificCharacterSet", "PatientName", "StudyDescription", "ReferringPhysicianName")
    expected = raw_values(source.path, *keywords)
    assert len(expected) == (3 if charset is None else 4)
    for path in written(source, tmp_path / "out"):
        assert raw_values(path, *keywords) == expected
        assert str(pydicom.dcmread(path).PatientName) == name
        assert check_object(path, validators=()) == ()


@pytest.mark.peers
def test_japanese_report_is_valid(tmp_path: Path) -> None:
    dataset = source_dataset("CR")
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.PatientName = NAME
    for path in written(stored(dataset, tmp_path / "source"), tmp_path / "out"):
        assert check_object(path) == ()


def patched(tmp_path: Path, old: bytes, new: bytes) -> Instance:
    """Store a source and overwrite bytes of the same length in it."""
    assert len(old) == len(new)
    source = stored(source_dataset("CR"), tmp_path / "source")
    content = source.path.read_bytes()
    assert content.count(old) == 1
    source.path.write_bytes(content.replace(old, new))
    return source


@pytest.mark.parametrize(
    "name",
    [b"\xff\xfe\x80\x81^\x1b$B\x7f", b"\x1b$Bxx\x1b(Jabcdef", b"=\\=\\^^^^^^^^=\x00"],
    ids=["bytes", "escape", "signs"],
)
def test_undecodable_name_survives(name: bytes, tmp_path: Path) -> None:
    padded = name[:12].ljust(12)
    source = patched(tmp_path, b"Test^Patient", padded)
    for path in written(source, tmp_path / "out"):
        assert raw_values(path, "PatientName")["PatientName"] == padded
        assert check_object(path, validators=()) == ()


@settings(deadline=None, max_examples=25)
@given(name=st.binary(min_size=12, max_size=12))
def test_any_bytes_survive(name: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    source = patched(folder, b"Test^Patient", name)
    result, context = result_of("CR", (source,), Outcome.NOT_ANALYSED), context_of(source)
    for entry in ENCODERS[ResultKind.SR](result, context, folder):
        assert raw_values(entry.path, "PatientName")["PatientName"] == name


def test_unknown_character_set_and_bad_values_survive(tmp_path: Path) -> None:
    dataset = source_dataset("CR")
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.add_new("PatientSex", "CS", "F")
    source = stored(dataset, tmp_path / "source")
    changes = ((b"ISO_IR 100", b"KLINGON__1"), (b"19600101", b"unknown "), (b"066Y", b"66 J"), (b"085900", b"8:59AM"))
    content = source.path.read_bytes()
    for old, new in changes:
        assert content.count(old) == 1
        content = content.replace(old, new)
    source.path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paths = written(source, tmp_path / "out")
    keywords = ("SpecificCharacterSet", "PatientBirthDate", "PatientAge", "StudyTime")
    for path in paths:
        assert list(raw_values(path, *keywords).values()) == [b"KLINGON__1", b"8:59AM", b"unknown ", b"66 J"]


@pytest.mark.peers
def test_invalid_values_of_the_source_do_not_cost_the_result(tmp_path: Path) -> None:
    source = patched(tmp_path, b"066Y", b"66 J")
    for path in written(source, tmp_path / "out"):
        assert b"66 J" in path.read_bytes()
        assert check_object(path) == ()


def test_missing_attributes_become_empty(tmp_path: Path) -> None:
    dataset = source_dataset("CR")
    missing = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID")
    others = ("AccessionNumber", "ReferringPhysicianName", "PatientAge", "StudyDescription", "BodyPartExamined")
    optional = ("PatientOrientation", "ImagerPixelSpacing", "ViewPosition", "InstanceNumber", "SeriesNumber")
    for keyword in (*missing, *others, *optional):
        delattr(dataset, keyword)
    source = stored(dataset, tmp_path / "source")
    for path in written(source, tmp_path / "out"):
        assert raw_values(path, *missing) == dict.fromkeys(missing, b"")
        assert raw_values(path, "PatientAge", "StudyDescription") == {}
        assert check_object(path, validators=()) == ()


@pytest.mark.peers
@pytest.mark.parametrize("modality", ["CR", "MG", "CT"])
def test_bare_source_makes_valid_objects(modality: str, tmp_path: Path) -> None:
    dataset = source_dataset(modality)
    keep = {"SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "Rows", "Columns"}
    for keyword in [element.keyword for element in dataset if element.keyword not in keep]:
        delattr(dataset, keyword)
    source = stored(dataset, tmp_path / "source")
    result, context = result_of(modality, (source,), Outcome.FINDINGS), context_of(source)
    for encoder in ENCODERS.values():
        for entry in encoder(result, context, tmp_path / "out"):
            assert check_object(entry.path) == ()


def procedure_item() -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1000", "JJ1017T", "胸部 単純撮影"
    nested = Dataset()
    nested.CodeValue, nested.CodingSchemeDesignator, nested.CodeMeaning = "2", "99X", "中"
    item.EquivalentCodeSequence = [nested]
    item.add_new(0x00091010, "LO", "private")
    return item


@pytest.mark.parametrize("is_implicit", [False, True])
def test_sequences_survive_in_either_encoding(tmp_path: Path, *, is_implicit: bool) -> None:
    dataset = source_dataset("CR")
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.ProcedureCodeSequence = [procedure_item()]
    source = stored(dataset, tmp_path / "source")
    if is_implicit:
        dataset = pydicom.dcmread(source.path)
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        pydicom.dcmwrite(source.path, dataset, implicit_vr=True, little_endian=True)
        source = instance_of(dataset, source.path)
    for path in written(source, tmp_path / "out"):
        (item,) = pydicom.dcmread(path).ProcedureCodeSequence
        assert item.CodeMeaning == "胸部 単純撮影"
        assert item.EquivalentCodeSequence[0].CodeMeaning == "中"
        assert 0x00091010 not in item
        assert check_object(path, validators=()) == ()
