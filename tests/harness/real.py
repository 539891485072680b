# SPDX-License-Identifier: Apache-2.0
"""Real files as studies that can be sent: unpacked, one study for each file or series, with UIDs of their own."""

import gzip
import shutil
import subprocess
import uuid
import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.errors import InvalidDicomError

from service.transport.sop_classes import INPUT_SOP_CLASSES

NO_DICOM = frozenset((".png", ".jpg", ".csv", ".md", ".txt", ".json", ".dump", ".icc", ".nii"))
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"


@dataclass(frozen=True)
class RealStudy:
    """A study to send; `name` says which file or folder it came from."""

    name: str
    study_instance_uid: str
    files: tuple[Path, ...]


def real_studies(data: Path, folder: Path) -> list[RealStudy]:
    """Copy every real image of an accepted SOP class into `folder` as a study of its own; CT of one folder together."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(path for path in data.rglob("*") if path.is_file()):
        target = folder / "files" / uuid.uuid5(uuid.NAMESPACE_URL, str(path.relative_to(data))).hex
        name = _prepare(path, target, data)
        if name:
            groups[name].append(target)
    return [_study(name, files) for name, files in groups.items()]


def _prepare(path: Path, target: Path, data: Path) -> str:
    """Write a copy that can be sent, and return its study's name; "" for what is no image of ours."""
    if path.suffix.lower() in NO_DICOM or path.name.endswith(".nii.gz"):
        return ""
    target.parent.mkdir(parents=True, exist_ok=True)
    if not unpack(path, target):
        return ""
    try:
        dataset = _read(target)
        if str(dataset.get("SOPClassUID", CT_IMAGE)) not in INPUT_SOP_CLASSES or "PixelData" not in dataset:
            return ""
        name = _name(dataset, path.relative_to(data))
        with warnings.catch_warnings(action="ignore"):
            _give_identity(dataset, name, path)
            dataset.save_as(target)
    except (InvalidDicomError, AttributeError, ValueError, TypeError, KeyError, NotImplementedError, OSError):
        return ""  # not a DICOM file, or one that pydicom itself cannot write again: no sender would have it
    return name


def _read(path: Path) -> FileDataset:
    with warnings.catch_warnings(action="ignore"):  # real files have odd values: that is why they are here
        return dcmread(path)


def unpack(path: Path, target: Path) -> bool:
    """Copy a file to `target`, unpacked; False when the program to unpack it is missing."""
    if path.suffix == ".gz":
        target.write_bytes(gzip.decompress(path.read_bytes()))
        return True
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-q", "-d", "-f", path, "-o", target], check=False).returncode == 0
    shutil.copyfile(path, target)
    return True


def _name(dataset: FileDataset, path: Path) -> str:
    series = dataset.get("Modality") == "CT" and path.parts[0].startswith("ct_")
    return str(path.parent if series else path)


def _give_identity(dataset: FileDataset, name: str, path: Path) -> None:
    def uid(*parts: object) -> str:
        return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, repr(parts)).int}"

    if "SOPClassUID" not in dataset:
        dataset.SOPClassUID = CT_IMAGE
    dataset.StudyInstanceUID = uid("study", name)
    dataset.SeriesInstanceUID = uid("series", name, str(dataset.get("SeriesNumber", "")))
    dataset.SOPInstanceUID = uid("instance", name, str(path))
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID


def _study(name: str, files: list[Path]) -> RealStudy:
    uid = str(_read(files[0]).StudyInstanceUID)
    return RealStudy(name=name, study_instance_uid=uid, files=tuple(files))


def pictures(paths: list[Path], study_instance_uid: str) -> Iterator[Path]:
    """Yield the secondary captures of a study."""
    for path in paths:
        header = dcmread(path, stop_before_pixels=True)
        if header.StudyInstanceUID == study_instance_uid and header.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7":
            yield path
