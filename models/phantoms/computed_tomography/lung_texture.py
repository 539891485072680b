# SPDX-License-Identifier: Apache-2.0
"""Procedural lung parenchyma in Hounsfield units: twelve patterns drawn at any size, as seen on thin-section CT.

Sizes follow the Fleischner glossary (Hansell, Radiology 2008;246:697): honeycomb cells 3-10 mm with 1-3 mm walls,
secondary lobules 10-25 mm, micronodules below 3 mm. Nothing here comes from a patient.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

Field = NDArray[np.float32]
Shape = tuple[int, int]

PATTERNS: Final = (
    "normal",
    "consolidation",
    "ground_glass",
    "ground_glass_micronodules",
    "ground_glass_reticulation",
    "reticulation",
    "honeycombing",
    "micronodules",
    "emphysema",
    "single_cyst",
    "multiple_cysts",
    "crazy_paving",
)

AIR_HU: Final = -990.0
VESSEL_HU: Final = 30.0
_SUPERSAMPLING: Final = 3


def texture(pattern: str, shape: Shape, *, pixel_mm: float, rng: np.random.Generator) -> Field:
    """Draw one pattern over the whole canvas, without scanner blur and noise.

    Returns
    -------
    ndarray
        Hounsfield units, float32, `shape`.
    """
    return _PAINTERS[pattern](shape, pixel_mm, rng)


def clouds(shape: Shape, *, scale_px: float, rng: np.random.Generator) -> Field:
    """Draw smooth noise of zero mean and unit variance with structures of about `scale_px`."""
    field = gaussian_filter(rng.standard_normal(shape).astype(np.float32), scale_px, mode="wrap")
    return np.asarray((field - field.mean()) / (field.std() + 1e-6), dtype=np.float32)


def strokes(
    shape: Shape,
    *,
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
    widths_px: NDArray[np.float64],
) -> Field:
    """Draw slightly bent, round-ended strokes, anti-aliased; points are (column, row); coverage in [0, 1]."""
    scale = _SUPERSAMPLING
    picture = Image.new("L", (shape[1] * scale, shape[0] * scale))
    draw = ImageDraw.Draw(picture)
    for start, end, width in zip(starts * scale, ends * scale, widths_px * scale, strict=True):
        bend = 0.12 * np.array([end[1] - start[1], start[0] - end[0]])
        middle = (start + end) / 2 + bend
        draw.line([tuple(start), tuple(middle), tuple(end)], fill=255, width=max(1, round(width)), joint="curve")
        for point in (start, end):
            draw.ellipse([*(point - width / 2), *(point + width / 2)], fill=255)
    return np.asarray(picture.reduce(scale), dtype=np.float32) / np.float32(255)


def discs(shape: Shape, *, centres: NDArray[np.float64], radii_px: NDArray[np.float64]) -> Field:
    """Draw filled discs, anti-aliased; centres are (column, row); coverage in [0, 1]."""
    scale = _SUPERSAMPLING
    picture = Image.new("L", (shape[1] * scale, shape[0] * scale))
    draw = ImageDraw.Draw(picture)
    for centre, radius in zip(centres * scale, radii_px * scale, strict=True):
        draw.ellipse([*(centre - radius), *(centre + radius)], fill=255)
    return np.asarray(picture.reduce(scale), dtype=np.float32) / np.float32(255)


def blend(field: Field, value: Field | float, coverage: Field) -> Field:
    """Mix `value` into `field` where `coverage` is 1."""
    return np.asarray(field * (1 - coverage) + value * coverage, dtype=np.float32)


def jittered_grid(shape: Shape, *, step_px: float, jitter: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return points (column, row) on a disturbed grid that reaches past the canvas on all sides."""
    columns = np.arange(-2 * step_px, shape[1] + 2 * step_px, step_px)
    rows = np.arange(-2 * step_px, shape[0] + 2 * step_px, step_px)
    grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    offset = rng.uniform(0, step_px, 2)
    return np.asarray(grid + offset + rng.uniform(-jitter, jitter, grid.shape) * step_px)


def _cell_edges(shape: Shape, *, cell_px: float, rng: np.random.Generator) -> Field:
    """Return the distance (in pixels) of each pixel to the nearest edge between Voronoi cells, bent a little."""
    seeds = jittered_grid(shape, step_px=cell_px, jitter=0.42, rng=rng)
    rows, columns = np.indices(shape).astype(np.float64)
    rows += 0.12 * cell_px * clouds(shape, scale_px=cell_px / 2, rng=rng)
    columns += 0.12 * cell_px * clouds(shape, scale_px=cell_px / 2, rng=rng)
    distances, _ = cKDTree(seeds).query(np.stack([columns, rows], axis=-1), k=2)
    return np.asarray((distances[..., 1] - distances[..., 0]) / 2, dtype=np.float32)


def _walls(shape: Shape, *, cell_px: float, width_px: float, rng: np.random.Generator) -> Field:
    edges = _cell_edges(shape, cell_px=cell_px, rng=rng)
    return np.asarray(np.clip(width_px / 2 + 0.5 - edges, 0, 1), dtype=np.float32)


def parenchyma(shape: Shape, pixel_mm: float, rng: np.random.Generator) -> Field:
    """Draw healthy lung between its vessels."""
    base = rng.uniform(-895, -835) + 16 * clouds(shape, scale_px=6 / pixel_mm, rng=rng)
    return np.asarray(base + 14 * clouds(shape, scale_px=1.2 / pixel_mm, rng=rng), dtype=np.float32)


def _with_vessels(field: Field, pixel_mm: float, rng: np.random.Generator) -> Field:
    shape = (field.shape[0], field.shape[1])
    area_cm2 = field.size * pixel_mm**2 / 100
    count = int(rng.poisson(0.9 * area_cm2))
    starts = rng.uniform(0, 1, (count, 2)) * (shape[1], shape[0])
    angle, length = rng.uniform(0, 2 * np.pi, count), rng.gamma(1.2, 4.0, count) / pixel_mm
    ends = starts + length[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    widths = np.clip(rng.gamma(3.0, 0.35, count), 0.5, 3.5) / pixel_mm
    return blend(field, VESSEL_HU, strokes(shape, starts=starts, ends=ends, widths_px=widths))


def _normal(shape: Shape, pixel_mm: float, rng: np.random.Generator) -> Field:
    return _with_vessels(parenchyma(shape, pixel_mm, rng), pixel_mm, rng)


def _consolidation(shape: Shape, pixel_mm: float, rng: np.random.Generator) -> Field:
    tissue = rng.uniform(-30, 50) + 15 * clouds(shape, scale_px=4 / pixel_mm, rng=rng)
    count = int(rng.poisson(0.25 * tissue.size * pixel_mm**2 / 100))
    starts = rng.uniform(0, 1, (count, 2)) * (shape[1], shape[0])
    angle = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.5, count)
    ends = starts + (rng.uniform(5, 16, count) / pixel_mm)[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    bronchi = strokes(shape, starts=starts, ends=ends, widths_px=rng.uniform(1.2, 2.6, count) / pixel_mm)
    return blend(np.asarray(tissue, dtype=np.float32), -900, bronchi)


def _hazy(shape: Shape, pixel_mm: float, rng: np.random.Generator) -> Field:
    haze = rng.uniform(180, 320) * (1 + 0.10 * clouds(shape, scale_px=5 / pixel_mm, rng=rng))
    return np.asarray(parenchyma(shape, pixel_mm, rng) + haze, dtype=np.float32)


def _ground_glass(shape: Shape, pixel_mm: float, rng: np.random.Generator) -> Field:
    return _with_vessels(_hazy(shape, pixel_mm, rng), pixel_mm, rng)


def _dotted(field: Field, pixel_mm: float, rng: np.random.Generator) -> Field:
    """Add micronodules (diameter 1.6-2.8 mm) at the spacing of lobular centres."""
    shape = (field.shape[0], field.shape[1])
    centres = jittered_grid(shape, step_px=rng.uniform(4.4, 7.0) / pixel_mm, jitter=0.4, rng=rng)
    radii = rng.uniform(0.65, 1.35, len(centres)) / pixel_mm
    dots = gaussian_filter(discs(shape, centres=centres, radii_px=radii), 0.25 / pixel_mm)
    return blend(field, rng.uniform(-220, 20), np.asarray(dots, dtype=np.float32))


def _micronodules(shape: Shape, pixel_mm: float, rng: np.random.Generator) -> Field:
    return _dotted(_normal(shape, pixel_mm, rng), pixel_mm, rng)


def _ground_glass_micronodules(shape: Shape, pixel_mm: float, rng: np.random.Generator) -> Field:
    return _dotted(_ground_glass(shape, pixel_mm, rng), pixel_mm, rng)


def _netted(field: Field, pixel_mm: float, rng: np.random.Generator) -> Field:
    """Add intralobular lines: an irregular fine net, thicker and thinner in places."""
    shape = (field.shape[0], field.shape[1])
    width = rng.uniform(0.7, 1.2) / pixel_mm
    net = _walls(shape, cell_px=rng.uniform(3.4, 5.2) / pixel_mm, width_px=width, rng=rng)
    strength = np.clip(0.75 + 0.3 * clouds(shape, scale_px=4 / pixel_mm, rng=rng), 0.2, 1.0)
    return blend(field, rng.uniform(-250, -60), np.asarray(net * strength, dtype=np.float32))


def _reticulation(shape: Shape, pixel_mm: float, rng: np.random.Generator) -> Field:
    return _netted(_normal(shape, pixel_mm, rng), pixel_mm, rng)


def _ground_glass_reticulation(shape: Shape, pixel_mm: float, rng: np.random.Generator) -> Field:
    return _netted(_ground_glass(shape, pixel_mm, rng), pixel_mm, rng)


def _honeycombing(shape: Shape, pixel_mm: float, rng: np.random.Generator) -> Field:
    edges = _cell_edges(shape, cell_px=rng.uniform(5.0, 8.5) / pixel_mm, rng=rng)
    width = rng.uniform(1.0, 1.7) / pixel_mm * (1 + 0.35 * clouds(shape, scale_px=4 / pixel_mm, rng=rng))
    walls = np.clip(width / 2 + 0.5 - edges, 0, 1)
    air = np.full(shape, rng.uniform(-975, -900), dtype=np.float32)
    return blend(air, rng.uniform(-90, 40), np.asarray(walls, dtype=np.float32))


def _emphysema(shape: Shape, pixel_mm: float, rng: np.random.Generator) -> Field:
    blobs = clouds(shape, scale_px=rng.uniform(2.2, 4.5) / pixel_mm, rng=rng)
    holes = np.clip((blobs - rng.uniform(-0.7, 0.3)) * 4, 0, 1)
    return blend(_normal(shape, pixel_mm, rng), AIR_HU, np.asarray(0.95 * holes, dtype=np.float32))


def _cysts(field: Field, *, centres: NDArray[np.float64], radii_px: NDArray[np.float64], wall_px: float) -> Field:
    shape = (field.shape[0], field.shape[1])
    ringed = blend(field, -250.0, discs(shape, centres=centres, radii_px=radii_px + wall_px))
    return blend(ringed, AIR_HU + 10, discs(shape, centres=centres, radii_px=radii_px))


def _single_cyst(shape: Shape, pixel_mm: float, rng: np.random.Generator) -> Field:
    """One cyst for each 30 mm of canvas, so that a patch of about that size sees one."""
    step = 30.0 / pixel_mm
    counts = [max(1, round(length / step)) for length in shape]
    grid = np.stack(np.meshgrid(np.arange(counts[1]) + 0.5, np.arange(counts[0]) + 0.5), axis=-1).reshape(-1, 2)
    cell = np.array([shape[1] / counts[1], shape[0] / counts[0]])
    centres = (grid + rng.uniform(-0.2, 0.2, grid.shape)) * cell
    radii = rng.uniform(4.0, 9.0, len(centres)) / pixel_mm
    wall = rng.uniform(0.6, 1.2) / pixel_mm
    return _cysts(_normal(shape, pixel_mm, rng), centres=centres, radii_px=radii, wall_px=wall)


def _multiple_cysts(shape: Shape, pixel_mm: float, rng: np.random.Generator) -> Field:
    step = rng.uniform(9.5, 13.0) / pixel_mm
    centres = jittered_grid(shape, step_px=step, jitter=0.2, rng=rng)
    radii = rng.uniform(0.22, 0.38, len(centres)) * step
    wall = rng.uniform(0.6, 1.1) / pixel_mm
    return _cysts(_normal(shape, pixel_mm, rng), centres=centres, radii_px=radii, wall_px=wall)


def _crazy_paving(shape: Shape, pixel_mm: float, rng: np.random.Generator) -> Field:
    """Ground glass under thickened interlobular septa: polygons of 9-14 mm."""
    cell = rng.uniform(9.0, 14.0) / pixel_mm
    septa = _walls(shape, cell_px=cell, width_px=rng.uniform(1.1, 1.9) / pixel_mm, rng=rng)
    return blend(_ground_glass(shape, pixel_mm, rng), rng.uniform(-120, 30), septa)


_PAINTERS: Final[dict[str, Callable[[Shape, float, np.random.Generator], Field]]] = {
    "normal": _normal,
    "consolidation": _consolidation,
    "ground_glass": _ground_glass,
    "ground_glass_micronodules": _ground_glass_micronodules,
    "ground_glass_reticulation": _ground_glass_reticulation,
    "reticulation": _reticulation,
    "honeycombing": _honeycombing,
    "micronodules": _micronodules,
    "emphysema": _emphysema,
    "single_cyst": _single_cyst,
    "multiple_cysts": _multiple_cysts,
    "crazy_paving": _crazy_paving,
}
