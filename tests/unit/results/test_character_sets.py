# SPDX-License-Identifier: Apache-2.0
"""Names are copied byte for byte or converted without loss; Japanese is written where it can be read back."""

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from harness.studies import context_of, instance_of, result_of, source_dataset, stored
from service.domain.instance import Instance
from service.domain.profile import CharacterSet, EncodingProfile, Language
from service.domain.result import Outcome
from service.ports import ResultKind
from service.results import ENCODERS
from service.results.gate import check_object
from service.results.lint.report import content_items
from service.results.source.characters import NO_JAPANESE, NOT_CONVERTED, declared

NAME = "Yamada^Tarou=山田^太郎=やまだ^たろう"
KANJI = b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"
KANA = b"\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"
ISO_2022 = b"Yamada^Tarou=" + KANJI + b"=" + KANA
ROMAN_FIRST = b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=" + KANJI.replace(b"(B", b"(J") + b"=" + KANA.replace(b"(B", b"(J")
GAIJI = b"Yamada=\x1b$B\x2d\x21\x1b(B"
"""NEC's circled one, in a row that JIS X 0208 leaves empty."""

SETS: dict[str, tuple[str | list[str] | None, bytes]] = {
    "none": (None, b"Yamada^Tarou"),
    "ISO_IR 100": ("ISO_IR 100", "Müller^José".encode("latin-1")),
    "ISO_IR 13": ("ISO_IR 13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3"),
    "ISO_IR 192": ("ISO_IR 192", NAME.encode()),
    "IR 87": (["", "ISO 2022 IR 87"], ISO_2022),
    "IR 13 and 87": (["ISO 2022 IR 13", "ISO 2022 IR 87"], ROMAN_FIRST),
}
WITH_JAPANESE = {
    "none": ("", "ISO 2022 IR 87"),
    "ISO_IR 100": ("ISO 2022 IR 100", "ISO 2022 IR 87"),
    "ISO_IR 13": ("ISO 2022 IR 13", "ISO 2022 IR 87"),
    "ISO_IR 192": ("ISO_IR 192",),
    "IR 87": ("", "ISO 2022 IR 87"),
    "IR 13 and 87": ("ISO 2022 IR 13", "ISO 2022 IR 87"),
}
JAPANESE = EncodingProfile(language=Language.JAPANESE)
UTF8 = EncodingProfile(character_set=CharacterSet.UTF8)
sets = pytest.mark.parametrize("name", SETS)


def source(character_set: str | list[str] | None, patient_name: bytes, folder: Path) -> Instance:
    """Store a radiograph whose patient's name has exactly these bytes."""
    dataset = source_dataset("CR")
    marker = "X" * (len(patient_name) + len(patient_name) % 2)
    dataset.PatientName = marker
    if character_set is not None:
        dataset.SpecificCharacterSet = character_set
    written = stored(dataset, folder)
    content = written.path.read_bytes()
    assert content.count(marker.encode()) == 1
    written.path.write_bytes(content.replace(marker.encode(), patient_name.ljust(len(marker))))
    return instance_of(dataset, written.path)


def encoded(origin: Instance, profile: EncodingProfile, folder: Path, kind: ResultKind) -> list[Dataset]:
    result = result_of("CR", (origin,), Outcome.PARTLY_ANALYSED)
    made = ENCODERS[kind](result, context_of(origin, profile=profile), folder)
    for item in made:
        assert check_object(item.path, validators=()) == ()
    return [pydicom.dcmread(item.path) for item in made]


def name_bytes(dataset: Dataset) -> bytes:
    return bytes(dataset.get_item("PatientName").value).rstrip(b" ")


def said(dataset: Dataset) -> str:
    return "\n".join(str(item.TextValue) for item in content_items(dataset) if "TextValue" in item)


@sets
@pytest.mark.parametrize("kind", list(ENCODERS))
@pytest.mark.parametrize("language", list(Language))
def test_names_are_copied_byte_for_byte(name: str, kind: ResultKind, language: Language, tmp_path: Path) -> None:
    character_set, patient_name = SETS[name]
    origin = source(character_set, patient_name, tmp_path / "source")
    for dataset in encoded(origin, EncodingProfile(language=language), tmp_path / "out", kind):
        assert name_bytes(dataset) == patient_name
        original = pydicom.dcmread(origin.path)
        assert dataset.PatientName == original.PatientName
        if language is Language.ENGLISH:
            assert declared(dataset) == declared(original)
        else:
            assert declared(dataset) == WITH_JAPANESE[name]


@sets
def test_japanese_can_be_read_back_under_every_character_set(name: str, tmp_path: Path) -> None:
    origin = source(*SETS[name], tmp_path / "source")
    for dataset in encoded(origin, JAPANESE, tmp_path / "out", ResultKind.SR):
        text = said(dataset)
        assert "研究用 - 診断に使用しないこと。" in text
        assert "一部のみ解析" in text
        assert "(0018,5101) 'View Position' value 'LL' is not supported" in text


def test_japanese_goes_back_to_ascii_after_each_run(tmp_path: Path) -> None:
    """pydicom would write ESC - A after ISO 2022 IR 100, which leaves two-byte Japanese in G0."""
    origin = source(*SETS["ISO_IR 100"], tmp_path / "source")
    for item in encoded(origin, JAPANESE, tmp_path / "out", ResultKind.TEXT):
        raw = Path(str(item.filename)).read_bytes()
        assert b"\x1b$B" in raw
        assert b"\x1b-A" not in raw
        assert raw.count(b"\x1b(B") >= raw.count(b"\x1b$B")


@sets
@pytest.mark.parametrize("kind", list(ENCODERS))
def test_utf8_converts_names_without_loss(name: str, kind: ResultKind, tmp_path: Path) -> None:
    origin = source(*SETS[name], tmp_path / "source")
    original = pydicom.dcmread(origin.path)
    for dataset in encoded(origin, UTF8, tmp_path / "out", kind):
        assert dataset.SpecificCharacterSet == "ISO_IR 192"
        assert name_bytes(dataset).decode("utf-8") == str(original.PatientName)


UNDECODABLE = {
    "gaiji": (["", "ISO 2022 IR 87"], GAIJI),
    "Shift-JIS without a declaration": (None, "山田^太郎".encode("shift_jis")),
    "escapes without extensions": ("ISO_IR 100", ISO_2022),
    "unknown set": ("ISO_IR 999", b"Yamada"),
}


@pytest.mark.filterwarnings("ignore:Unknown encoding")
@pytest.mark.filterwarnings("ignore:Failed to decode")
@pytest.mark.filterwarnings("ignore:Found unknown escape sequence")
@pytest.mark.parametrize("name", UNDECODABLE)
def test_what_cannot_be_converted_stays_and_is_flagged(name: str, tmp_path: Path) -> None:
    character_set, patient_name = UNDECODABLE[name]
    origin = source(character_set, patient_name, tmp_path / "source")
    for dataset in encoded(origin, UTF8, tmp_path / "out", ResultKind.SR):
        assert name_bytes(dataset) == patient_name
        assert declared(dataset) == declared(pydicom.dcmread(origin.path, stop_before_pixels=True))
        assert NOT_CONVERTED in said(dataset)


@pytest.mark.filterwarnings("ignore:Unknown encoding")
@pytest.mark.filterwarnings("ignore:Failed to decode")
@pytest.mark.filterwarnings("ignore:Found unknown escape sequence")
@pytest.mark.parametrize("name", sorted(UNDECODABLE.keys() - {"gaiji"}))
def test_english_is_written_where_japanese_would_change_what_names_mean(name: str, tmp_path: Path) -> None:
    character_set, patient_name = UNDECODABLE[name]
    origin = source(character_set, patient_name, tmp_path / "source")
    for dataset in encoded(origin, JAPANESE, tmp_path / "out", ResultKind.SR):
        assert name_bytes(dataset) == patient_name
        assert declared(dataset) == declared(pydicom.dcmread(origin.path, stop_before_pixels=True))
        assert NO_JAPANESE in said(dataset)
        assert said(dataset).isascii()


def test_nested_text_is_converted_with_the_rest(tmp_path: Path) -> None:
    dataset = source_dataset("CR")
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "G0101", "JJ1017", "胸部単純"
    dataset.ProcedureCodeSequence = [code]
    origin = stored(dataset, tmp_path / "source")
    for made in encoded(origin, UTF8, tmp_path / "out", ResultKind.TEXT):
        assert made.ProcedureCodeSequence[0].CodeMeaning == "胸部単純"
        assert "胸部単純".encode() in Path(str(made.filename)).read_bytes()
