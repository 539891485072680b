# SPDX-License-Identifier: Apache-2.0
"""The head of a file, cut off a stream."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.filewriter import write_file_meta_info

from harness.phantom import ct_slice
from service.dicom.file_meta import META_BYTES, split_file_meta
from service.domain.errors import DicomStructureError

LENGTH = slice(140, 144)
"""The value of (0002,0000)."""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return ct_slice(tmp_path_factory.mktemp("meta") / "a.dcm", rows=16).read_bytes()


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    return (content[start : start + size] for start in range(0, len(content), size))


@pytest.mark.parametrize("size", [1, 7, 131, 132, 133, 1 << 20])
def test_the_data_set_is_what_follows_the_group(file: bytes, size: int) -> None:
    meta, stream = split_file_meta(pieces(file, size))
    end = 144 + int.from_bytes(file[LENGTH], "little")
    assert b"".join(stream) == file[end:]
    assert meta.transfer_syntax_uid == "1.2.840.10008.1.2.1"
    assert meta.sop_instance_uid.encode() in file[:end]


def test_a_long_object_is_not_read_ahead(file: bytes) -> None:
    asked: list[int] = []

    def stream() -> Iterator[bytes]:
        for number in range(100):
            asked.append(number)
            yield file if number == 0 else bytes(50_000)

    split_file_meta(stream())
    assert len(asked) <= 3


def test_a_group_without_its_length_is_read(file: bytes) -> None:
    without = file[:132] + file[144:]
    meta, stream = split_file_meta([without])
    assert b"".join(stream) == b"".join(split_file_meta([file])[1])
    assert meta == split_file_meta([file])[0]


@pytest.mark.parametrize("by", [-8, -1, 1, 8, 100])
def test_a_group_length_that_lies_is_refused(file: bytes, by: int) -> None:
    told = (int.from_bytes(file[LENGTH], "little") + by).to_bytes(4, "little")
    with pytest.raises(DicomStructureError, match="Group Length"):
        split_file_meta([file[:140] + told + file[144:]])


def test_a_group_longer_than_the_bound_is_refused(tmp_path: Path) -> None:
    dataset = dcmread(ct_slice(tmp_path / "a.dcm"))
    dataset.file_meta.PrivateInformationCreatorUID = "1.2.3"
    dataset.file_meta.PrivateInformation = bytes(META_BYTES)
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(DicomStructureError):
        split_file_meta([(tmp_path / "a.dcm").read_bytes()])


@pytest.mark.parametrize("keyword", ["MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID"])
def test_what_must_be_there_is_named_when_it_is_not(tmp_path: Path, keyword: str) -> None:
    dataset = dcmread(ct_slice(tmp_path / "a.dcm"))
    delattr(dataset.file_meta, keyword)
    with (tmp_path / "b.dcm").open("wb") as stream:
        stream.write(bytes(128) + b"DICM")
        write_file_meta_info(stream, dataset.file_meta, enforce_standard=False)
    with pytest.raises(DicomStructureError, match=keyword):
        split_file_meta([(tmp_path / "b.dcm").read_bytes()])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_a_structure_error_and_nothing_else(file: bytes, data: st.DataObject) -> None:
    head = bytearray(file[:500])
    for _ in range(data.draw(st.integers(1, 6))):
        head[data.draw(st.integers(128, 499))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 500))
    with suppress(DicomStructureError):
        split_file_meta([bytes(head[:cut])])
