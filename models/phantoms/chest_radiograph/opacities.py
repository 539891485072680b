# SPDX-License-Identifier: Apache-2.0
"""What lies inside the lungs of a chest phantom: branching vessels, dust opacities by ILO shape and profusion."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.phantoms.chest_radiograph.anatomy import LEFT, RIGHT, Build, FloatField, Grid
from models.phantoms.chest_radiograph.texture import FloatImage, convolve, impulses, smooth, sphere_kernel

PROFUSION = ("0/-", "0/0", "0/1", "1/0", "1/1", "1/2", "2/1", "2/2", "2/3", "3/2", "3/3", "3/+")
"""The ILO 12-point scale; a level is an index into it."""

SHAPES = ("p", "q", "r", "s", "t", "u")
ZONES = ("RU", "RM", "RL", "LU", "LM", "LL")

_WIDTH_MM = {"p": (0.8, 1.5), "q": (1.6, 3.0), "r": (3.2, 9.0), "s": (0.6, 1.4), "t": (1.6, 2.8), "u": (3.2, 6.5)}
_PER_CM2 = {"p": 15.0, "q": 6.0, "r": 1.3, "s": 3.2, "t": 1.5, "u": 0.45}
"""Opacities per square centimetre of lung field at level 3/3; each level below has 1/1.3 of it."""
_DENSITY = {"p": 6.5, "q": 3.2, "r": 1.5, "s": 4.0, "t": 2.8, "u": 2.6}
"""Attenuation relative to soft tissue: fibrous, partly calcified nodules stand out more than water would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disease:
    """What to put into a lung: level by zone, the primary and secondary shape, and a large opacity's diameter in mm."""

    levels: dict[str, int] = field(default_factory=dict)
    primary: str = "q"
    secondary: str = "q"
    large_zone: str = ""
    large_mm: float = 0.0


NORMAL = Disease()


def random_disease(rng: np.random.Generator) -> Disease:
    """Draw a disease: silicosis-like shapes above, asbestosis-like below, one overall level with zones around it."""
    rounded = rng.random() < 0.6
    family = SHAPES[:3] if rounded else SHAPES[3:]
    primary, secondary = (str(shape) for shape in rng.choice(family, 2))
    if rng.random() < 0.15:
        secondary = str(rng.choice(SHAPES))
    overall = rng.uniform(1.5, 11)
    slope = rng.uniform(0, 1.5) * (-1 if rounded else 1)
    levels = {
        zone: int(np.clip(round(overall + slope * ("UML".index(zone[1]) - 1) + rng.normal(0, 0.7)), 0, 11))
        for zone in ZONES
    }
    return Disease(levels=levels, primary=primary, secondary=secondary)


def density_per_cm2(shape: str, level: int) -> float:
    """Return how many opacities of this shape lie on a square centimetre of lung field."""
    if level == 0:
        return 0.0
    shown = 0.25 if level == 1 else 1.0
    return shown * _PER_CM2[shape] * 1.3 ** (level - 10)


def vessel_path(build: Build, grid: Grid, *, rng: np.random.Generator) -> FloatImage:
    """Return the blood in pulmonary vessels along the ray, mm, over the whole image."""
    trees = [_tree(build, side, rng) for side in (RIGHT, LEFT) for _ in range(3)]
    x, y, radius = (np.concatenate(part) for part in zip(*trees, strict=True))
    return _strands(x, y, radius, grid=grid, spacing_mm=_STEP_MM, edges=(0.25, 0.45, 0.7, 1.1, 1.7, 2.6, 9))


_STEP_MM = 2.0


def _tree(build: Build, side: int, rng: np.random.Generator) -> tuple[FloatField, FloatField, FloatField]:
    """Grow one vascular tree from the hilum outwards; return points every 2 mm with their radius."""
    count = 13
    reach = (34 if side == RIGHT else 40) + side * build.mediastinum_shift
    angle = np.linspace(-1.45, 1.65, count) + rng.normal(0, 0.15, count)
    x = np.full(count, reach) + rng.normal(0, 4, count)
    y = build.height * (0.43 if side == RIGHT else 0.41) + 16 * np.sin(angle) + rng.normal(0, 5, count)
    radius = rng.uniform(1.7, 3.8, count) * np.where(angle > 0.4, 1.3, 1.0)
    taken: list[tuple[FloatField, FloatField, FloatField]] = []
    for _ in range(120):
        taken.append((side * x, y, radius))
        x, y = x + _STEP_MM * np.cos(angle), y + _STEP_MM * np.sin(angle)
        angle = angle + rng.normal(0, 0.10, angle.size)
        radius = radius * rng.uniform(0.966, 0.992, radius.size)
        split = rng.random(radius.size) < 0.055
        turn = rng.uniform(0.25, 0.65, int(split.sum())) * rng.choice([-1, 1], int(split.sum()))
        x, y = np.concatenate([x, x[split]]), np.concatenate([y, y[split]])
        angle = np.concatenate([angle - 0.3 * _spread(split, turn), angle[split] + turn])
        radius = np.concatenate([np.where(split, 0.88 * radius, radius), 0.75 * radius[split]])
        alive = radius > 0.25
        x, y, angle, radius = x[alive], y[alive], angle[alive], radius[alive]
    columns, rows, radii = (np.concatenate(part) for part in zip(*taken, strict=True))
    return columns, rows, radii


def _spread(where: NDArray[np.bool_], values: FloatField) -> FloatField:
    spread = np.zeros(where.size)
    spread[where] = values
    return spread


def _strands(
    x: FloatField, y: FloatField, radius: FloatField, *, grid: Grid, spacing_mm: float, edges: tuple[float, ...]
) -> FloatImage:
    """Draw round strands given as points `spacing_mm` apart: each radius class is one cloud and one blur."""
    total = np.zeros(grid.shape, dtype=np.float32)
    column, row = grid.pixels(x, y)
    for low, high in pairwise(edges):
        of_class = (radius >= low) & (radius < high)
        if not of_class.any():
            continue
        volume = np.pi * radius[of_class] ** 2 * spacing_mm / grid.pitch_mm**2
        cloud = impulses(grid.shape, columns=column[of_class], rows=row[of_class], weights=volume)
        sigma = max(0.62 * float(radius[of_class].mean()), 0.35 * spacing_mm) / grid.pitch_mm
        total += smooth(cloud, sigma=sigma)
    return total


def opacity_path(
    disease: Disease, zones: NDArray[np.uint8], *, pitch_mm: float, rng: np.random.Generator
) -> FloatImage:
    """Return the dust opacities' thickness along the ray, mm; `zones` is 0 outside, 1..6 in the order of ZONES."""
    total = np.zeros(zones.shape, dtype=np.float32)
    for shape, share in ((disease.primary, 0.7), (disease.secondary, 0.3)):
        columns, rows = _places(disease, zones, shape=shape, share=share, pitch_mm=pitch_mm, rng=rng)
        draw = _rounded if shape in "pqr" else _irregular
        total += draw(shape, columns, rows, shape_of=zones.shape, pitch_mm=pitch_mm, rng=rng)
    if disease.large_mm:
        total += _large(disease, zones, pitch_mm=pitch_mm, rng=rng)
    return total


def _places(
    disease: Disease, zones: NDArray[np.uint8], *, shape: str, share: float, pitch_mm: float, rng: np.random.Generator
) -> tuple[FloatField, FloatField]:
    columns, rows = [np.zeros(0)], [np.zeros(0)]
    for number, zone in enumerate(ZONES, start=1):
        row, column = np.nonzero(zones == number)
        mean = share * density_per_cm2(shape, disease.levels.get(zone, 0)) * row.size * pitch_mm**2 / 100
        count = rng.poisson(mean) if row.size else 0
        chosen = rng.integers(0, max(row.size, 1), count)
        columns.append(column[chosen] + rng.uniform(-0.5, 0.5, count))
        rows.append(row[chosen] + rng.uniform(-0.5, 0.5, count))
    return np.concatenate(columns), np.concatenate(rows)


def _rounded(
    shape: str,
    columns: FloatField,
    rows: FloatField,
    *,
    shape_of: tuple[int, ...],
    pitch_mm: float,
    rng: np.random.Generator,
) -> FloatImage:
    total = np.zeros(shape_of, dtype=np.float32)
    low, high = _WIDTH_MM[shape]
    classes = rng.integers(0, 3, columns.size)
    for number in range(3):
        of_class = classes == number
        if not of_class.any():
            continue
        weights = _DENSITY[shape] * rng.uniform(0.7, 1.3, int(of_class.sum()))
        cloud = impulses((shape_of[0], shape_of[1]), columns=columns[of_class], rows=rows[of_class], weights=weights)
        radius = (low + (high - low) * (number + 0.5) / 3) / 2 / pitch_mm
        total += convolve(cloud, sphere_kernel(radius)) * pitch_mm
    return total


def _irregular(
    shape: str,
    columns: FloatField,
    rows: FloatField,
    *,
    shape_of: tuple[int, ...],
    pitch_mm: float,
    rng: np.random.Generator,
) -> FloatImage:
    """Draw crooked strands, thicker along the ray than across, as septa seen edge-on are."""
    low, high = _WIDTH_MM[shape]
    points = 24
    spacing = rng.uniform(0.5, 1.1, columns.size) * (1 if shape != "u" else 1.4)
    heading = rng.uniform(0, 2 * np.pi, columns.size)[:, None] + rng.normal(0, 0.28, (columns.size, points)).cumsum(1)
    x = columns[:, None] + (spacing[:, None] * np.cos(heading)).cumsum(1) / pitch_mm
    y = rows[:, None] + (spacing[:, None] * np.sin(heading)).cumsum(1) / pitch_mm
    width = rng.uniform(low, high)
    depth = 1.3 * _DENSITY[shape] * width * rng.uniform(0.7, 1.3, columns.size)
    weights = np.repeat((depth * width * spacing / pitch_mm**2)[:, None], points, 1)
    cloud = impulses((shape_of[0], shape_of[1]), columns=x.ravel(), rows=y.ravel(), weights=weights.ravel())
    return smooth(cloud, sigma=max(0.4 * width / pitch_mm, 0.5))


def _large(disease: Disease, zones: NDArray[np.uint8], *, pitch_mm: float, rng: np.random.Generator) -> FloatImage:
    """Draw a lobulated mass, its border a circle with random harmonics."""
    row, column = np.nonzero(zones == ZONES.index(disease.large_zone) + 1)
    centre = rng.integers(0, row.size)
    down = (np.arange(zones.shape[0])[:, None] - row[centre]) * pitch_mm
    across = (np.arange(zones.shape[1])[None, :] - column[centre]) * pitch_mm
    angle = np.arctan2(down, across)
    radius = (
        disease.large_mm
        / 2
        * (1 + sum(rng.normal(0, 0.16 / k) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in range(2, 8)))
    )
    share = np.clip(1 - (np.hypot(down, across) / radius) ** 2, 0, 1)
    return np.asarray(1.6 * radius * np.sqrt(share) * (zones > 0), dtype=np.float32)
