# SPDX-License-Identifier: Apache-2.0
"""Finds images in a folder: one walk, headers only."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.data.images import is_picture
from models.data.labels import LabelRow
from models.data.problem import DataError
from service.dicom.header import read_attributes
from service.domain.errors import DicomStructureError

_IGNORED = (".csv", ".txt", ".yaml", ".yml", ".json", ".md", ".gz", ".zip", ".xml", ".pdf", ".html", ".npz")
_BY_UID = {"sop_uid": "SOPInstanceUID", "series_uid": "SeriesInstanceUID", "study_uid": "StudyInstanceUID"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundImage:
    """A file that holds an image; `uids` by the columns of labels.csv, `file` is its path below the folder."""

    path: Path
    file: str
    uids: Mapping[str, str]
    manufacturer: str = ""
    view: str = ""
    laterality: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A file that is no image that we can read, and why."""

    file: str
    reason: str


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Folder:
    """What a walk found."""

    images: tuple[FoundImage, ...]
    unreadable: tuple[Unreadable, ...]

    def by_key(self) -> Mapping[tuple[str, str], tuple[FoundImage, ...]]:
        """Return the images of each SOP, series and study UID and of each file, by (column, value)."""
        found: dict[tuple[str, str], list[FoundImage]] = defaultdict(list)
        for image in self.images:
            for key in (*image.uids.items(), ("file", image.file)):
                found[key].append(image)
        return {key: tuple(images) for key, images in found.items()}


def walk(folder: Path, *, step: Callable[[], object] = lambda: None) -> Folder:
    """Read the header of every file below the folder, tables and texts left aside; pixels stay on disk.

    Raises
    ------
    DataError
        There is no such folder.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; name the folder of images")
    images: list[FoundImage] = []
    unreadable: list[Unreadable] = []
    for path in _files(folder):
        found = _look(path, folder)
        if isinstance(found, FoundImage):
            images.append(found)
        else:
            unreadable.append(found)
        step()
    return Folder(images=tuple(images), unreadable=tuple(unreadable))


def _files(folder: Path) -> Iterable[Path]:
    hidden = (path for path in sorted(folder.rglob("*")) if not path.name.startswith(".") and path.is_file())
    return (
        path for path in hidden if path.suffix.lower() not in _IGNORED and path.name not in {"SHA256SUMS", "DICOMDIR"}
    )


def _look(path: Path, folder: Path) -> FoundImage | Unreadable:
    file = path.relative_to(folder).as_posix()
    if is_picture(path):
        return FoundImage(path=path, file=file, uids={})
    try:
        header = read_attributes(path)
    except (DicomStructureError, OSError) as error:
        return Unreadable(file=file, reason=" ".join(str(error).split())[:300])
    uids = {column: str(header[keyword]) for column, keyword in _BY_UID.items() if header.get(keyword)}
    return FoundImage(
        path=path,
        file=file,
        uids=uids,
        manufacturer=str(header.get("Manufacturer") or ""),
        view=str(header.get("ViewPosition") or ""),
        laterality=str(header.get("ImageLaterality") or header.get("Laterality") or ""),
    )


def images_of(row: LabelRow, found: Mapping[tuple[str, str], tuple[FoundImage, ...]]) -> tuple[FoundImage, ...]:
    """Return the images that a row speaks of; none where the folder lacks them.

    A row that gives several keys must mean the same image by all of them: the most specific is taken, the others must
    agree.
    """
    column, value = row.key
    others = {name: getattr(row, name) for name in _BY_UID if name != column and getattr(row, name)}
    return tuple(
        image
        for image in found.get((column, value), ())
        if all(image.uids.get(name) in {None, uid} for name, uid in others.items())
    )
