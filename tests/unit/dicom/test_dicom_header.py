# SPDX-License-Identifier: Apache-2.0
"""Reading headers: values as the ledger wants them, and refusals."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from harness.images import image_dataset, save_image
from harness.raw import body, element, part10
from service.dicom.header import read_attributes, read_source_dataset
from service.dicom.keywords import LEDGER_KEYWORDS
from service.domain.errors import DicomStructureError

PIXELS = np.arange(16, dtype=np.uint16).reshape(4, 4)


def written(path: Path, **elements: Any) -> Path:
    return save_image(image_dataset(PIXELS, **elements), path / "image.dcm")


def test_numbers_are_numbers_and_text_is_text(tmp_path: Path) -> None:
    attributes = read_attributes(
        written(tmp_path, PixelSpacing=[0.2, 0.25], InstanceNumber="7", ImageType=["ORIGINAL", "PRIMARY"])
    )
    assert attributes["PixelSpacing"] == (0.2, 0.25)
    assert attributes["InstanceNumber"] == 7
    assert attributes["Rows"] == 4
    assert attributes["ImageType"] == ("ORIGINAL", "PRIMARY")
    assert attributes["TransferSyntaxUID"] == "1.2.840.10008.1.2.1"


def test_empty_is_none_and_absent_is_absent(tmp_path: Path) -> None:
    attributes = read_attributes(written(tmp_path, ViewPosition=""))
    assert attributes["ViewPosition"] is None
    assert "BodyPartExamined" not in attributes


def test_sequences_collect_every_item(tmp_path: Path) -> None:
    items = []
    for value in ("399162004", "399368009"):
        item = Dataset()
        item.CodeValue = value
        items.append(item)
    attributes = read_attributes(written(tmp_path, ViewCodeSequence=Sequence(items)))
    assert attributes["ViewCodeSequence.CodeValue"] == ("399162004", "399368009")


def test_a_value_that_breaks_its_vr_is_given_as_text(tmp_path: Path) -> None:
    path = written(tmp_path, InstanceNumber="123456")
    path.write_bytes(path.read_bytes().replace(b"123456", b"12a456"))
    assert read_attributes(path)["InstanceNumber"] == "12a456"


@pytest.mark.parametrize("charset", ["ISO 2022 IR 87", "punycode", "nonsense"])
def test_no_character_set_breaks_reading(tmp_path: Path, charset: str) -> None:
    path = written(tmp_path, SpecificCharacterSet="ISO_IR 6", SeriesDescription="ABCDEFGH")
    content = path.read_bytes().replace(b"ISO_IR 6", charset.encode()[:8].ljust(8))
    path.write_bytes(content.replace(b"ABCDEFGH", b"\x1b$B;3ED\xff"))
    assert read_attributes(path)["Modality"] == "CR"
    assert isinstance(read_attributes(path)["SeriesDescription"], str)


def test_extra_keywords_are_read_and_unknown_ones_named(tmp_path: Path) -> None:
    path = written(tmp_path, PatientComments="x")
    assert read_attributes(path, ["PatientComments"])["PatientComments"] == "x"
    with pytest.raises(KeyError, match="NoSuchKeyword"):
        read_attributes(path, ["NoSuchKeyword"])


def test_source_dataset_has_no_pixels_and_no_large_values(tmp_path: Path) -> None:
    dataset = image_dataset(PIXELS)
    dataset.private_block(0x0011, "VENDOR", create=True).add_new(0x01, "OB", b"\x01" * (1 << 21))
    source = read_source_dataset(save_image(dataset, tmp_path / "image.dcm"))
    assert "PixelData" not in source
    assert (0x0011, 0x1001) not in source
    assert source.PatientID == "PSEUDONYM"


def test_a_file_without_prefix_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.dcm"
    path.write_bytes(b"no dicom")
    with pytest.raises(DicomStructureError, match="DICM"):
        read_attributes(path)


def test_a_header_that_ends_early_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, SeriesDescription="S" * 60)
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"S" * 60) + 10])
    with pytest.raises(DicomStructureError, match="truncated"):
        read_attributes(path)


def test_deflated_is_refused_before_it_inflates(tmp_path: Path) -> None:
    path = save_image(image_dataset(PIXELS), tmp_path / "image.dcm", transfer_syntax_uid="1.2.840.10008.1.2.1.99")
    with pytest.raises(DicomStructureError, match="Deflated"):
        read_attributes(path)


def test_a_repeated_patient_id_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    element = b"\x10\x00\x20\x00LO\x0a\x00PSEUDONYM "
    content = path.read_bytes()
    assert element in content
    path.write_bytes(content.replace(element, element + b"\x10\x00\x20\x00LO\x06\x00OTHER "))
    with pytest.raises(DicomStructureError, match=r"\(0010,0020\)") as caught:
        read_attributes(path)
    assert "OTHER" not in str(caught.value)


def test_only_harmless_disorder_is_read(tmp_path: Path) -> None:
    harmless = part10(tmp_path / "a.dcm", body() + element(0x00180050, "DS", b"1 "))
    assert read_attributes(harmless)["SliceThickness"] == 1
    doubtful = part10(tmp_path / "b.dcm", body(t00100020=None) + element(0x00100020, "LO", b"X "))
    with pytest.raises(DicomStructureError, match="ascending"):
        read_attributes(doubtful)


def test_deep_nesting_is_refused_not_followed(tmp_path: Path) -> None:
    path = written(tmp_path)
    level = b"\x40\x00\x00\xa7SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    content = path.read_bytes()
    at = content.index(b"\xe0\x7f\x10\x00")
    path.write_bytes(content[:at] + level * 20_000 + content[at:])
    with pytest.raises(DicomStructureError, match="RecursionError"):
        read_attributes(path)


def test_ledger_keywords_exist_and_are_listed_once() -> None:
    assert len(set(LEDGER_KEYWORDS)) == len(LEDGER_KEYWORDS)


def test_numbers_that_json_cannot_hold_are_given_as_text(tmp_path: Path) -> None:
    path = written(tmp_path, SliceThickness="1.25", KVP="120.0", PixelSpacing=[0.2, 0.25])
    content = path.read_bytes().replace(b"1.25", b"NaN ").replace(b"120.0 ", b"1e9999")
    path.write_bytes(content)
    attributes = read_attributes(path)
    assert (attributes["SliceThickness"], attributes["KVP"]) == ("nan", "inf")
    json.dumps(attributes, allow_nan=False)
