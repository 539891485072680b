# SPDX-License-Identifier: Apache-2.0
"""The public CT slices of the finder of dense lung: which files they are, and what of them is lung.

The list beside this module names each file with its SHA-256; the images themselves are no part of the repository. What
is lung, thresholds say: only slices whose lungs hold air are listed, so that they are right.
"""

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage

from models.training.recipe_file import RecipeError
from service.imaging.masks import close_gaps, fill_holes
from service.imaging.resample import resample_mm
from service.pipelines.diffuse_lung.lungs import find_lungs

LIST = Path(__file__).with_suffix(".csv")
SOURCES: Mapping[str, str] = {
    "COVID-19-NY-SBU": (
        "COVID-19-NY-SBU (Saltz J et al., The Cancer Imaging Archive, 2021, doi:10.7937/TCIA.BBAG-2923), CC BY 4.0; "
        "slices in github.com/SaltyJoke/Image-Registration at 63090abd58c1ca0f6b1d7ea414943ac5e94fa62c"
    ),
    "TotalSegmentator": (
        "test files of github.com/wasserth/TotalSegmentator at 0e65a448d557382b1e925276212b3bec7f5aff83, Apache-2.0"
    ),
}
_SURVEY_MM = 0.6
_AIR_HU, _LUMEN_HU, _GAS_HU = -400.0, -935.0, -965.0
_CLOSING_MM, _SMALLEST_CM2, _LUMEN_CM2 = 4.5, 2.0, 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSlices:
    """One row of the list: every `step`-th slice of a file from `first` on, from the feet.

    `part` says what is seen: a whole `chest`; the middle of one, `cropped`, whose lungs are open at the edges; or a
    `trunk`, mostly abdomen, where only air that reaches behind the middle of the body is lung.
    """

    file: str
    sha256: str
    source: str
    part: str
    first: int
    step: int
    repeats: int


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class RealSlice:
    """Hounsfield units (rows, columns) of square pixels, columns growing to the patient's left; its lungs."""

    hounsfield: NDArray[np.float32]
    lungs: NDArray[np.bool_]
    pixel_mm: float
    repeats: int


class MissingSlicesError(RecipeError):
    """The folder of public slices lacks files of the list, or has others under their names."""


@cache
def listed_slices() -> tuple[ListedSlices, ...]:
    """Return the whole list, in the order of its file."""
    with LIST.open(encoding="utf-8", newline="") as file:
        return tuple(
            ListedSlices(
                file=row["file"],
                sha256=row["sha256"],
                source=row["source"],
                part=row["part"],
                first=int(row["first"]),
                step=int(row["step"]),
                repeats=int(row["repeats"]),
            )
            for row in csv.DictReader(file)
        )


def list_digest() -> str:
    """Return the SHA-256 of the list itself, which the recipe names."""
    return hashlib.sha256(LIST.read_bytes()).hexdigest()


def list_summary() -> str:
    """Return in words which files the list has, and where they come from."""
    sources = "; ".join(SOURCES[name] for name in SOURCES if any(each.source == name for each in listed_slices()))
    return f"slices of {len(listed_slices())} public CT files ({sources})"


def real_slices(folder: Path) -> Iterator[RealSlice]:
    """Yield the listed slices of a folder with their lungs; each file is checked against its SHA-256 first.

    Raises
    ------
    MissingSlicesError
        Files are missing or differ; says which, where they come from, and what to do without them.
    """
    wrong = [each for each in listed_slices() if not _is_there(folder / each.file, each.sha256)]
    if wrong:
        raise MissingSlicesError(
            f"{folder}: {', '.join(each.file for each in wrong)} missing or not as {LIST.name} says; they come from "
            f"{'; '.join(SOURCES[name] for name in sorted({each.source for each in wrong}))}. Put them there, name "
            "another folder, or leave dense_lung.real out: a finder that has learnt phantoms alone takes much for lung"
        )
    for each in listed_slices():
        volume, pixel_mm = read_volume(folder / each.file)
        for hounsfield in volume[each.first :: each.step]:
            yield RealSlice(
                hounsfield=hounsfield,
                lungs=_LUNGS[each.part](hounsfield, pixel_mm),
                pixel_mm=pixel_mm,
                repeats=each.repeats,
            )


def _is_there(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def read_volume(path: Path) -> tuple[NDArray[np.float32], float]:
    """Return Hounsfield units (slices, rows, columns) of an axial file, from the feet up, and its pixel size in mm."""
    image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), "LPS")  # type: ignore[no-untyped-call]
    hounsfield = np.maximum(SimpleITK.GetArrayFromImage(image).astype(np.float32), -1024)
    return hounsfield, float(image.GetSpacing()[0])


def _whole(hounsfield: NDArray[np.float32], pixel_mm: float) -> NDArray[np.bool_]:
    """Return the lungs that thresholds find."""
    fine, back = resample_mm(hounsfield, (pixel_mm, pixel_mm), target_mm=_SURVEY_MM)
    found = (find_lungs(fine, pixel_mm=_SURVEY_MM) > 0).astype(np.float32)
    return _back(found, back.a, hounsfield.shape)


def _back(found: NDArray[np.float32], scale: float, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rows = np.minimum((np.arange(shape[0]) + 0.5) / scale, found.shape[0] - 1).astype(np.intp)
    columns = np.minimum((np.arange(shape[1]) + 0.5) / scale, found.shape[1] - 1).astype(np.intp)
    return np.asarray(found[np.ix_(rows, columns)] > 0.5)


def _behind(hounsfield: NDArray[np.float32], pixel_mm: float) -> NDArray[np.bool_]:
    """Return of the lungs that thresholds find what reaches behind the middle of the body: other pieces are bowel."""
    lungs = _whole(hounsfield, pixel_mm)
    rows = np.flatnonzero((hounsfield > _AIR_HU).any(axis=1))
    middle = int(rows.mean())
    labels, _ = ndimage.label(lungs)
    reaching = np.unique(labels[middle + round(30 / pixel_mm) :])
    return np.asarray(np.isin(labels, reaching[reaching > 0]))


def _open(hounsfield: NDArray[np.float32], pixel_mm: float) -> NDArray[np.bool_]:
    """Return the lungs of a picture that lies inside the chest: no pure gas, and no large airway."""
    labels, count = ndimage.label(hounsfield < _AIR_HU)
    areas = np.bincount(labels.ravel(), minlength=count + 1) * pixel_mm**2 / 100
    medians = np.array([0.0, *ndimage.median(hounsfield, labels, range(1, count + 1))])
    keep = (areas >= _SMALLEST_CM2) & (medians > np.where(areas < _LUMEN_CM2, _LUMEN_HU, _GAS_HU))
    keep[0] = False
    return fill_holes(close_gaps(keep[labels], round(_CLOSING_MM / pixel_mm)))


_LUNGS = {"chest": _whole, "cropped": _open, "trunk": _behind}
