# SPDX-License-Identifier: Apache-2.0
"""Zones of real films as tensors: each film without opacities and with them, so that a background tells nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.phantoms.chest_radiograph.opacities import NORMAL, Disease, random_disease
from models.recipes.film_overlays import logit_per_mm, overlay
from models.recipes.pneumoconiosis_data import Example, ZoneSet, as_zone_set
from service.pipelines.pneumoconiosis.lungs import Film, Lungs

_STRENGTH_SPREAD = 0.25
"""Standard deviation of the logarithm: the contrast of an overlay is known to about that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """How often each film is used: as it is, and with a disease drawn into it."""

    clean: int = 2
    overlaid: int = 3


def film_zone_set(
    films: Sequence[tuple[Film, Lungs]],
    patients: Sequence[int],
    *,
    seed: int,
    versions: Versions,
    border_mm: float = 3.0,
) -> ZoneSet:
    """Return all zones of real normal films, each film as often as `versions` says; each version has its number.

    Parameters
    ----------
    patients
        Number of each film's patient, the body of all of its versions.

    Raises
    ------
    ValueError
        A film's contrast cannot be read (`film_overlays.logit_per_mm`).
    """
    rng = np.random.default_rng([seed, 6])
    return as_zone_set(_examples(films, patients, seed=seed, versions=versions), rng=rng, border_mm=border_mm)


def _examples(
    films: Sequence[tuple[Film, Lungs]], patients: Sequence[int], *, seed: int, versions: Versions
) -> Iterator[Example]:
    """Yield version after version of each film, in the order of the films."""
    for number, ((film, lungs), patient) in enumerate(zip(films, patients, strict=True)):
        for _ in range(versions.clean):
            yield _example(film, lungs, NORMAL, np.random.default_rng(0), body=patient)
        for version in range(versions.overlaid):
            rng = np.random.default_rng([seed, number, version, 7])
            yield _example(film, lungs, random_disease(rng), rng, body=patient)


def _example(film: Film, lungs: Lungs, disease: Disease, rng: np.random.Generator, *, body: int) -> Example:
    if not disease.levels:
        return Example(film=film, lungs=lungs, disease=disease, opacity_mm=np.zeros_like(film.pixels), body=body)
    strength = float(np.exp(rng.normal(0, _STRENGTH_SPREAD)))
    drawn = overlay(film, lungs, disease, rng=rng, strength=strength)
    shown = Film(pixels=drawn.pixels, pixel_mm=film.pixel_mm, to_source=film.to_source)
    return Example(film=shown, lungs=lungs, disease=disease, opacity_mm=drawn.opacity_mm, body=body)


def readable(films: Sequence[tuple[Film, Lungs]]) -> list[tuple[Film, Lungs]]:
    """Return the films whose contrast between lungs and heart can be read."""
    return [pair for pair in films if is_readable(*pair)]


def is_readable(film: Film, lungs: Lungs) -> bool:
    """Whether the contrast between lungs and heart can be read."""
    try:
        logit_per_mm(film, lungs)
    except ValueError:
        return False
    return True
