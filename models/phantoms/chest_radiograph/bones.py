# SPDX-License-Identifier: Apache-2.0
"""The bones of a chest phantom: ribs as inclined hoops with cortical rims, clavicles, scapulae and spine."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.phantoms.chest_radiograph.anatomy import LEFT, RIGHT, Build, FloatField, Grid, as_float32, lateral_border
from models.phantoms.chest_radiograph.texture import FloatImage, enlarge

COARSE_MM = 2.0
"""Distances to a bone's axis are smooth: they are computed at this pitch and interpolated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tube:
    """A bone along a curve: points (n, 2) in body mm, half width in mm and bone density per point."""

    points: FloatField
    half_width: FloatField
    density: FloatField


def bone_path(build: Build, grid: Grid, *, rng: np.random.Generator) -> FloatImage:
    """Return the length of bone mineral along the ray, mm of cortical bone."""
    total = np.zeros(grid.shape, dtype=np.float32)
    for tube in (*_ribs(build, rng), *_clavicles(build, rng), *_scapulae(build, rng)):
        _add_tube(total, tube, grid)
    x, y = grid.coordinates()
    return total + as_float32(_spine(build, x, y, rng=rng))


def _ribs(build: Build, rng: np.random.Generator) -> list[Tube]:
    spacing = build.height * rng.uniform(0.083, 0.094)
    drop = build.height * rng.uniform(0.24, 0.34)
    density = rng.uniform(1.0, 1.6)
    return [
        _rib(build, index, side=side, spacing=spacing, drop=drop, density=density, rng=rng)
        for side in (RIGHT, LEFT)
        for index in range(11)
    ]


def _rib(
    build: Build, index: int, *, side: int, spacing: float, drop: float, density: float, rng: np.random.Generator
) -> Tube:
    """Return rib number index+1: from the spine round the back and the side to the costal cartilage."""
    angle = np.deg2rad(np.linspace(-84, 62 - 2.5 * index, 56))
    start = -12 + index * spacing + rng.normal(0, 1.2)
    fall = drop * min(0.45 + 0.16 * index, 1.0)
    y = start + fall * ((1 + np.sin(angle)) / 2) ** 1.15 - 7 * np.exp(-(((angle + 1.15) / 0.3) ** 2))
    reach = lateral_border(build, np.array(start + fall * 0.62), side=side) + 3
    x = side * (reach * np.cos(angle) ** 0.92)
    front = np.clip((angle - 0.45) / 0.6, 0, 1)
    taper = 1 - 0.25 * np.clip(-angle / 1.3, 0, 1)
    half_width = (5.4 + 0.12 * index) * taper * (1 + 0.3 * front) * rng.uniform(0.95, 1.05)
    fade = 1 - 0.92 * np.clip((angle - angle[-1] + 0.22) / 0.22, 0, 1)
    flank = 1 + 1.1 * np.exp(-((angle / 0.28) ** 2))
    return Tube(points=np.stack([x, y], 1), half_width=half_width, density=density * fade * flank * (1 - 0.25 * front))


def _clavicles(build: Build, rng: np.random.Generator) -> list[Tube]:
    lift = rng.uniform(4, 30)
    tubes = []
    for side in (RIGHT, LEFT):
        t = np.linspace(0, 1, 40)
        x = side * (16 + t * (build.half_width(side) + 22))
        y = 40 - lift * t - 11 * np.sin(t * np.pi * 1.6) + rng.normal(0, 2)
        half_width = 6.4 + 3.0 * np.exp(-((t / 0.12) ** 2)) + 1.5 * t
        tubes.append(Tube(points=np.stack([x, y], 1), half_width=half_width, density=np.full(40, 1.5)))
    return tubes


def _scapulae(build: Build, rng: np.random.Generator) -> list[Tube]:
    """Return the medial borders and the blades' lateral borders, turned out of most of the lung field."""
    tubes = []
    for side in (RIGHT, LEFT):
        t = np.linspace(0, 1, 30)
        outward = rng.uniform(0, 18)
        edge = build.half_width(side) - 14 + outward
        medial = np.stack([side * (edge + 14 * np.sin(t * 2.4)), 30 + 110 * t], 1)
        lateral = np.stack([side * (edge + 8 + 52 * (1 - t)), 30 + 112 * t], 1)
        spine = np.stack([side * (edge + 4 + 70 * t), 52 - 38 * t], 1)
        tubes.append(Tube(points=medial, half_width=np.full(30, 2.2), density=np.full(30, 1.3)))
        tubes.append(Tube(points=lateral, half_width=np.full(30, 4.5), density=np.full(30, 1.3)))
        tubes.append(Tube(points=spine, half_width=4 + 4 * t, density=np.full(30, 1.2)))
    return tubes


def _spine(build: Build, x: FloatField, y: FloatField, *, rng: np.random.Generator) -> FloatField:
    """Return thoracic vertebrae: bodies with dense end plates, discs, pedicles and spinous processes."""
    pitch = build.height * 0.088
    phase = np.mod(y / pitch + rng.uniform(0, 1), 1.0)
    growth = 0.85 + 0.25 * np.clip(y / build.height, -0.2, 1.2)
    half = 16.5 * growth * (1 + 0.06 * np.cos(2 * np.pi * phase))
    body = np.clip(1 - (np.abs(x) / half) ** 6, 0, 1) ** 0.5
    plates = np.exp(-(((phase - 0.10) / 0.05) ** 2)) + np.exp(-(((phase - 0.90) / 0.05) ** 2))
    disc = 1 - 0.55 * (np.exp(-((phase / 0.07) ** 2)) + np.exp(-(((1 - phase) / 0.07) ** 2)))
    pedicle = np.exp(-(((np.abs(x) - 0.62 * half) / 3.2) ** 2) - ((phase - 0.38) / 0.13) ** 2)
    process = np.exp(-((x / 3.0) ** 2) - ((phase - 0.62) / 0.16) ** 2)
    transverse = np.exp(-(((phase - 0.36) / 0.13) ** 2)) * np.clip(1 - np.abs(np.abs(x) - 24) / 12, 0, 1)
    return np.asarray(growth * (body * (6.5 * disc + 1.6 * plates) + 2.6 * pedicle + 3 * process + 1.8 * transverse))


def _add_tube(total: FloatImage, tube: Tube, grid: Grid) -> None:
    """Add one bone to the image, inside the smallest box that holds it."""
    factor = max(1, round(COARSE_MM / grid.pitch_mm))
    column, row = grid.pixels(tube.points[:, 0], tube.points[:, 1])
    margin = (tube.half_width.max() + 2) / grid.pitch_mm
    top, bottom = _span(row, margin, grid.shape[0])
    left, right = _span(column, margin, grid.shape[1])
    if bottom - top < factor or right - left < factor:
        return
    rows = np.arange(top, bottom, factor) + (factor - 1) / 2
    columns = np.arange(left, right, factor) + (factor - 1) / 2
    distance, half_width, density = _nearest(tube, column, row, rows=rows, columns=columns)
    fine = [
        enlarge(as_float32(part), factor=factor)[: bottom - top, : right - left]
        for part in (distance * grid.pitch_mm, half_width, density)
    ]
    total[top:bottom, left:right] += _section(*fine)


def _span(places: FloatField, margin: float, limit: int) -> tuple[int, int]:
    return max(0, int(places.min() - margin)), min(limit, int(places.max() + margin) + 1)


def _nearest(
    tube: Tube, column: FloatField, row: FloatField, *, rows: NDArray[Any], columns: NDArray[Any]
) -> tuple[FloatField, FloatField, FloatField]:
    """Return, on a grid, the distance in pixels to the axis and the tube's measures at the nearest place."""
    shape = (rows.size, columns.size)
    best = np.full(shape, np.inf)
    half_width, density = np.zeros(shape), np.zeros(shape)
    for index in range(len(column) - 1):
        along, square = _segment(
            columns[None, :] - column[index],
            rows[:, None] - row[index],
            (column[index + 1] - column[index], row[index + 1] - row[index]),
        )
        nearer = square < best
        best = np.where(nearer, square, best)
        half_width = np.where(nearer, _between(tube.half_width, index, along), half_width)
        density = np.where(nearer, _between(tube.density, index, along), density)
    return np.sqrt(best), half_width, density


def _segment(
    across: NDArray[np.float64], down: NDArray[np.float64], direction: tuple[float, float]
) -> tuple[FloatField, FloatField]:
    length = direction[0] ** 2 + direction[1] ** 2 + 1e-12
    along = np.clip((across * direction[0] + down * direction[1]) / length, 0, 1)
    return along, (across - along * direction[0]) ** 2 + (down - along * direction[1]) ** 2


def _between(values: FloatField, index: int, along: FloatField) -> FloatField:
    return np.asarray(values[index] + (values[index + 1] - values[index]) * along)


def _section(distance: FloatImage, half_width: FloatImage, density: FloatImage) -> FloatImage:
    """Return the mineral across a flattened tube: a cortical shell of 0.9 mm around thin spongy bone."""
    depth = 0.62
    outer = depth * np.sqrt(np.clip(half_width**2 - distance**2, 0, None))
    inner = depth * np.sqrt(np.clip((half_width - 0.9) ** 2 - distance**2, 0, None)) * (distance < half_width - 0.9)
    return np.asarray(density * 2 * (outer - 0.72 * inner), dtype=np.float32)
