# SPDX-License-Identifier: Apache-2.0
"""The films of the experiment as arrays: whole films with their lungs, and patches of each zone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from service.domain.image import IDENTITY
from service.imaging.masks import bounding_box
from service.imaging.normalise import normalise_in_mask
from service.imaging.resample import letter_box, resample_box
from service.inference.package import LoadedPackage
from service.pipelines.pneumoconiosis.lungs import Film, FloatImage, lungs_from, segmentation_input, zone_masks

FILM_PIXELS = 224
"""Rows and columns of a whole film, as the report's networks took it."""
PATCH_PIXELS, PATCH_MM = 64, 1.0
"""A patch is 64 mm wide."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class OneFilm:
    """A film (224, 224) in [0, 1], its lungs (224, 224), and patches (n, 64, 64) of the zones that were found."""

    film: FloatImage
    lungs: NDArray[np.bool_]
    patches: FloatImage


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class FilmSet:
    """N films.

    `films` (N, 224, 224) float32 in [0, 1], `lungs` (N, 224, 224), `labels`, `patients`, `sites` and `kinds` (what the
    disease looks like, "" where it is not known) (N,), `patches` (M, 64, 64) and `patch_film` (M,), the film of each.
    """

    films: FloatImage
    lungs: NDArray[np.bool_]
    labels: NDArray[np.bool_]
    patients: NDArray[np.str_]
    sites: NDArray[np.str_]
    kinds: NDArray[np.str_]
    patches: FloatImage
    patch_film: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


def prepare_film(pixels: FloatImage, pixel_mm: float | None, *, package: LoadedPackage) -> OneFilm:
    """Bring an upright film to the experiment's form: the lungs are found by the package's network, as the node does.

    Patches need a pixel size; without one there are none.
    """
    tensor, to_film = segmentation_input(pixels)
    lungs = lungs_from(package.run("lungseg", {"film": tensor})["masks"][0], to_film, shape=pixels.shape)
    everywhere = np.ones(pixels.shape, dtype=np.bool_)
    shown, _ = letter_box(normalise_in_mask(pixels, everywhere, percentiles=(0.5, 99.5)), (FILM_PIXELS, FILM_PIXELS))
    mask, _ = letter_box(lungs.both, (FILM_PIXELS, FILM_PIXELS))
    film = Film(pixels=pixels, pixel_mm=pixel_mm or 1.0, to_source=IDENTITY)
    patches = list(_patches(film, zone_masks(lungs))) if pixel_mm and lungs.both.any() else []
    stacked = np.stack(patches) if patches else np.zeros((0, PATCH_PIXELS, PATCH_PIXELS), dtype=np.float32)
    return OneFilm(film=shown, lungs=mask > 0.5, patches=stacked)


def _patches(film: Film, zones: Mapping[str, NDArray[np.bool_]]) -> Iterator[FloatImage]:
    """Yield the middle of each zone, grey values by the percentiles of both lungs."""
    shown = normalise_in_mask(film.pixels, np.logical_or.reduce(list(zones.values())))
    half = PATCH_PIXELS * PATCH_MM / film.pixel_mm / 2
    for mask in zones.values():
        box = bounding_box(mask)
        if box is not None:
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            window = (x - half, y - half, x + half, y + half)
            yield resample_box(shown, window, shape=(PATCH_PIXELS, PATCH_PIXELS))[0]


def stack(
    films: list[OneFilm], *, labels: list[bool], patients: list[str], sites: list[str], kinds: list[str]
) -> FilmSet:
    """Put single films together."""
    return FilmSet(
        films=np.stack([film.film for film in films]),
        lungs=np.stack([film.lungs for film in films]),
        labels=np.array(labels, dtype=np.bool_),
        patients=np.array(patients, dtype=np.str_),
        sites=np.array(sites, dtype=np.str_),
        kinds=np.array(kinds, dtype=np.str_),
        patches=np.concatenate([film.patches for film in films]),
        patch_film=np.repeat(np.arange(len(films)), [len(film.patches) for film in films]),
    )


_FIELDS = ("films", "lungs", "labels", "patients", "sites", "kinds", "patches", "patch_film")
_HALVED = ("films", "patches")


def save_films(path: Path, films: FilmSet) -> None:
    """Write the set beside its place and put it there at once, grey values in half precision."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: getattr(films, name) for name in _FIELDS}
    partial = path.with_suffix(".partial.npz")
    np.savez(
        partial, **{name: array.astype(np.float16) if name in _HALVED else array for name, array in arrays.items()}
    )
    partial.rename(path)


def load_films(path: Path) -> FilmSet:
    """Read what `save_films` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return FilmSet(**{name: file[name].astype(np.float32) if name in _HALVED else file[name] for name in _FIELDS})
