# SPDX-License-Identifier: Apache-2.0
"""Phantom mammograms as the detector sees them: drawn, normalised as the node does it, with targets."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.networks.mass_detector import HEAT_STRIDE
from models.phantoms.mammogram.acquisition import random_scanner
from models.phantoms.mammogram.breast import SIDES, VIEWS, Breast, random_breast, random_lesion
from models.phantoms.mammogram.view import PhantomView, draw_view
from service.imaging.masks import breast_mask
from service.pipelines.mammography.canvas import place

CANVAS = (704, 448)
SPACING_MM = 0.4
BOX_MARGIN = 1.15
"""Boxes are this much larger than the mass's mean radius."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Sample:
    """One view: the canvas as float16 (2, rows, columns) and masses as (column, row, radius) in its pixels."""

    breast: str
    image: NDArray[np.float16]
    masses: tuple[tuple[float, float, float], ...]

    @property
    def exam(self) -> str:
        """The body: both breasts of one exam."""
        return self.breast.rsplit("-", 1)[0]


def draw_samples(first_seed: int, exams: int, *, shift: float = 1.0) -> list[Sample]:
    """Draw the four views of each exam; every second breast bears a mass."""
    return [sample for seed in range(first_seed, first_seed + exams) for sample in _draw_exam(seed, shift=shift)]


def _draw_exam(seed: int, *, shift: float) -> list[Sample]:
    rng = np.random.default_rng([seed, 71])
    scanner = random_scanner(rng, shift=shift)
    breasts = [_with_masses(random_breast(side, seed), rng) for side in SIDES]
    return [
        _sample(f"{seed}-{breast.side}", draw_view(breast, view, scanner=scanner))
        for breast in breasts
        for view in VIEWS
    ]


def _with_masses(breast: Breast, rng: np.random.Generator) -> Breast:
    count = int(rng.choice((0, 1, 2), p=(0.5, 0.4, 0.1)))
    return replace(breast, lesions=tuple(random_lesion(breast, int(rng.integers(2**31))) for _ in range(count)))


def _sample(breast: str, view: PhantomView) -> Sample:
    canvas = place(view.grey, breast_mask(view.grey), shape=CANVAS)
    to_canvas = canvas.to_picture.inverse()
    masses = tuple((*to_canvas.apply((x, y)), radius) for x, y, radius in view.lesions)
    return Sample(breast=breast, image=canvas.tensor.astype(np.float16), masses=masses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Crops with their targets: heat (N, 1, h, w), offset and log size (N, 2, h, w), and where those two count."""

    image: Tensor
    heat: Tensor
    offset: Tensor
    log_size: Tensor
    weight: Tensor


def crops(samples: Sequence[Sample], rng: np.random.Generator, *, size: int) -> Batch:
    """Cut one crop from each sample, most of them around a mass, mirrored at random."""
    parts = [_crop(sample, rng, size=size) for sample in samples]
    images = torch.from_numpy(np.stack([image for image, _ in parts]).astype(np.float32))
    targets = [_targets(masses, size // HEAT_STRIDE) for _, masses in parts]
    heat, offset, log_size, weight = (torch.from_numpy(np.stack(maps)) for maps in zip(*targets, strict=True))
    return Batch(image=images, heat=heat, offset=offset, log_size=log_size, weight=weight)


def _crop(sample: Sample, rng: np.random.Generator, *, size: int) -> tuple[NDArray[np.float16], NDArray[np.float64]]:
    left, top = _corner(sample, rng, size=size)
    image = sample.image[:, top : top + size, left : left + size]
    masses = np.array(sample.masses, dtype=np.float64).reshape(-1, 3) - (left, top, 0)
    inside = ((masses[:, :2] >= 0) & (masses[:, :2] < size)).all(axis=1)
    if rng.random() < 0.5:
        return image[:, ::-1], masses[inside] * (1, -1, 1) + (0, size - 1e-3, 0)
    return image, masses[inside]


def _corner(sample: Sample, rng: np.random.Generator, *, size: int) -> tuple[int, int]:
    if sample.masses and rng.random() < 0.75:
        x, y, _ = sample.masses[int(rng.integers(len(sample.masses)))]
        centre = np.array([x, y]) + rng.uniform(-0.4, 0.4, size=2) * size
    else:
        rows, columns = np.nonzero(sample.image[1])
        pick = int(rng.integers(rows.size))
        centre = np.array([columns[pick], rows[pick]], dtype=np.float64)
    limit = np.array([CANVAS[1] - size, CANVAS[0] - size])
    left, top = np.clip(centre - size / 2, 0, limit).astype(int) // HEAT_STRIDE * HEAT_STRIDE
    return int(left), int(top)


def _targets(masses: NDArray[np.float64], cells: int) -> tuple[NDArray[np.float32], ...]:
    heat = np.zeros((1, cells, cells), dtype=np.float32)
    offset, log_size = np.zeros((2, cells, cells), dtype=np.float32), np.zeros((2, cells, cells), dtype=np.float32)
    weight = np.zeros((1, cells, cells), dtype=np.float32)
    rows, columns = np.mgrid[:cells, :cells]
    for x, y, radius in masses / HEAT_STRIDE:
        column, row = int(x), int(y)
        spread = 2 * max(radius / 3, 0.8) ** 2
        heat[0] = np.maximum(heat[0], np.exp(-((columns - column) ** 2 + (rows - row) ** 2) / spread))
        offset[:, row, column] = x - column, y - row
        log_size[:, row, column] = np.log(2 * BOX_MARGIN * radius)
        weight[0, row, column] = 1
    return heat, offset, log_size, weight
