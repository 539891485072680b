# SPDX-License-Identifier: Apache-2.0
"""Phantom films as training tensors, through the very functions that the pipeline uses on patients."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from models.phantoms.chest_radiograph.film import (
    Radiograph,
    Scanner,
    anatomy,
    radiograph,
    random_scanner,
    shifted_scanner,
)
from models.phantoms.chest_radiograph.opacities import NORMAL, SHAPES, Disease, random_disease
from service.domain.image import IDENTITY
from service.imaging.masks import bounding_box
from service.imaging.resample import letter_box, resample_box
from service.pipelines.pneumoconiosis.lungs import (
    SEGMENTATION_SHAPE,
    ZONES,
    Film,
    FloatImage,
    Lungs,
    ZoneCrop,
    segmentation_input,
    zone_crops,
)

PIXEL_MM = 0.5
CROP = 288
MAP_CELLS = 18
"""Cells of the network's map along a crop's side."""
FILM_SHAPE = (840, 760)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ZoneSet:
    """Zone crops with their truth.

    `tensors` (N, 2, 288, 288) float16, `opacity_mm` (N, 1, 18, 18) mean thickness of opacities in each cell of the
    network's map, `levels` (N,), `shapes` (N, 6), `films` (N,) number of the film, `bodies` (N,) number of the phantom
    or patient on it: all films of one are of one body.
    """

    tensors: Tensor
    opacity_mm: Tensor
    levels: Tensor
    shapes: Tensor
    films: NDArray[np.int64]
    bodies: NDArray[np.int64]

    def where(self, chosen: NDArray[np.bool_]) -> "ZoneSet":
        """Return the chosen zones (N,); films and bodies keep their numbers."""
        some = torch.from_numpy(chosen)
        return ZoneSet(
            tensors=self.tensors[some],
            opacity_mm=self.opacity_mm[some],
            levels=self.levels[some],
            shapes=self.shapes[some],
            films=self.films[chosen],
            bodies=self.bodies[chosen],
        )


def segmentation_set(seed: int, *, count: int) -> tuple[Tensor, Tensor]:
    """Return letter-boxed films (N, 1, 256, 256) and masks (N, 3, 256, 256) of `count` bodies."""
    films, masks = [], []
    for number in range(count):
        rng = np.random.default_rng([seed, number, 3])
        picture = _whole_film(seed * 100_000 + number, rng)
        film, _ = segmentation_input(picture.pixels)
        films.append(film[0])
        masks.append(np.stack([letter_box(mask, SEGMENTATION_SHAPE)[0] > 0.5 for mask in picture.anatomy.masks]))
    return torch.from_numpy(np.stack(films)), torch.from_numpy(np.stack(masks))


def _whole_film(number: int, rng: np.random.Generator) -> Radiograph:
    """Draw a film of any format: from narrow to wide, from close to far."""
    height, width = rng.uniform(330, 450), rng.uniform(330, 450)
    pitch_mm = max(height, width) / 256
    body = anatomy(number, shape=(int(height / pitch_mm), int(width / pitch_mm)), pitch_mm=pitch_mm)
    disease = random_disease(rng) if rng.random() < 0.5 else NORMAL
    return radiograph(body, disease=disease, scanner=any_scanner(rng), seed=number)


def any_scanner(rng: np.random.Generator) -> Scanner:
    """Draw a scanner for training: half everyday, half strange."""
    return random_scanner(rng) if rng.random() < 0.5 else shifted_scanner(rng)


def phantom_films(seed: int, *, bodies: int, exposures: int, shifted: bool | None) -> Iterator[Radiograph]:
    """Yield `exposures` films of each body; half of all films are normal. `shifted` None mixes the scanners."""
    for body_number in range(bodies):
        body = anatomy(seed * 100_000 + body_number, shape=FILM_SHAPE, pitch_mm=PIXEL_MM)
        for exposure in range(exposures):
            rng = np.random.default_rng([seed, body_number, exposure, 4])
            disease = NORMAL if rng.random() < 0.4 else random_disease(rng)
            draw = any_scanner if shifted is None else (shifted_scanner if shifted else random_scanner)
            yield radiograph(body, disease=disease, scanner=draw(rng), seed=int(rng.integers(2**31)))


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Example:
    """A film with known disease: where the lungs are, and what lies along each ray (mm of soft tissue).

    `body` is the number of the phantom or patient on it.
    """

    film: Film
    lungs: Lungs
    disease: Disease
    opacity_mm: FloatImage
    body: int


def zone_set(seed: int, *, bodies: int, exposures: int, shifted: bool | None) -> ZoneSet:
    """Return all zones of phantom films; the lung borders are as uncertain as a network's."""
    pictures = phantom_films(seed, bodies=bodies, exposures=exposures, shifted=shifted)
    examples = (_example(picture, body=number // exposures) for number, picture in enumerate(pictures))
    return as_zone_set(examples, rng=np.random.default_rng([seed, 5]))


def _example(picture: Radiograph, *, body: int) -> Example:
    right, left, heart = picture.anatomy.masks
    return Example(
        film=Film(pixels=picture.pixels, pixel_mm=PIXEL_MM, to_source=IDENTITY),
        lungs=Lungs(right=right, left=left, heart=heart),
        disease=picture.disease,
        opacity_mm=picture.opacity_mm,
        body=body,
    )


def as_zone_set(examples: Iterable[Example], *, rng: np.random.Generator, border_mm: float = 3.0) -> ZoneSet:
    """Return all zones of the examples, cut as the pipeline cuts them, with borders moved by up to `border_mm`.

    A film whose lungs do not have six zones is left out whole.
    """
    crops: list[NDArray[np.float16]] = []
    opacities: list[FloatImage] = []
    levels: list[int] = []
    shapes: list[list[float]] = []
    films: list[int] = []
    bodies: list[int] = []
    for number, example in enumerate(examples):
        lungs = uncertain(example.lungs, rng, pixels=border_mm / PIXEL_MM)
        cut = list(zone_crops(example.film, lungs, size=CROP))
        for crop in cut if len(cut) == len(ZONES) else ():
            level = example.disease.levels.get(crop.name, 0)
            crops.append(crop.tensor.astype(np.float16))
            opacities.append(_cells(example.opacity_mm, crop))
            levels.append(level)
            shapes.append(shape_truth(example.disease, level))
            films.append(number)
            bodies.append(example.body)
    return ZoneSet(
        tensors=torch.from_numpy(np.stack(crops)),
        opacity_mm=torch.from_numpy(np.stack(opacities)),
        levels=torch.tensor(levels),
        shapes=torch.tensor(shapes),
        films=np.array(films),
        bodies=np.array(bodies),
    )


def joined(sets: Sequence[ZoneSet]) -> ZoneSet:
    """Return the sets as one; films and bodies of each keep numbers of their own."""
    return ZoneSet(
        tensors=torch.cat([part.tensors for part in sets]),
        opacity_mm=torch.cat([part.opacity_mm for part in sets]),
        levels=torch.cat([part.levels for part in sets]),
        shapes=torch.cat([part.shapes for part in sets]),
        films=_renumbered([part.films for part in sets]),
        bodies=_renumbered([part.bodies for part in sets]),
    )


def _renumbered(numbers: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return all numbers as one array, those of each part above those of the parts before."""
    first = np.cumsum([0, *(int(part.max()) + 1 for part in numbers)])
    return np.concatenate([part + start for part, start in zip(numbers, first, strict=False)])


def _cells(opacity_mm: FloatImage, crop: ZoneCrop) -> FloatImage:
    """Return (1, 18, 18): the mean opacity inside the zone, cell by cell."""
    left, top = crop.to_film.apply((0, 0))
    window = (left, top, left + CROP, top + CROP)
    cut, _ = resample_box(opacity_mm, window, shape=(CROP, CROP))
    size = CROP // MAP_CELLS
    cells = (cut * crop.tensor[1]).reshape(1, MAP_CELLS, size, MAP_CELLS, size)
    return np.asarray(cells.mean(axis=(2, 4)), dtype=np.float32)


def uncertain(lungs: Lungs, rng: np.random.Generator, *, pixels: float) -> Lungs:
    """Grow or shrink each lung by up to so many pixels."""
    if pixels == 0:
        return lungs
    moved = (_moved(mask, rng.uniform(-pixels, pixels)) for mask in (lungs.right, lungs.left))
    return Lungs(right=next(moved), left=next(moved), heart=lungs.heart)


def _moved(mask: NDArray[np.bool_], pixels: float) -> NDArray[np.bool_]:
    """Move the border inwards (outwards below 0); distances are measured around the mask alone, for their cost."""
    box = bounding_box(mask)
    if box is None:
        return mask
    room = ceil(abs(pixels)) + 2
    near = tuple(slice(max(start - room, 0), stop + room) for start, stop in ((box[1], box[3]), (box[0], box[2])))
    part = mask[near]
    distance = ndimage.distance_transform_edt(part) - ndimage.distance_transform_edt(~part)
    moved = mask.copy()
    moved[near] = distance > pixels
    return moved


def shape_truth(disease: Disease, level: int) -> list[float]:
    """Return which of p q r s t u are in a zone: none below 0/1."""
    present = {disease.primary, disease.secondary} if level >= 2 else set()
    return [float(shape in present) for shape in SHAPES]
