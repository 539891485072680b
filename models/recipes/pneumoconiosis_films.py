# SPDX-License-Identifier: Apache-2.0
"""The real radiographs of the pneumoconiosis recipe: which files they are, their split, and how they are read.

The list beside this module names each file with its SHA-256; the images themselves (NIH ChestX-ray14, NIH Clinical
Center) are no part of the repository. A patient is in one split alone.
"""

import csv
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from models.training.recipe_file import RecipeError
from service.imaging.resample import resample_mm
from service.pipelines.pneumoconiosis.lungs import Film

LIST = Path(__file__).with_suffix(".csv")
SPLITS = ("training", "tuning", "held-back")
NO_FINDING = "No Finding"
ATTRIBUTION = (
    "NIH ChestX-ray14, provided by the NIH Clinical Center (https://nihcc.app.box.com/v/ChestXray-NIHCC; "
    "Wang X et al., ChestX-ray8, IEEE CVPR 2017)"
)
_PIXEL_MM = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedFilm:
    """One row of the list.

    `row_mm` and `column_mm` are the spacing of the PNG's pixels, from the size and pixel spacing of the original that
    the data set states: the PNGs are squeezed into squares.
    """

    folder: str
    image: str
    sha256: str
    patient: int
    view: str
    age_years: int
    labels: str
    row_mm: float
    column_mm: float
    split: str

    @property
    def normal(self) -> bool:
        """Whether the data set's text-mined label is "No Finding"."""
        return self.labels == NO_FINDING


class MissingFilmsError(RecipeError):
    """The folder of real radiographs lacks files of the list, or has others under their names."""


@cache
def listed_films() -> tuple[ListedFilm, ...]:
    """Return the whole list, in the order of its file."""
    with LIST.open(encoding="utf-8", newline="") as file:
        return tuple(_listed(row) for row in csv.DictReader(file))


def _listed(row: Mapping[str, str]) -> ListedFilm:
    return ListedFilm(
        folder=row["folder"],
        image=row["image"],
        sha256=row["sha256"],
        patient=int(row["patient"]),
        view=row["view"],
        age_years=int(row["age_years"]),
        labels=row["labels"],
        row_mm=float(row["row_mm"]),
        column_mm=float(row["column_mm"]),
        split=row["split"],
    )


def list_digest() -> str:
    """Return the SHA-256 of the list itself, which the package's manifest records."""
    return hashlib.sha256(LIST.read_bytes()).hexdigest()


def find_films(root: Path, films: Iterable[ListedFilm]) -> dict[str, Path]:
    """Return the path of every film by its image name, each file checked against its SHA-256.

    Raises
    ------
    MissingFilmsError
        Files are missing or differ; says which, where they come from, and what to do without them.
    """
    found: dict[str, Path] = {}
    missing, other = [], []
    for film in films:
        path = next(iter(sorted((root / film.folder).rglob(film.image))), None)
        if path is None:
            missing.append(f"{film.folder}/{film.image}")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != film.sha256:
            other.append(f"{film.folder}/{film.image}")
        else:
            found[film.image] = path
    if missing or other:
        raise MissingFilmsError(_complaint(root, missing=missing, other=other))
    return found


def _complaint(root: Path, *, missing: list[str], other: list[str]) -> str:
    parts = [
        f"{len(names)} radiographs {text} (first: {names[0]})"
        for names, text in ((missing, "are missing"), (other, "differ from their SHA-256 in the list"))
        if names
    ]
    return (
        f"{root}: {'; '.join(parts)}. {LIST.name} lists them all; they are PNGs of {ATTRIBUTION}. Put them there, "
        "name another folder as the recipe's films.folder, or train on phantoms alone with "
        "models/recipes/pneumoconiosis_phantom.yaml, which makes a package of another name"
    )


def read_film(path: Path, listed: ListedFilm) -> Film:
    """Return the film in its true proportions at 0.5 mm per pixel, grey in [0, 1]."""
    with Image.open(path) as picture:
        grey = np.asarray(picture.convert("L"), dtype=np.float32) / 255
    pixels, back = resample_mm(grey, (listed.row_mm, listed.column_mm), target_mm=_PIXEL_MM)
    return Film(pixels=pixels, pixel_mm=_PIXEL_MM, to_source=back)
