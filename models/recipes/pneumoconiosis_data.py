# SPDX-License-Identifier: Apache-2.0
"""Phantom films as training tensors, through the very functions that the pipeline uses on patients."""

from collections.abc import Iterator
from dataclasses import dataclass

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
from service.imaging.resample import letter_box, resample_box
from service.pipelines.pneumoconiosis.lungs import (
    SEGMENTATION_SHAPE,
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
    network's map, `levels` (N,), `shapes` (N, 6), `films` (N,) number of the film.
    """

    tensors: Tensor
    opacity_mm: Tensor
    levels: Tensor
    shapes: Tensor
    films: NDArray[np.int64]


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


def zone_set(seed: int, *, bodies: int, exposures: int, shifted: bool | None) -> ZoneSet:
    """Return all zones of phantom films; the lung borders are as uncertain as a network's."""
    crops: list[NDArray[np.float16]] = []
    opacities: list[FloatImage] = []
    levels: list[int] = []
    shapes: list[list[float]] = []
    films: list[int] = []
    rng = np.random.default_rng([seed, 5])
    for number, picture in enumerate(phantom_films(seed, bodies=bodies, exposures=exposures, shifted=shifted)):
        for crop in film_crops(picture, rng=rng):
            level = picture.disease.levels.get(crop.name, 0)
            crops.append(crop.tensor.astype(np.float16))
            opacities.append(_cells(picture.opacity_mm, crop))
            levels.append(level)
            shapes.append(shape_truth(picture.disease, level))
            films.append(number)
    return ZoneSet(
        tensors=torch.from_numpy(np.stack(crops)),
        opacity_mm=torch.from_numpy(np.stack(opacities)),
        levels=torch.tensor(levels),
        shapes=torch.tensor(shapes),
        films=np.array(films),
    )


def _cells(opacity_mm: FloatImage, crop: ZoneCrop) -> FloatImage:
    """Return (1, 18, 18): the mean opacity inside the zone, cell by cell."""
    left, top = crop.to_film.apply((0, 0))
    window = (left, top, left + CROP, top + CROP)
    cut, _ = resample_box(opacity_mm, window, shape=(CROP, CROP))
    size = CROP // MAP_CELLS
    cells = (cut * crop.tensor[1]).reshape(1, MAP_CELLS, size, MAP_CELLS, size)
    return np.asarray(cells.mean(axis=(2, 4)), dtype=np.float32)


def film_crops(picture: Radiograph, *, rng: np.random.Generator) -> Iterator[ZoneCrop]:
    """Yield the zones of a film as the pipeline would cut them."""
    right, left, heart = (_uncertain(mask, rng) for mask in picture.anatomy.masks)
    film = Film(pixels=picture.pixels, pixel_mm=PIXEL_MM, to_source=IDENTITY)
    yield from zone_crops(film, Lungs(right=right, left=left, heart=heart), size=CROP)


def _uncertain(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Grow or shrink a mask by up to 3 mm."""
    distance = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    return np.asarray(distance > rng.uniform(-6, 6))


def shape_truth(disease: Disease, level: int) -> list[float]:
    """Return which of p q r s t u are in a zone: none below 0/1."""
    present = {disease.primary, disease.secondary} if level >= 2 else set()
    return [float(shape in present) for shape in SHAPES]
