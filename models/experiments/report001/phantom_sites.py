# SPDX-License-Identifier: Apache-2.0
"""Phantom films of three simulated sites, mixed as in report 001, and the same bodies with the scanners shuffled.

The report's positives come from one site and its normals from another (91 and 4, 28 and 23, 0 and 90): a network may
learn the site. Phantoms can be exposed twice, so that the same patients tell what is left when the site says nothing.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from models.experiments.report001.films import FilmSet, OneFilm, load_films, prepare_film, save_films, stack
from models.phantoms.chest_radiograph.film import Scanner, anatomy, radiograph
from models.phantoms.chest_radiograph.opacities import NORMAL, Disease, random_disease
from models.phantoms.chest_radiograph.texture import FloatImage
from service.inference.package import LoadedPackage

PITCH_MM = 1.0
SHAPE = (420, 380)
ABNORMAL = 3
"""The level 1/0: a positive film has at least one zone there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A hospital: how many films with and without disease it gave, its scanner, and the black frame round its films."""

    name: str
    positives: int
    normals: int
    scanner: Scanner
    frame_mm: float


SITES = (
    Site(
        name="A",
        positives=91,
        normals=4,
        frame_mm=14,
        scanner=Scanner(photons_per_mm2=0.6e5, blur_mm=0.45, scatter=0.45, detail=1.1, contrast=1.15, brightness=0.1),
    ),
    Site(
        name="B",
        positives=28,
        normals=23,
        frame_mm=6,
        scanner=Scanner(photons_per_mm2=1.2e5, blur_mm=0.3, scatter=0.35, detail=1.4, contrast=1.0),
    ),
    Site(
        name="C",
        positives=0,
        normals=90,
        frame_mm=0,
        scanner=Scanner(photons_per_mm2=2e5, blur_mm=0.2, scatter=0.28, detail=1.7, contrast=0.9, brightness=-0.1),
    ),
)
"""The numbers of films are the report's (Kochi, NIOSH, NIH); the scanners are invented."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which phantoms to draw; `share` of the report's numbers, at least one film of each kind that is not zero."""

    seed: int = 1
    share: float = 1.0
    films_per_patient: int = 6
    """Every so many films, a patient comes a second time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One film to draw: which body, which disease and at which site."""

    number: int
    body: int
    site: Site
    disease: Disease


def planned(plan: Plan) -> tuple[Drawn, ...]:
    """Return the films in the report's mixture."""
    films: list[Drawn] = []
    for site in SITES:
        for count, positive in ((site.positives, True), (site.normals, False)):
            first = len(films)
            for index in range(max(1, round(count * plan.share)) if count else 0):
                number = len(films)
                again = index > 0 and index % plan.films_per_patient == 0
                body = films[number - 1].body if again else number
                films.append(
                    Drawn(number=number, body=body, site=site, disease=_disease(plan, first, number, positive))
                )
    return tuple(films)


def _disease(plan: Plan, first: int, number: int, positive: bool) -> Disease:
    if not positive:
        return NORMAL
    rng = np.random.default_rng([plan.seed, first, number, 6])
    while True:
        disease = random_disease(rng)
        if max(disease.levels.values()) >= ABNORMAL:
            return disease


def shuffled(films: tuple[Drawn, ...], *, seed: int) -> tuple[Drawn, ...]:
    """Return the same bodies and diseases, each at a site drawn without a look at its label."""
    rng = np.random.default_rng([seed, 7])
    return tuple(
        Drawn(number=film.number, body=film.body, site=SITES[int(rng.integers(len(SITES)))], disease=film.disease)
        for film in films
    )


def draw(film: Drawn, *, seed: int) -> FloatImage:
    """Expose one film at its site: float32 (420, 380) in [0, 1] at 1 mm."""
    body = anatomy(seed * 100_000 + film.body, shape=SHAPE, pitch_mm=PITCH_MM)
    exposed = radiograph(body, disease=film.disease, scanner=film.site.scanner, seed=seed * 100_000 + film.number)
    framed = exposed.pixels.copy()
    frame = round(film.site.frame_mm / PITCH_MM)
    if frame:
        framed[:, :frame] = framed[:, -frame:] = framed[:frame] = framed[-frame:] = 0.0
    return framed


def phantom_sets(
    folder: Path, plan: Plan, *, package: LoadedPackage, step: Callable[[], object]
) -> tuple[FilmSet, FilmSet]:
    """Return (as collected, scanners shuffled), drawn once and then read from `folder`.

    `step` is called after each film of 2 N.
    """
    films = planned(plan)
    both = {"collected": films, "shuffled": shuffled(films, seed=plan.seed)}
    return (
        _cached(folder, "collected", both["collected"], plan=plan, package=package, step=step),
        _cached(folder, "shuffled", both["shuffled"], plan=plan, package=package, step=step),
    )


def _cached(
    folder: Path, name: str, films: tuple[Drawn, ...], *, plan: Plan, package: LoadedPackage, step: Callable[[], object]
) -> FilmSet:
    described = json.dumps(
        [asdict(plan), [asdict(film) for film in films], package.identity.sha256], sort_keys=True
    ).encode()
    path = folder / f"{name}-{hashlib.sha256(described).hexdigest()[:16]}.npz"
    if path.exists():
        return load_films(path)
    finished = [_prepared(film, plan=plan, package=package, step=step) for film in films]
    drawn = stack(
        finished,
        labels=[film.disease is not NORMAL for film in films],
        patients=[f"phantom-{film.body:04d}" for film in films],
        sites=[film.site.name for film in films],
        kinds=[film.disease.primary if film.disease is not NORMAL else "" for film in films],
    )
    save_films(path, drawn)
    return load_films(path)


def _prepared(film: Drawn, *, plan: Plan, package: LoadedPackage, step: Callable[[], object]) -> OneFilm:
    prepared = prepare_film(draw(film, seed=plan.seed), PITCH_MM, package=package)
    step()
    return prepared
