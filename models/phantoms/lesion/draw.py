# SPDX-License-Identifier: Apache-2.0
"""Draws a lesion phantom: 1/f surroundings with gradient, vessels and a wall, then the lesion, then the scanner.

Axes of every array are (z, y, x): z to the head, y to the back, x to the patient's left, in voxels of one size.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import sph_harm_y

from models.phantoms.lesion.kinds import LesionPhantom, kind_named
from models.phantoms.volume import Volume, mixed, power_law_volume, soft_edge

_DEGREES = range(2, 7)
_LOWEST_HU, _HIGHEST_HU = -1024, 3071


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class DrawnLesion:
    """Whole Hounsfield units float32 and the mask, both (matrix, matrix, matrix) as (z, y, x)."""

    hounsfield: Volume
    mask: NDArray[np.bool_]
    phantom: LesionPhantom

    @property
    def volume_mm3(self) -> float:
        """The lesion's volume by its mask."""
        return float(np.count_nonzero(self.mask)) * self.phantom.voxel_mm**3


def draw_lesion(phantom: LesionPhantom) -> DrawnLesion:
    """Draw the cube; the lesion's centre is the cube's."""
    rng = np.random.default_rng([phantom.seed, 102, *phantom.kind.encode()])
    z, y, x = places_mm(phantom)
    radius = surface_mm(phantom, z, y, x, rng=rng)
    inside = np.asarray(radius - np.sqrt(z**2 + y**2 + x**2), dtype=np.float32)
    canvas = _surroundings(phantom, inside, (z, y, x), rng=rng)
    canvas = _with_lesion(phantom, canvas, inside, radius, rng=rng)
    return DrawnLesion(hounsfield=_scanned(phantom, canvas, rng), mask=inside > 0, phantom=phantom)


def places_mm(phantom: LesionPhantom) -> tuple[Volume, Volume, Volume]:
    """Return z, y and x of the voxels' centres in mm from the middle of the cube, ready to broadcast."""
    line = ((np.arange(phantom.matrix) + 0.5 - phantom.matrix / 2) * phantom.voxel_mm).astype(np.float32)
    return line[:, None, None], line[None, :, None], line[None, None, :]


def surface_mm(phantom: LesionPhantom, z: Volume, y: Volume, x: Volume, *, rng: np.random.Generator) -> Volume:
    """Return, for every voxel, the distance in mm from the centre to the surface in its direction.

    An ellipsoid times 1 plus real spherical harmonics of degree 2 to 6, whose strength falls as 1/degree**2; scaled
    so that the volume is that of a sphere of `diameter_mm`.
    """
    distance = np.maximum(np.sqrt(z**2 + y**2 + x**2), 1e-3)
    polar, azimuth = np.arccos(np.clip(z / distance, -1, 1)), np.arctan2(y, x) + 0 * z
    first, second, third = phantom.axes
    directions = (z / distance / first) ** 2 + (y / distance / second) ** 2 + (x / distance / third) ** 2
    weights = _harmonics(phantom.roughness, rng)
    swell = _swell(weights, polar, azimuth)
    scale = _unit_radius(phantom, weights)
    return np.asarray(phantom.diameter_mm / 2 / scale * swell / np.sqrt(directions), dtype=np.float32)


def _harmonics(roughness: float, rng: np.random.Generator) -> list[tuple[int, int, float]]:
    """Draw (degree, order, weight) such that the surface's standard deviation over the sphere is `roughness`."""
    drawn = [(n, m, rng.normal(0, n**-2.0)) for n in _DEGREES for m in range(-n, n + 1)]
    total = np.sqrt(sum(weight**2 for _, _, weight in drawn) / (4 * np.pi))
    return [(n, m, roughness * weight / total) for n, m, weight in drawn]


def _swell(
    weights: list[tuple[int, int, float]], polar: NDArray[np.floating], azimuth: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Return 1 plus the harmonics, at least 0.3, computed on a fine grid of directions and looked up."""
    rows, columns = np.linspace(0, np.pi, 91), np.linspace(-np.pi, np.pi, 181)
    grid = np.ones((rows.size, columns.size))
    for n, m, weight in weights:
        value = sph_harm_y(n, abs(m), rows[:, None], columns[None, :])
        grid += weight * (value.real if m == 0 else np.sqrt(2) * (value.real if m > 0 else value.imag))
    at = np.broadcast_arrays(polar / np.pi * 90, (azimuth + np.pi) / (2 * np.pi) * 180)
    return np.asarray(np.maximum(ndimage.map_coordinates(grid, at, order=1, mode="nearest"), 0.3))


def _unit_radius(phantom: LesionPhantom, weights: list[tuple[int, int, float]]) -> float:
    """Return the radius of the sphere whose volume the unscaled surface encloses."""
    polar, azimuth = np.meshgrid((np.arange(60) + 0.5) * np.pi / 60, (np.arange(120) + 0.5) * np.pi / 60 - np.pi)
    first, second, third = phantom.axes
    z, y, x = np.cos(polar), np.sin(polar) * np.sin(azimuth), np.sin(polar) * np.cos(azimuth)
    radius = _swell(weights, polar, azimuth) / np.sqrt((z / first) ** 2 + (y / second) ** 2 + (x / third) ** 2)
    return float(np.cbrt(np.average(radius**3, weights=np.sin(polar))))


def _surroundings(
    phantom: LesionPhantom,
    inside: Volume,
    places: tuple[Volume, Volume, Volume],
    *,
    rng: np.random.Generator,
) -> Volume:
    texture = power_law_volume(inside.shape, beta=phantom.beta, rng=rng)
    heading = _direction(rng)
    along = sum(part * step for part, step in zip(places, heading, strict=True))
    canvas = phantom.tissue_hu + phantom.texture_hu * texture + phantom.gradient_hu_per_mm * along
    canvas = np.asarray(canvas, dtype=np.float32)
    kind = kind_named(phantom.kind)
    canvas = mixed(canvas, kind.vessel_hu, _vessels(phantom, places, rng))
    if phantom.wall_mm is not None:
        canvas = mixed(canvas, kind.wall_hu, _wall(phantom, places, rng))
    return canvas


def _direction(rng: np.random.Generator) -> NDArray[np.float64]:
    drawn = rng.normal(size=3)
    return np.asarray(drawn / np.linalg.norm(drawn))


def _vessels(phantom: LesionPhantom, places: tuple[Volume, Volume, Volume], rng: np.random.Generator) -> Volume:
    """Return the share of straight tubes that pass the lesion at some distance, thinner ones farther away."""
    z, y, x = places
    total = np.zeros((phantom.matrix,) * 3, dtype=np.float32)
    for _ in range(phantom.vessels):
        heading, offset = _direction(rng), rng.normal(0, 0.8 * phantom.diameter_mm, 3)
        offset -= heading * (offset @ heading)
        radius = rng.uniform(0.05, 0.14) * phantom.diameter_mm
        parts = (z - offset[0], y - offset[1], x - offset[2])
        along = sum(part * step for part, step in zip(parts, heading, strict=True))
        across = np.sqrt(np.maximum(sum(part**2 for part in parts) - along**2, 0))
        np.maximum(total, soft_edge(radius - across, phantom.voxel_mm), out=total)
    return total


def _wall(phantom: LesionPhantom, places: tuple[Volume, Volume, Volume], rng: np.random.Generator) -> Volume:
    """Return the share of what lies beyond a slightly curved wall, `wall_mm` from the lesion's centre."""
    heading = _direction(rng)
    along = sum(part * step for part, step in zip(places, heading, strict=True))
    away = sum(part**2 for part in places) - along**2
    curve = away / (2 * rng.uniform(4, 9) * phantom.diameter_mm)
    return soft_edge(np.asarray(along - (phantom.wall_mm or 0.0) + curve), phantom.voxel_mm)


def _with_lesion(
    phantom: LesionPhantom, canvas: Volume, inside: Volume, radius: Volume, *, rng: np.random.Generator
) -> Volume:
    """Put the lesion in: its own texture, and a rim that is brighter than its core where it enhances."""
    texture = power_law_volume(inside.shape, beta=3.0, rng=rng)
    value = phantom.tissue_hu + phantom.contrast_hu + 0.06 * abs(phantom.contrast_hu) * texture
    if phantom.ring_hu:
        depth = phantom.ring_share * radius
        rim = soft_edge(depth - inside, 1.5 * phantom.voxel_mm)
        core = phantom.tissue_hu - 0.5 * abs(phantom.contrast_hu)
        value = mixed(np.asarray(core + 0 * value, dtype=np.float32), value + phantom.ring_hu, rim)
    return mixed(canvas, value, soft_edge(inside, phantom.voxel_mm))


def _scanned(phantom: LesionPhantom, canvas: Volume, rng: np.random.Generator) -> Volume:
    blurred = ndimage.gaussian_filter(canvas, phantom.blur_mm / phantom.voxel_mm, mode="nearest")
    white = rng.standard_normal(canvas.shape, dtype=np.float32)
    grain = ndimage.gaussian_filter(white, 0.5)
    noisy = blurred + phantom.noise_hu * grain / grain.std()
    return np.asarray(np.clip(np.rint(noisy), _LOWEST_HU, _HIGHEST_HU), dtype=np.float32)
