# SPDX-License-Identifier: Apache-2.0
"""Data sets to send about: one template for each kind, whose UIDs have places for the digits of each copy."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

PREFIX = "1.2.826.0.1.3680043.8.498."
INSTANCE, STUDY = b"I" * 20, b"S" * 20
"""What stands in a template where the digits of a copy go; the lengths are those of 20 digits."""
_PLACES = {b"1" * 20: INSTANCE, b"2" * 20: STUDY}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of object: what it is called and how it is made."""

    name: str
    sop_class_uid: str
    modality: str
    rows: int
    columns: int
    samples: int = 1
    unit: str = "MB/s"


CT = Kind(name="CT 0.5 MB", sop_class_uid="1.2.840.10008.5.1.4.1.1.2", modality="CT", rows=512, columns=512)
DX = Kind(name="DX 12 MB", sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1", modality="DX", rows=2900, columns=2100)
MG = Kind(name="MG 27 MB", sop_class_uid="1.2.840.10008.5.1.4.1.1.1.2", modality="MG", rows=4096, columns=3328)
SMALL = Kind(
    name="10 kB", sop_class_uid="1.2.840.10008.5.1.4.1.1.2", modality="CT", rows=68, columns=68, unit="objects/s"
)
TINY = Kind(name="1 kB", sop_class_uid="1.2.840.10008.5.1.4.1.1.2", modality="CT", rows=8, columns=32, unit="objects/s")
SC = Kind(
    name="SC 41 MB",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
    modality="OT",
    rows=4096,
    columns=3328,
    samples=3,
    unit="objects/s",
)
SR_SOP_CLASS = "1.2.840.10008.5.1.4.1.1.88.33"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A kind written down twice: as a bare data set for blast, and as a Part 10 file to copy from."""

    name: str
    unit: str
    sop_class_uid: str
    dataset: Path
    file: Path

    @property
    def size_bytes(self) -> int:
        return self.dataset.stat().st_size

    def copies(self, folder: Path, numbers: Iterable[int]) -> Iterator[Path]:
        """Write one file for each number, each a SOP instance of its own."""
        folder.mkdir(parents=True, exist_ok=True)
        content = bytearray(self.file.read_bytes())
        places = list(_find(content, INSTANCE))
        for at in _find(content, STUDY):
            content[at : at + 20] = b"2" * 20
        for number in numbers:
            for at in places:
                content[at : at + 20] = b"3%019d" % number
            path = folder / f"{number}.dcm"
            path.write_bytes(content)
            yield path

    def sop_instance_uid(self, number: int) -> str:
        """The SOP Instance UID of a copy."""
        return f"{PREFIX}3{number:019d}"


def image_template(kind: Kind, folder: Path) -> Template:
    """Draw an image of noise, so that nothing on the way can compress it."""
    dataset = _identified(kind.sop_class_uid, kind.modality)
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = kind.rows, kind.columns, kind.samples
    dataset.PhotometricInterpretation = "RGB" if kind.samples == 3 else "MONOCHROME2"
    if kind.samples == 3:
        dataset.PlanarConfiguration = 0
    bits = 8 if kind.samples == 3 else 16
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, 0
    pixels = np.random.default_rng(7).bytes(kind.rows * kind.columns * kind.samples * bits // 8)
    dataset.add_new("PixelData", "OB" if bits == 8 else "OW", pixels)
    return _written(dataset, folder, kind.name, kind.unit)


def report_template(folder: Path, *, size_bytes: int = 20_000) -> Template:
    """Write an SR of about this size, of text items."""
    dataset = _identified(SR_SOP_CLASS, "SR")
    dataset.ValueType, dataset.ContinuityOfContent = "CONTAINER", "SEPARATE"
    dataset.CompletionFlag, dataset.VerificationFlag = "COMPLETE", "UNVERIFIED"
    dataset.ConceptNameCodeSequence = Sequence([_code("126000", "Imaging Measurement Report")])
    dataset.ContentSequence = Sequence([_text_item(number) for number in range(size_bytes // 500)])
    return _written(dataset, folder, "SR 20 kB", "objects/s")


def huge_dataset(folder: Path, *, size_bytes: int) -> Path:
    """Write a data set whose pixels are a hole in the file; it takes no room on the disk."""
    template = image_template(TINY, folder)
    content = template.dataset.read_bytes()
    header = content[: -TINY.rows * TINY.columns * 2]
    path = folder / "huge.dataset"
    with path.open("wb") as stream:
        stream.write(header[:-4] + size_bytes.to_bytes(4, "little"))
        stream.truncate(len(header) + size_bytes)
    return path


def _identified(sop_class_uid: str, modality: str) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = f"{PREFIX}{'1' * 20}"
    dataset.StudyInstanceUID = f"{PREFIX}7.{'2' * 20}"
    dataset.SeriesInstanceUID = f"{PREFIX}8.{'2' * 20}"
    dataset.Modality = modality
    dataset.PatientID, dataset.PatientName, dataset.PatientSex = "BENCHMARK", "BENCHMARK^NOBODY", "O"
    dataset.PatientBirthDate, dataset.StudyDate, dataset.StudyTime = "19700101", "20260101", "120000"
    dataset.StudyID, dataset.AccessionNumber = "1", "1"
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.ReferringPhysicianName = ""
    return dataset


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _text_item(number: int) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "TEXT"
    item.ConceptNameCodeSequence = Sequence([_code("121071", "Finding")])
    item.TextValue = f"{number:04d} " + "x" * 380
    return item


def _written(dataset: Dataset, folder: Path, name: str, unit: str) -> Template:
    folder.mkdir(parents=True, exist_ok=True)
    file, bare = folder / f"{name}.dcm", folder / f"{name}.dataset"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(ExplicitVRLittleEndian)
    dataset.save_as(file, enforce_file_format=True)
    with_meta = _placed(file.read_bytes())
    file.write_bytes(with_meta)
    start = 132 + 12 + int.from_bytes(with_meta[140:144], "little")
    bare.write_bytes(with_meta[start:])
    return Template(name=name, unit=unit, sop_class_uid=str(dataset.SOPClassUID), dataset=bare, file=file)


def _placed(content: bytes) -> bytes:
    for digits, place in _PLACES.items():
        content = content.replace(digits, place)
    return content


def _find(content: bytearray, place: bytes) -> Iterator[int]:
    at = content.find(place, 0, 65_536)
    while at >= 0:
        yield at
        at = content.find(place, at + 1, 65_536)
