# SPDX-License-Identifier: Apache-2.0
"""The healthy head as functions of place: scalp, skull, grey and white matter, ventricles, cisterns.

Millimetres: x to the patient's left, y to the back, z to the head; the origin is the middle of the cranium.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.phantoms.volume import Volume, mixed, power_law_volume, sampled, soft_edge

AIR, SKIN, SCALP_FAT, CORTEX, DIPLOE = -1000.0, 40.0, -85.0, 1350.0, 420.0
CSF, WHITE, GREY, FALX, PLEXUS = 7.0, 29.0, 38.0, 52.0, 110.0
"""Hounsfield units at 120 kV: grey matter some 8 to 10 HU above white, cerebrospinal fluid near water."""

BRAIN_LEVEL_MM = 20.0
"""A height at which lateral ventricles and deep grey matter are seen."""
_SHAPE = 2.15
_GRID_MM = 2.5
_GRID = (72, 88, 72)

Ellipsoid = tuple[tuple[float, float, float], tuple[float, float, float]]
_BOTH_SIDES: dict[str, tuple[Ellipsoid, ...]] = {
    "ventricle": (
        ((8, -27, 13), (5, 13, 7)),
        ((9, 0, 21), (5, 26, 6)),
        ((20, 30, 12), (7, 13, 9)),
    ),
    "deep_grey": (
        ((14, -20, 8), (5, 10, 9)),
        ((25, -6, 4), (7, 14, 10)),
        ((11, 10, 6), (8, 13, 9)),
    ),
    "petrous": (((38, 20, -46), (23, 8, 8)),),
}
"""(centre, half axes) of what lies on both sides, given for the left one."""
_MIDDLE: dict[str, tuple[Ellipsoid, ...]] = {
    "ventricle": (((0, 4, 3), (2.2, 13, 10)), ((0, 40, -36), (7, 6, 8))),
    "cistern": (((0, -10, -26), (15, 9, 6)), ((0, 27, -6), (11, 5, 8)), ((0, 2, -34), (18, 5, 9))),
}


@dataclass(frozen=True, eq=False, slots=True)
class Plane:
    """The places of one axial plane in the head's own axes: x (1 or rows, columns), y and one z, in mm."""

    x: Volume
    y: Volume
    z: float


@dataclass(frozen=True, eq=False, slots=True)
class Layers:
    """Shares in [0, 1] and distances in mm of one plane; `depth_mm` is that below the inner table of the skull."""

    depth_mm: Volume
    csf: Volume
    cistern: Volume
    grey: Volume
    surface_mm: Volume


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Head:
    """One head: its proportions, and the two fields from which its folds and its texture come."""

    half_width: float
    half_length: float
    half_height: float
    scalp: float
    skull: float
    atrophy: float
    ventricles: float
    tilt: float
    folds: Volume
    texture: Volume

    @classmethod
    def of(cls, seed: int) -> "Head":
        """Draw an adult's head."""
        rng = np.random.default_rng([seed, 111])
        return cls(
            half_width=rng.uniform(72, 79),
            half_length=rng.uniform(88, 97),
            half_height=rng.uniform(80, 88),
            scalp=rng.uniform(4, 8),
            skull=rng.uniform(5.5, 8.5),
            atrophy=rng.uniform(0.5, 2.5),
            ventricles=rng.uniform(0.85, 1.3),
            tilt=rng.normal(0, 0.04),
            folds=_band(rng),
            texture=power_law_volume(_GRID, beta=2.2, rng=rng, longest=24),
        )

    def plane(self, *, matrix: int, pixel_mm: float, z: float) -> Plane:
        """Return the places of the pixels of a slice in the head's own axes: heads seldom lie quite straight."""
        line = ((np.arange(matrix) + 0.5 - matrix / 2) * pixel_mm).astype(np.float32)
        x, y, cos, sin = line[None, :], line[:, None], np.cos(self.tilt), np.sin(self.tilt)
        return Plane(np.asarray(cos * x + sin * y, np.float32), np.asarray(cos * y - sin * x, np.float32), z)

    def surface_mm(self, at: Plane) -> Volume:
        """Return the distance to the skin, positive inside, exact near the skin (first order)."""
        halves = self.half_width, self.half_length, self.half_height * (1 if at.z > 0 else 0.86)
        parts = [np.abs(at.x / halves[0]), np.abs(at.y / halves[1]), np.abs(at.z / halves[2])]
        radius = np.maximum(sum(part**_SHAPE for part in parts), 1e-6) ** (1 / _SHAPE)
        slopes = (part ** (_SHAPE - 1) / half for part, half in zip(parts, halves, strict=True))
        slope = np.sqrt(sum(each**2 for each in slopes)) * radius ** (1 - _SHAPE)
        return np.asarray((1 - radius) / np.maximum(slope, 1e-3), dtype=np.float32)

    def layers(self, at: Plane, *, shift_mm: float = 0.0) -> Layers:
        """Find skull, fluid and grey matter; what lies inside moves by `shift_mm` to the left, most in the middle."""
        surface = self.surface_mm(at)
        depth = surface - self.scalp - self.skull
        moved = self.moved(at, shift_mm=shift_mm)
        folds = _looked_up(self.folds, moved)
        outer = np.exp(-np.clip(depth - self.atrophy, 0, None) / 12)
        sulci = soft_edge(0.30 * outer * (0.5 + 0.5 * self.atrophy) - np.abs(folds), 0.25) * (outer > 0.12)
        rim = soft_edge(self.atrophy - depth, 1.0)
        fluid = np.maximum(self._ventricles(moved), self._cisterns(moved))
        grey = np.maximum(soft_edge(0.75 * outer - np.abs(folds), 0.5), soft_edge(self.atrophy + 3.2 - depth, 1.5))
        grey = np.maximum(grey, self._any("deep_grey", moved, both=True, size=1.0, width=2.0))
        return Layers(
            depth_mm=np.asarray(depth, dtype=np.float32),
            csf=np.asarray(np.maximum(np.maximum(sulci, rim), fluid), dtype=np.float32),
            cistern=np.asarray(np.maximum(self._cisterns(moved), 0.8 * sulci), dtype=np.float32),
            grey=np.asarray(grey, dtype=np.float32),
            surface_mm=surface,
        )

    @staticmethod
    def moved(at: Plane, *, shift_mm: float) -> Plane:
        """Return where the tissue that is seen at a place comes from, the midline pushed by `shift_mm` to the left."""
        near = np.exp(-((at.x / 45) ** 2) - ((at.y + 5) / 60) ** 2 - ((at.z - 10) / 50) ** 2)
        return Plane(np.asarray(at.x - shift_mm * near, dtype=np.float32), at.y, at.z)

    def draw(self, layers: Layers, at: Plane, *, shift_mm: float = 0.0) -> Volume:
        """Return the healthy head in Hounsfield units before scanning."""
        moved = self.moved(at, shift_mm=shift_mm)
        texture = _looked_up(self.texture, moved)
        brain = mixed(np.asarray(WHITE + 0.9 * texture, dtype=np.float32), GREY + 0.9 * texture, layers.grey)
        brain = mixed(brain, CSF, layers.csf)
        brain = mixed(
            brain, FALX, soft_edge(0.9 - np.abs(moved.x), 0.8) * soft_edge(26 - layers.depth_mm, 4) * (at.z > -10)
        )
        plexus = self._any("ventricle", moved, both=True, size=0.45, width=1.0) * (at.y > 20)
        brain = mixed(brain, PLEXUS, 0.7 * plexus)
        brain = mixed(brain, 0.8 * CORTEX, self._any("petrous", at, both=True, size=1.0, width=2.0))
        return self._covered(brain, layers)

    def _covered(self, brain: Volume, layers: Layers) -> Volume:
        """Put skull, scalp and air around the brain: two tables of compact bone with spongy bone between them."""
        outside = layers.surface_mm
        head = mixed(brain, CORTEX, soft_edge(self.scalp + self.skull - outside, 0.6))
        head = mixed(
            head,
            DIPLOE,
            soft_edge(self.scalp + self.skull - 1.7 - outside, 0.5) * soft_edge(outside - self.scalp - 1.9, 0.5),
        )
        head = mixed(head, SCALP_FAT, soft_edge(self.scalp - outside, 0.5))
        head = mixed(head, SKIN, soft_edge(2.0 - outside, 0.5))
        return mixed(head, AIR, soft_edge(-outside, 0.5))

    def _ventricles(self, at: Plane) -> Volume:
        sides = self._any("ventricle", at, both=True, size=self.ventricles, width=1.5)
        return np.maximum(sides, self._any("ventricle", at, both=False, size=self.ventricles, width=1.0))

    def _cisterns(self, at: Plane) -> Volume:
        return self._any("cistern", at, both=False, size=0.7 + 0.2 * self.atrophy, width=1.5)

    def _any(self, name: str, at: Plane, *, both: bool, size: float, width: float) -> Volume:
        """Return the share of a union of ellipsoids, scaled to this head."""
        parts = (_BOTH_SIDES if both else _MIDDLE)[name]
        scale = self.half_width / 75, self.half_length / 92, self.half_height / 84
        across = np.abs(at.x) if both else at.x
        total = np.zeros(np.broadcast_shapes(at.x.shape, at.y.shape), dtype=np.float32)
        for centre, half in parts:
            offsets = (across / scale[0] - centre[0], at.y / scale[1] - centre[1], at.z / scale[2] - centre[2])
            radius = np.sqrt(sum((offset / (size * axis)) ** 2 for offset, axis in zip(offsets, half, strict=True)))
            np.maximum(total, soft_edge((1 - radius) * size * min(half), width), out=total)
        return total


def _looked_up(field: Volume, at: Plane) -> Volume:
    """Return a field over the head at the places of a plane."""
    return sampled(field, (at.z + 0 * at.x, at.y + 0 * at.x, at.x + 0 * at.y), step_mm=_GRID_MM)


def _band(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a field of folds some 10 mm wide, unit variance: the zero crossings are the sulci."""
    return power_law_volume(_GRID, beta=6.0, rng=rng, longest=7)
