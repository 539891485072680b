# SPDX-License-Identifier: Apache-2.0
"""The data of a pneumoconiosis recipe: phantoms, and real films where the recipe names them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.recipes.pneumoconiosis_data import ZoneSet, joined, segmentation_set, zone_set
from models.recipes.pneumoconiosis_film_zones import Versions, film_zone_set, is_readable
from models.recipes.pneumoconiosis_films import (
    LIST,
    ListedFilm,
    MissingFilmsError,
    find_films,
    list_digest,
    listed_films,
    read_film,
)
from models.recipes.pneumoconiosis_lungs import plausible, read_masks
from models.recipes.pneumoconiosis_recipe import Films, PneumoconiosisRecipe
from service.imaging.resample import back_to
from service.pipelines.pneumoconiosis.lungs import Film, Lungs, lungs_from, segmentation_input

TUNING, IN_DOMAIN, SHIFTED, HELD_OUT_LUNGS = 2, 3, 4, 5
"""Seeds of the phantoms that are never trained on."""
FILMS_TRAINING, FILMS_TUNING, FILMS_HELD_BACK = 11, 12, 13
"""Seeds of what is drawn into real films."""
TUNING_VERSIONS = Versions(clean=1, overlaid=2)
Pair = tuple[Film, Lungs]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Drawn:
    """What a run fits, and what its thresholds are chosen on."""

    lung_films: Tensor
    lung_masks: Tensor
    zones: ZoneSet
    tuning: tuple[ZoneSet, ...]
    """Phantoms, then real films where there are any."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class HeldOutSets:
    """What the card reports on; `films` is None for a package that has seen no real film."""

    shifted: ZoneSet
    in_domain: ZoneSet
    films: ZoneSet | None


def draw(recipe: PneumoconiosisRecipe) -> Drawn:
    """Draw phantoms and read real films.

    Raises
    ------
    MissingFilmsError
        The recipe names real films and they are not there, or its list is another one.
    """
    zones, tuning = draw_zones(recipe)
    films, masks = segmentation_set(recipe.seed, count=recipe.data.films)
    if recipe.films:
        taught_films, taught_masks = _taught(film_paths(recipe.films), recipe.films)
        films, masks = torch.cat([films, taught_films]), torch.cat([masks, taught_masks])
    return Drawn(lung_films=films, lung_masks=masks, zones=zones, tuning=tuning)


def draw_zones(recipe: PneumoconiosisRecipe) -> tuple[ZoneSet, tuple[ZoneSet, ...]]:
    """Return what the zone reader is fitted to, and what its thresholds are chosen on, as `draw` does.

    Raises
    ------
    MissingFilmsError
        See `draw`.
    """
    paths = film_paths(recipe.films) if recipe.films else {}
    zones = [zone_set(recipe.seed, bodies=recipe.data.bodies, exposures=recipe.data.exposures, shifted=None)]
    held_out = recipe.held_out
    tuning = [zone_set(TUNING, bodies=held_out.bodies, exposures=held_out.exposures, shifted=None)]
    if recipe.films:
        versions = Versions(clean=recipe.films.clean, overlaid=recipe.films.overlaid)
        zones.append(film_zone_set(*_normals(paths, "training"), seed=FILMS_TRAINING, versions=versions))
        tuning.append(film_zone_set(*_normals(paths, "tuning"), seed=FILMS_TUNING, versions=TUNING_VERSIONS))
    return joined(zones), tuple(tuning)


def film_paths(films: Films) -> dict[str, Path]:
    """Return the path of every listed film by its image name.

    Raises
    ------
    MissingFilmsError
        Films are not there, or the list is another one than the recipe's.
    """
    if list_digest() != films.list_sha256:
        raise MissingFilmsError(
            f"{LIST.name} has SHA-256 {list_digest()}, the recipe's films.list_sha256 is {films.list_sha256}: the list "
            "was changed; give its new sum in the recipe"
        )
    return find_films(Path(films.folder), listed_films())


def _taught(paths: Mapping[str, Path], films: Films) -> tuple[Tensor, Tensor]:
    """Return the letter-boxed training films with taught masks, `repeats` times over."""
    masks = read_masks()
    taught = [film for film in listed_films() if film.split == "training" and film.image in masks]
    boxed = np.stack([segmentation_input(read_film(paths[film.image], film).pixels)[0][0] for film in taught])
    truth = np.stack([masks[film.image] for film in taught])
    return torch.from_numpy(boxed).repeat(films.repeats, 1, 1, 1), torch.from_numpy(truth).repeat(
        films.repeats, 1, 1, 1
    )


def taught_normals(paths: Mapping[str, Path], split: str) -> list[Pair]:
    """Return the normal films of a split with their taught masks."""
    return _normals(paths, split)[0]


def _normals(paths: Mapping[str, Path], split: str) -> tuple[list[Pair], list[int]]:
    """Return the normal films of a split with their taught masks, and their patients."""
    masks = read_masks()
    films = [film for film in listed_films() if film.normal and film.split == split and film.image in masks]
    read = ((film, read_film(paths[film.image], film)) for film in films)
    return _readable([(film.patient, (picture, _on_film(picture, masks[film.image]))) for film, picture in read])


def _readable(films: Iterable[tuple[int, Pair]]) -> tuple[list[Pair], list[int]]:
    """Return the films whose contrast can be read, and their patients."""
    kept = [(patient, pair) for patient, pair in films if is_readable(*pair)]
    return [pair for _, pair in kept], [patient for patient, _ in kept]


def _on_film(film: Film, masks: NDArray[np.bool_]) -> Lungs:
    """Bring letter-boxed masks (3, 256, 256) onto the film."""
    _, to_film = segmentation_input(film.pixels)
    shape = (film.pixels.shape[0], film.pixels.shape[1])
    right, left, heart = (back_to(mask, to_film, shape=shape) > 0.5 for mask in masks)
    return Lungs(right=right, left=left & ~right, heart=heart)


def held_back_films(recipe: PneumoconiosisRecipe, network: nn.Module) -> ZoneSet | None:
    """Return normal PA films of patients that were held back, plain and with diseases, cut by the network's own masks.

    None without real films.
    """
    if recipe.films is None:
        return None
    paths = film_paths(recipe.films)
    films = [film for film in listed_films() if is_held_back(film)]
    pictures = ((film.patient, read_film(paths[film.image], film)) for film in films)
    pairs = [
        (patient, (picture, found)) for patient, picture in pictures if plausible(found := find_lungs(picture, network))
    ]
    return film_zone_set(*_readable(pairs), seed=FILMS_HELD_BACK, versions=TUNING_VERSIONS, border_mm=0.0)


def is_held_back(film: ListedFilm) -> bool:
    """Whether the film counts for the false alarms of the card: PA, "No Finding", adult, never trained or tuned on."""
    return film.split == "held-back" and film.normal and film.view == "PA" and film.age_years >= 16


@torch.no_grad()
def find_lungs(film: Film, network: nn.Module) -> Lungs:
    """Return the lungs as the pipeline finds them."""
    boxed, to_film = segmentation_input(film.pixels)
    found = network(torch.from_numpy(boxed))[0].numpy()
    return lungs_from(found, to_film, shape=(film.pixels.shape[0], film.pixels.shape[1]))


def held_out(recipe: PneumoconiosisRecipe, lungs: nn.Module) -> HeldOutSets:
    """Draw the phantoms and read the films that nothing was trained or chosen on."""
    bodies, exposures = recipe.held_out.bodies, recipe.held_out.exposures
    return HeldOutSets(
        shifted=zone_set(SHIFTED, bodies=bodies, exposures=exposures, shifted=True),
        in_domain=zone_set(IN_DOMAIN, bodies=bodies, exposures=exposures, shifted=False),
        films=held_back_films(recipe, lungs),
    )
