# SPDX-License-Identifier: Apache-2.0
"""Films with drawn large opacities and drawn pleural disease, on phantoms and on real normals, as training tensors."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.phantoms.chest_radiograph.film import Scanner, anatomy, radiograph, random_scanner, shifted_scanner
from models.phantoms.chest_radiograph.opacities import NORMAL, ZONES, Disease, opacity_path, random_disease
from models.phantoms.chest_radiograph.pleura import CLEAR_PLEURA, FINDINGS, Pleura, pleural_path, random_pleura
from models.recipes.film_overlays import aerated_share, lay_over, zone_numbers
from models.recipes.pneumoconiosis_data import any_scanner, uncertain
from service.domain.image import IDENTITY
from service.imaging.normalise import normalise_in_mask
from service.imaging.resample import letter_box, resample_mm
from service.pipelines.pneumoconiosis.lungs import Film, FloatImage, Lungs

PIXEL_MM = 1.0
"""Pitch of what is drawn: the graphs see films of 256 pixels, 1.6 mm each."""
SIZE = 256
CHANNELS = ("large", *FINDINGS)
_SHAPE = (420, 380)
_BORDER_MM = 3.0
Places = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is drawn into one film: small opacities, masses as (zone, mm across), the pleura."""

    small: Disease = NORMAL
    masses: tuple[tuple[str, float], ...] = ()
    pleura: Pleura = CLEAR_PLEURA

    @property
    def is_clear(self) -> bool:
        """Whether neither a large opacity nor pleural disease is drawn."""
        return not self.masses and not self.pleura.sides


CLEAR = Plan()


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class FoundExample:
    """A film with what lies where: `places` (5, rows, columns) on its grid, in the order of CHANNELS."""

    film: Film
    lungs: Lungs
    plan: Plan
    places: Places


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class FindingSet:
    """Films (N, 1, 256, 256) float16 as the graphs see them, and places (N, 5, 256, 256)."""

    films: Tensor
    places: Tensor


def random_plan(rng: np.random.Generator) -> Plan:
    """Draw a plan: each of small opacities, masses and pleural disease is there on about half of the films."""
    small = random_disease(rng) if rng.random() < 0.5 else NORMAL
    masses = tuple(_random_mass(rng) for _ in range(int(rng.integers(1, 4)))) if rng.random() < 0.5 else ()
    return Plan(small=small, masses=masses, pleura=random_pleura(rng) if rng.random() < 0.5 else CLEAR_PLEURA)


def _random_mass(rng: np.random.Generator) -> tuple[str, float]:
    """Return a mass, in the upper zones more often than not, from 11 to 110 mm, small ones more often."""
    weights = np.array([0.28, 0.14, 0.08, 0.28, 0.14, 0.08])
    return str(rng.choice(ZONES, p=weights)), float(11 * np.exp(rng.uniform(0, 2.3)))


def phantom_examples(
    seed: int, *, bodies: int, exposures: int, shifted: bool | None, plans: str = "mixed"
) -> Iterator[FoundExample]:
    """Yield `exposures` films of each body.

    `shifted` None mixes the scanners; `plans` "clear" draws small opacities alone.
    """
    for number in range(bodies):
        body = anatomy(seed * 100_000 + number, shape=_SHAPE, pitch_mm=PIXEL_MM)
        right, left, heart = body.masks
        lungs = Lungs(right=right, left=left, heart=heart)
        for exposure in range(exposures):
            rng = np.random.default_rng([seed, number, exposure, 8])
            plan = random_plan(rng) if plans == "mixed" else Plan(small=_sometimes_small(rng))
            path, places = _drawn(plan, lungs, share=np.sqrt(body.lung), rng=rng)
            scanner = _scanner(shifted, rng)
            picture = radiograph(
                body, disease=plan.small, scanner=scanner, seed=int(rng.integers(2**31)), added_mm=path
            )
            film = Film(pixels=picture.pixels, pixel_mm=PIXEL_MM, to_source=IDENTITY)
            yield FoundExample(film=film, lungs=lungs, plan=plan, places=places)


def _sometimes_small(rng: np.random.Generator) -> Disease:
    return random_disease(rng) if rng.random() < 0.5 else NORMAL


def _scanner(shifted: bool | None, rng: np.random.Generator) -> Scanner:
    if shifted is None:
        return any_scanner(rng)
    return shifted_scanner(rng) if shifted else random_scanner(rng)


def film_examples(films: Sequence[tuple[Film, Lungs]], *, seed: int, clean: int, drawn: int) -> Iterator[FoundExample]:
    """Yield real normal films at 1 mm, `clean` times as they are and `drawn` times with a plan drawn into them."""
    for number, pair in enumerate(films):
        film, lungs = coarser(*pair)
        for _ in range(clean):
            yield FoundExample(film=film, lungs=lungs, plan=CLEAR, places=_nowhere(film.pixels.shape))
        for version in range(drawn):
            rng = np.random.default_rng([seed, number, version, 9])
            plan = random_plan(rng)
            path, places = _drawn(plan, lungs, share=np.sqrt(aerated_share(lungs.both, pixel_mm=PIXEL_MM)), rng=rng)
            small = opacity_path(plan.small, zone_numbers(lungs), pitch_mm=PIXEL_MM, rng=rng)
            path += small * np.sqrt(aerated_share(lungs.both, pixel_mm=PIXEL_MM))
            strength = float(np.exp(rng.normal(0, 0.25)))
            shown = lay_over(film, lungs, path, strength=strength)
            yield FoundExample(film=shown, lungs=lungs, plan=plan, places=places)


def coarser(film: Film, lungs: Lungs) -> tuple[Film, Lungs]:
    """Return a film of 0.5 mm, and its lungs, at 1 mm."""
    ratio = (film.pixel_mm, film.pixel_mm)
    pixels, back = resample_mm(film.pixels, ratio, target_mm=PIXEL_MM)
    masks = (resample_mm(mask, ratio, target_mm=PIXEL_MM)[0] > 0.5 for mask in (lungs.right, lungs.left, lungs.heart))
    right, left, heart = masks
    shown = Film(pixels=pixels, pixel_mm=PIXEL_MM, to_source=back.then(film.to_source))
    return shown, Lungs(right=right, left=left, heart=heart)


def _nowhere(shape: tuple[int, ...]) -> Places:
    return np.zeros((len(CHANNELS), *shape), dtype=np.bool_)


def _drawn(plan: Plan, lungs: Lungs, *, share: FloatImage, rng: np.random.Generator) -> tuple[FloatImage, Places]:
    """Return mm of soft tissue that masses and pleura add, and where each lies."""
    places = _nowhere(lungs.right.shape)
    path = np.zeros(lungs.right.shape, dtype=np.float32)
    zones = zone_numbers(lungs)
    for zone, across_mm in plan.masses:
        mass = opacity_path(Disease(large_zone=zone, large_mm=across_mm), zones, pitch_mm=PIXEL_MM, rng=rng)
        path = np.maximum(path, mass)
    places[0] = path > 0
    pleura = pleural_path(plan.pleura, lungs.right, lungs.left, pitch_mm=PIXEL_MM, rng=rng)
    places[1:] = pleura.places
    return (path * share + pleura.path_mm).astype(np.float32), places


def as_finding_set(examples: Iterable[FoundExample], *, rng: np.random.Generator) -> FindingSet:
    """Return the examples as the pipeline shows them to the graphs, lung borders as uncertain as a network's."""
    films, places = [], []
    for example in examples:
        lungs = uncertain(example.lungs, rng, pixels=_BORDER_MM / PIXEL_MM)
        shown, _ = letter_box(normalise_in_mask(example.film.pixels, lungs.both), (SIZE, SIZE))
        films.append(shown[None].astype(np.float16))
        places.append(np.stack([letter_box(place, (SIZE, SIZE))[0] > 0.3 for place in example.places]))
    return FindingSet(films=torch.from_numpy(np.stack(films)), places=torch.from_numpy(np.stack(places)))


def joined_findings(sets: Sequence[FindingSet]) -> FindingSet:
    """Return the sets as one."""
    return FindingSet(films=torch.cat([part.films for part in sets]), places=torch.cat([part.places for part in sets]))
