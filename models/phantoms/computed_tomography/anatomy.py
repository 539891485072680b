# SPDX-License-Identifier: Apache-2.0
"""Draws the anatomy of one axial chest slice: wall, bones, mediastinum, airways, diaphragm, lungs and their vessels."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from models.phantoms.computed_tomography.grid import Grid, Points
from models.phantoms.computed_tomography.lung_texture import VESSEL_HU, Field, blend, clouds, parenchyma

Mask = NDArray[np.bool_]

AIR, FAT, MUSCLE, BLOOD, LIVER, MARROW, CORTEX = -1000.0, -100.0, 55.0, 42.0, 62.0, 230.0, 850.0


def _ramp(level: float, start: float, end: float) -> float:
    """Return 0 before `start`, 1 after `end`, smooth between."""
    part = min(max((level - start) / (end - start), 0.0), 1.0)
    return part * part * (3 - 2 * part)


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """The proportions of one person at one level (0 apex, 1 base of the lungs)."""

    grid: Grid
    level: float
    build: float
    heart: float
    fat_mm: float

    @classmethod
    def of(cls, rng: np.random.Generator, grid: Grid, *, level: float) -> "Anatomy":
        """Draw a person's proportions."""
        build, heart, fat = rng.uniform(0.9, 1.0), rng.uniform(0.9, 1.1), rng.uniform(6, 13)
        return cls(grid=grid, level=level, build=build, heart=heart, fat_mm=fat)

    def draw(self, rng: np.random.Generator) -> tuple[Field, Mask]:
        """Return the slice in Hounsfield units before scanning, and the mask of the lungs without their airways."""
        canvas = self._wall(rng)
        canvas = self._bones(canvas)
        lungs = self._lungs()
        canvas = self._mediastinum(canvas, rng)
        canvas = self._diaphragm(canvas)
        canvas = blend(canvas, self._lung_tissue(lungs, rng), lungs.astype(np.float32))
        return self._airways(canvas, lungs)

    @property
    def _cavity_axes(self) -> tuple[float, float]:
        width = 0.50 + 0.50 * math.sqrt(min(self.level / 0.40, 1.0))
        return 132 * self.build * width, 88 * self.build * (0.62 + 0.38 * math.sqrt(min(self.level / 0.35, 1.0)))

    @property
    def _spine_y(self) -> float:
        return 88 * self.build * (0.74 + 0.26 * math.sqrt(min(self.level / 0.35, 1.0))) - 24

    def _wall(self, rng: np.random.Generator) -> Field:
        grid, shape = self.grid, self.grid.shape
        half_width, half_depth = 132 * self.build, 88 * self.build
        muscle = grid.ellipse((0, 3), (half_width + 15, half_depth + 17), power=2.35)
        body = grid.ellipse((0, 3), (half_width + 17 + self.fat_mm, half_depth + 19 + self.fat_mm), power=2.4)
        muscle = muscle + 0.006 * clouds(shape, scale_px=18 / grid.pixel_mm, rng=rng)
        tissue = MUSCLE + 6 * clouds(shape, scale_px=3 / grid.pixel_mm, rng=rng)
        marbled = np.where(clouds(shape, scale_px=3.5 / grid.pixel_mm, rng=rng) > 1.25, FAT, tissue)
        canvas = np.where(body < 1, FAT + 8 * clouds(shape, scale_px=4 / grid.pixel_mm, rng=rng), AIR)
        canvas = np.where((body < 1) & (body > 1 - 2 / half_width), 20.0, canvas)
        canvas = np.where(muscle < 1, marbled, canvas)
        return self._table(np.asarray(canvas, dtype=np.float32))

    def _table(self, canvas: Field) -> Field:
        bend = 0.0006 * self.grid.x**2
        surface = self.grid.y + bend - (88 * self.build + 24 + self.fat_mm) + 1000 * (np.abs(self.grid.x) > 165)
        shell = ((surface > 0) & (surface < 2)) | ((surface > 22) & (surface < 24))
        canvas = np.where((surface > 0) & (surface < 24) & (canvas < -500), -930, canvas)
        return np.asarray(np.where(shell & (canvas < -500), -350, canvas), dtype=np.float32)

    def _bones(self, canvas: Field) -> Field:
        for starts, ends, widths in (self._ribs(), self._scapulae()):
            canvas = blend(canvas, CORTEX, self.grid.strokes(starts, ends, widths))
            canvas = blend(canvas, MARROW, self.grid.strokes(starts, ends, np.maximum(widths - 3.2, 0.7)))
        return self._vertebra(self._sternum(canvas))

    def _ribs(self) -> tuple[Points, Points, Points]:
        width, depth = self._cavity_axes
        phase = (self.level * 5.5) % 1.0
        angles = np.concatenate([np.linspace(-62, 58, 6) + 20 * phase, 180 - np.linspace(-62, 58, 6) - 20 * phase])
        radians = np.deg2rad(angles)
        half = np.deg2rad(4.5 + 2.5 * np.cos(radians * 3))
        middle = np.array([132 * self.build + 8, 88 * self.build + 8]) if self.level > 0.3 else np.array([width, depth])
        middle = middle + (0 if self.level > 0.3 else 8)

        def at(angle: Points) -> Points:
            return np.stack([middle[0] * np.cos(angle), middle[1] * np.sin(angle) + 1], axis=-1)

        return at(radians - half), at(radians + half), np.full(len(angles), 8.0)

    def _scapulae(self) -> tuple[Points, Points, Points]:
        if self.level > 0.5:
            return np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0)
        x, y = 108 * self.build, 92 * self.build
        starts = np.array([[-x - 26, y - 62], [x + 26, y - 62], [-x, y - 12], [x, y - 12]])
        ends = np.array([[-x, y - 12], [x, y - 12], [-x + 26, y + 4], [x - 26, y + 4]])
        return starts, ends, np.array([6.5, 6.5, 4.5, 4.5])

    def _sternum(self, canvas: Field) -> Field:
        if self.level < 0.12:
            return canvas
        y = -88 * self.build - 5
        across = self.grid.strokes(np.array([[-16.0, y]]), np.array([[16.0, y]]), np.array([11.0]))
        inside = self.grid.strokes(np.array([[-15.0, y]]), np.array([[15.0, y]]), np.array([7.5]))
        return blend(blend(canvas, 500, across), 120, inside)

    def _vertebra(self, canvas: Field) -> Field:
        y, grid = self._spine_y, self.grid
        body = grid.ellipse((0, y), (19, 15), power=2.6)
        posterior = np.array([[0.0, y + 27]]), np.array([[0.0, y + 46]])
        wings = np.array([[-6.0, y + 20], [6.0, y + 20]]), np.array([[-34.0, y + 30], [34.0, y + 30]])
        for starts, ends in (posterior, wings):
            canvas = blend(canvas, CORTEX, grid.strokes(starts, ends, np.full(len(starts), 8.0)))
            canvas = blend(canvas, MARROW, grid.strokes(starts, ends, np.full(len(starts), 5.0)))
        canvas = np.where(body < 1, np.where(body > 0.9, 520, 190), canvas).astype(np.float32)
        canvas = blend(canvas, 600, grid.disc((0, y + 22), 11.5))
        return blend(canvas, 25, grid.disc((0, y + 22), 8.5))

    def _mediastinum_mask(self) -> Mask:
        grid, narrow = self.grid, self._cavity_axes[0] / (132 * self.build)
        parts: list[Field] = [
            grid.ellipse((0, self._spine_y + 6), (25, 33)),
            grid.ellipse((1, -4), (29 * (0.65 + 0.35 * narrow), 58), power=2.3),
            np.asarray(np.abs(grid.x + 3) / 3.5 + 0 * grid.y, dtype=np.float32),
            grid.ellipse((21, 44), (14 * max(_ramp(self.level, 0.22, 0.3), 0.05), 14)),
        ]
        size = self.heart * _ramp(self.level, 0.42, 0.72)
        if size > 0:
            parts.append(self._heart_radius(size, 1.04))
        return np.asarray(np.minimum.reduce(parts) < 1)

    def _heart_radius(self, size: float, swell: float) -> Field:
        return self.grid.ellipse((22 * size, -26), (66 * size * swell, 43 * size * swell), power=2.1, tilt=0.42)

    def _domes(self) -> list[Field]:
        """Return the right and left diaphragm as radii; below 1 lies under it."""
        domes = []
        for side, start in ((-1, 0.80), (1, 0.84)):
            rise = math.sqrt(max(self.level - start, 0) / 0.2)
            if rise > 0:
                domes.append(self.grid.ellipse((side * 64, -14), (74 * rise, 72 * rise), power=2.2))
        return domes

    def _lungs(self) -> Mask:
        cavity = self.grid.ellipse((0, 0), self._cavity_axes, power=2.25) < 1
        inside = cavity & ~self._mediastinum_mask()
        for dome in self._domes():
            inside &= dome > 1
        smooth = gaussian_filter(inside.astype(np.float32), 2.5 / self.grid.pixel_mm)
        return np.asarray(smooth > 0.5)

    def _mediastinum(self, canvas: Field, rng: np.random.Generator) -> Field:
        inside = (self.grid.ellipse((0, 0), self._cavity_axes, power=2.25) < 1) & self._mediastinum_mask()
        fat = -70 + 18 * clouds(self.grid.shape, scale_px=2.5 / self.grid.pixel_mm, rng=rng)
        soft = gaussian_filter(inside.astype(np.float32), 1.0 / self.grid.pixel_mm)
        canvas = blend(canvas, np.asarray(fat, dtype=np.float32), np.asarray(soft, dtype=np.float32))
        size = self.heart * _ramp(self.level, 0.42, 0.72)
        if size > 0:
            canvas = np.where(self._heart_radius(size, 1.0) < 1, BLOOD + 5, canvas).astype(np.float32)
        return self._vertebra(self._great_vessels(canvas))

    def _great_vessels(self, canvas: Field) -> Field:
        level = self.level
        vessels = [((-24.0, -8.0), 8.5, 0.1, 0.6), ((-10.0, -20.0), 16.0, 0.27, 0.6), ((21.0, 44.0), 12.5, 0.26, 1.1)]
        vessels += [((16.0, -26.0), 14.0, 0.36, 0.55), ((14.0, 12.0), 5.5, -0.1, 0.22)]
        vessels += [((-12.0, -4.0), 7.0, -0.1, 0.24), ((12.0, 30.0), 7.0, -0.1, 1.1)]
        for centre, radius, top, bottom in vessels:
            if top <= level < bottom:
                canvas = blend(canvas, BLOOD, self.grid.disc(centre, radius))
        if 0.21 <= level < 0.30:
            arch = self.grid.strokes(np.array([[-6.0, -20.0]]), np.array([[21.0, 40.0]]), np.array([23.0]))
            canvas = blend(canvas, BLOOD, arch)
        if 0.42 <= level < 0.52:
            trunk = self.grid.strokes(np.array([[14.0, -22.0]]), np.array([[-36.0, 0.0]]), np.array([16.0]))
            canvas = blend(canvas, BLOOD, trunk)
        return canvas

    def _diaphragm(self, canvas: Field) -> Field:
        cavity = self.grid.ellipse((0, 0), self._cavity_axes, power=2.25) < 1
        for dome in self._domes():
            canvas = np.where(cavity & (dome < 1), LIVER, canvas).astype(np.float32)
        return canvas

    def _lung_tissue(self, lungs: Mask, rng: np.random.Generator) -> Field:
        tissue = parenchyma(self.grid.shape, self.grid.pixel_mm, rng)
        sunk = tissue + 22 * np.clip(self.grid.y / 88, -1, 1)  # blood sinks: the back is denser when supine
        depth = np.asarray(distance_transform_edt(lungs), dtype=np.float32) * self.grid.pixel_mm
        starts, ends, widths = self._vessel_tree(rng)
        fade = np.clip((depth - 3) / 5, 0, 1).astype(np.float32)
        return blend(np.asarray(sunk, dtype=np.float32), VESSEL_HU, self.grid.strokes(starts, ends, widths) * fade)

    def _vessel_tree(self, rng: np.random.Generator) -> tuple[Points, Points, Points]:
        """Return the parts of both lungs' vessels that lie in this plane: strokes where they run in it, else dots."""
        starts, ends, widths = [], [], []
        for side in (-1, 1):
            for angle in np.linspace(-1.45, 1.45, 8) + rng.normal(0, 0.12, 8):
                heading = angle if side > 0 else np.pi - angle
                segments = _branches(np.array([side * 34.0, 6.0]), heading, rng)
                for start, end, width in segments:
                    starts.append(start)
                    ends.append(start + (end - start) * (1.0 if rng.uniform() < 0.45 else 0.08))
                    widths.append(width)
        return np.array(starts), np.array(ends), np.array(widths)

    def _airways(self, canvas: Field, lungs: Mask) -> tuple[Field, Mask]:
        lungs = lungs.copy()
        for x, y, radius in self._airway_sections():
            canvas = blend(canvas, MUSCLE, self.grid.disc((x, y), radius * 1.12 + 1.0))
            canvas = blend(canvas, AIR, self.grid.disc((x, y), radius))
            lungs &= self.grid.ellipse((x, y), (radius + 1.5, radius + 1.5)) > 1
        return canvas, lungs

    def _airway_sections(self) -> list[tuple[float, float, float]]:
        level = self.level
        if level < 0.40:
            return [(1.0, 12.0, 8.5)]
        if level < 0.48:
            return [(side * (9 + 150 * (level - 0.40)), 12.0, 7.0) for side in (-1, 1)]
        if level > 0.78:
            return []
        down = level - 0.48
        lower = [(side * (30 + 55 * down), 12 + 60 * down, 4.6 - 4 * down) for side in (-1, 1)]
        return [*lower, *((side * (52 + 50 * down), 16.0, 2.2) for side in (-1, 1))]


def _branches(root: Points, heading: float, rng: np.random.Generator) -> list[tuple[Points, Points, float]]:
    """Grow one vessel by halving until it is thinner than 0.8 mm; keep a random part, the rest leaves the plane."""
    kept, growing = [], [(root, heading, rng.uniform(4.0, 6.5), 15.0)]
    while growing:
        start, angle, width, length = growing.pop()
        end = start + length * rng.uniform(0.7, 1.3) * np.array([np.cos(angle), np.sin(angle)])
        if rng.uniform() < (0.36 if width > 1.6 else 0.17):
            kept.append((start, end, width))
        if width < 0.8:
            continue
        growing.extend(
            (end, angle + turn * rng.uniform(0.12, 0.55), width * rng.uniform(0.66, 0.86), length * 0.93)
            for turn in (-1, 1)
        )
    return kept
