# SPDX-License-Identifier: Apache-2.0
"""Many studies out of few drawings: the same pixels under other identities."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from models.phantoms.dicom import PhantomStudy
from models.phantoms.samples import SAMPLES

NORMAL_FILM = "2"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopiedStudy:
    """A study of its own, with the paths of its files."""

    study_instance_uid: str
    files: tuple[Path, ...]


def copy_studies(samples: list[Path], folder: Path, *, count: int) -> Iterator[CopiedStudy]:
    """Yield `count` studies made from the sample folders in turn; another folder's name gives other identities."""
    for number in range(count):
        source = samples[number % len(samples)]
        identity = PhantomStudy(seed=f"copy-{folder.name}-{number}")
        target = folder / f"{number:03d}"
        target.mkdir(parents=True)
        files = tuple(_copy(path, target / path.name, identity) for path in sorted(source.glob("*.dcm")))
        yield CopiedStudy(study_instance_uid=identity.study_instance_uid, files=files)


def film_studies(folder: Path, *, count: int) -> list[CopiedStudy]:
    """Return studies of one normal film each: the quickest to draw and to analyse."""
    return list(copy_studies([drawn_sample(folder, NORMAL_FILM)], folder / "films", count=count))


def drawn_sample(folder: Path, number: str) -> Path:
    """Return the folder of the sample whose name begins with this number, drawn when it is first asked for."""
    sample = next(each for each in SAMPLES if each.name.startswith(f"{number}-"))
    target = folder / sample.name
    if not target.exists():
        target.mkdir(parents=True)
        sample.draw(target)
    return target


def _copy(source: Path, target: Path, identity: PhantomStudy) -> Path:
    dataset = dcmread(source)
    dataset.PatientID = f"PHANTOM-{identity.number}"
    dataset.AccessionNumber = identity.number
    dataset.StudyInstanceUID = identity.study_instance_uid
    dataset.SeriesInstanceUID = identity.uid(dataset.SeriesInstanceUID)
    if "FrameOfReferenceUID" in dataset:
        dataset.FrameOfReferenceUID = identity.uid(dataset.FrameOfReferenceUID)
    dataset.SOPInstanceUID = identity.uid(dataset.SOPInstanceUID)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(target)
    return target
