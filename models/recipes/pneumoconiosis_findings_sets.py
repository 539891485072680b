# SPDX-License-Identifier: Apache-2.0
"""The films of a recipe's section `findings`: those that are fitted, those for tuning, those that are held back."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

from models.recipes.pneumoconiosis_film_zones import readable
from models.recipes.pneumoconiosis_films import listed_films, read_film
from models.recipes.pneumoconiosis_findings_data import (
    FindingSet,
    FoundExample,
    as_finding_set,
    film_examples,
    joined_findings,
    phantom_examples,
)
from models.recipes.pneumoconiosis_findings_evaluation import FindLungs
from models.recipes.pneumoconiosis_lungs import plausible
from models.recipes.pneumoconiosis_recipe import Findings, PneumoconiosisRecipe
from models.recipes.pneumoconiosis_sets import Pair, film_paths, is_held_back, taught_normals

TRAINING, FILMS_TRAINING, TUNING, FILMS_TUNING, SHIFTED, IN_DOMAIN, FILMS_HELD_BACK = 31, 32, 33, 34, 35, 36, 37
"""Seeds: no body and no drawing is in two of the sets."""


def training_set(recipe: PneumoconiosisRecipe) -> FindingSet:
    """Draw phantoms, and draw into real films, what both networks are fitted to."""
    wanted = _wanted(recipe)
    phantoms = phantom_examples(TRAINING, bodies=wanted.bodies, exposures=wanted.exposures, shifted=None)
    sets = [as_finding_set(phantoms, rng=np.random.default_rng([TRAINING, 5]))]
    if recipe.films:
        normals = taught_normals(film_paths(recipe.films), "training")
        films = film_examples(normals, seed=FILMS_TRAINING, clean=wanted.clean, drawn=wanted.drawn)
        sets.append(as_finding_set(films, rng=np.random.default_rng([FILMS_TRAINING, 5])))
    return joined_findings(sets)


def tuning_examples(recipe: PneumoconiosisRecipe) -> Iterator[Iterable[FoundExample]]:
    """Yield the kinds of films that thresholds are chosen on: phantoms, then real normals as they are."""
    wanted = _wanted(recipe).held_out
    yield phantom_examples(TUNING, bodies=wanted.bodies, exposures=wanted.exposures, shifted=None)
    if recipe.films:
        normals = taught_normals(film_paths(recipe.films), "tuning")
        yield film_examples(normals, seed=FILMS_TUNING, clean=1, drawn=0)


def held_out_examples(recipe: PneumoconiosisRecipe, find_lungs: FindLungs) -> dict[str, Iterable[FoundExample]]:
    """Return by condition what the card reports on, unseen scanners first; real films plain and drawn into."""
    wanted = _wanted(recipe).held_out
    sets: dict[str, Iterable[FoundExample]] = {
        "scanner-shift": phantom_examples(SHIFTED, bodies=wanted.bodies, exposures=wanted.exposures, shifted=True),
        "in-domain": phantom_examples(IN_DOMAIN, bodies=wanted.bodies, exposures=wanted.exposures, shifted=False),
    }
    if recipe.films:
        pairs = readable(list(_held_back(film_paths(recipe.films), find_lungs)))
        sets["real-films"] = film_examples(pairs, seed=FILMS_HELD_BACK, clean=1, drawn=0)
        sets["real-films-drawn"] = film_examples(pairs, seed=FILMS_HELD_BACK, clean=0, drawn=2)
    return sets


def _held_back(paths: dict[str, Path], find_lungs: FindLungs) -> Iterator[Pair]:
    for listed in filter(is_held_back, listed_films()):
        film = read_film(paths[listed.image], listed)
        lungs = find_lungs(film)
        if plausible(lungs):
            yield film, lungs


def finding_examples(*, seed: int, bodies: int) -> Tensor:
    """Return films (N, 1, 256, 256) as the graphs see them, for golden tensors."""
    examples = phantom_examples(seed, bodies=bodies, exposures=1, shifted=None)
    return as_finding_set(examples, rng=np.random.default_rng([seed, 5])).films.float()


def _wanted(recipe: PneumoconiosisRecipe) -> Findings:
    if recipe.findings is None:
        raise ValueError("the recipe has no section findings; add one")
    return recipe.findings
