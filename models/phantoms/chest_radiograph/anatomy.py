# SPDX-License-Identifier: Apache-2.0
"""The soft parts of a chest radiograph phantom: body, lungs, mediastinum and diaphragm as functions of place.

Body coordinates are millimetres: x to the picture's right (the patient's left), y downwards, (0, 0) on the midline at
the level of the lung apices.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.phantoms.chest_radiograph.texture import FloatImage

FloatField = NDArray[np.float64]
RIGHT, LEFT = -1, 1
"""Sides by the sign of x: the patient's right lies at negative x."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """The measures of one body; lengths in mm, `*_right`/`*_left` by the patient's side."""

    height: float
    half_width_right: float
    half_width_left: float
    apex_x: float
    apex_left_y: float
    dome_right: float
    dome_left: float
    dome_fall: float
    heart_left: float
    heart_right: float
    aortic_knob: float
    mediastinum_shift: float
    thickness: float
    wall: float
    breast: float
    stomach_bubble: float
    tilt_degrees: float
    centre_x: float
    centre_y: float

    def half_width(self, side: int) -> float:
        """Half width of the rib cage on that side."""
        return self.half_width_right if side == RIGHT else self.half_width_left


def random_build(rng: np.random.Generator) -> Build:
    """Draw the measures of an adult."""
    height = rng.uniform(215, 285)
    width = height * rng.uniform(0.50, 0.62)
    dome = rng.uniform(0.76, 0.84) * height
    return Build(
        height=height,
        half_width_right=width * rng.uniform(0.96, 1.04),
        half_width_left=width * rng.uniform(0.96, 1.04),
        apex_x=rng.uniform(42, 56),
        apex_left_y=rng.uniform(-5, 5),
        dome_right=dome,
        dome_left=dome + rng.uniform(-2, 18),
        dome_fall=height - dome + rng.uniform(-10, 5),
        heart_left=rng.uniform(0.5, 0.66) * width,
        heart_right=rng.uniform(34, 46),
        aortic_knob=rng.uniform(2, 12),
        mediastinum_shift=rng.normal(0, 3.5),
        thickness=rng.uniform(195, 265),
        wall=rng.uniform(34, 66),
        breast=max(0.0, rng.uniform(-30, 32)),
        stomach_bubble=rng.uniform(-15, 22),
        tilt_degrees=float(np.clip(rng.normal(0, 1.8), -5, 5)),
        centre_x=rng.normal(0, 5),
        centre_y=height * 0.5 + rng.normal(0, 8),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Body coordinates of every pixel of an image of `shape` (rows, columns) and `pitch_mm`."""

    shape: tuple[int, int]
    pitch_mm: float
    tilt: float
    centre_x: float
    centre_y: float

    @classmethod
    def of(cls, build: Build, *, shape: tuple[int, int], pitch_mm: float) -> "Grid":
        """Make the grid on which this body is projected."""
        tilt = float(np.deg2rad(build.tilt_degrees))
        return cls(shape=shape, pitch_mm=pitch_mm, tilt=tilt, centre_x=build.centre_x, centre_y=build.centre_y)

    def coordinates(self) -> tuple[FloatField, FloatField]:
        """Return x and y of the pixel centres, each of `shape`."""
        rows = (np.arange(self.shape[0]) + 0.5 - self.shape[0] / 2)[:, None] * self.pitch_mm
        columns = (np.arange(self.shape[1]) + 0.5 - self.shape[1] / 2)[None, :] * self.pitch_mm
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        return cos * columns + sin * rows + self.centre_x, cos * rows - sin * columns + self.centre_y

    def pixels(self, x: FloatField, y: FloatField) -> tuple[FloatField, FloatField]:
        """Return the column and row (pixel centres at whole numbers) of places in the body."""
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        across, down = x - self.centre_x, y - self.centre_y
        column = (cos * across - sin * down) / self.pitch_mm + self.shape[1] / 2 - 0.5
        row = (cos * down + sin * across) / self.pitch_mm + self.shape[0] / 2 - 0.5
        return column, row


def step(distance: FloatField, width: float) -> FloatField:
    """Return a soft step: 0 well below zero, 1 well above, `width` mm wide."""
    return np.asarray(0.5 + 0.5 * np.tanh(distance / width))


def _bump(t: FloatField, centre: float, width: float) -> FloatField:
    return np.asarray(np.exp(-(((t - centre) / width) ** 2)))


def lateral_border(build: Build, y: FloatField, *, side: int) -> FloatField:
    """Return |x| of the inner chest wall at height y."""
    t = np.clip((y - _apex_y(build, side)) / build.height, 0, 1)
    opening = (1 - (1 - t) ** 2.3) ** 0.47
    return np.asarray(build.apex_x + (build.half_width(side) - build.apex_x) * opening)


def medial_border(build: Build, y: FloatField, *, side: int) -> FloatField:
    """Return side*x of the mediastinal border at height y: great vessels and heart."""
    t = np.clip((y - _apex_y(build, side)) / build.height, 0, 1)
    contour = _right_contour(build, t) if side == RIGHT else _left_contour(build, t)
    cupola = np.sqrt(np.clip(1 - (1 - np.minimum(t / 0.11, 1)) ** 2, 0, 1))
    return np.asarray(build.apex_x + (contour + side * build.mediastinum_shift - build.apex_x) * cupola)


def _right_contour(build: Build, t: FloatField) -> FloatField:
    atrium = _bump(t, 0.68, 0.19)
    return 22 + 5 * _bump(t, 0.42, 0.1) + (build.heart_right - 22) * atrium


def _left_contour(build: Build, t: FloatField) -> FloatField:
    vessels = 24 + build.aortic_knob * _bump(t, 0.27, 0.055) + 7 * _bump(t, 0.41, 0.06)
    apex = np.sqrt(np.clip(1 - np.clip((t - 0.8) / 0.32, 0, 1) ** 2, 0, 1))
    return np.asarray(vessels + (build.heart_left - 24) * step(t - 0.57, 0.12) * apex)


def dome(build: Build, x: FloatField, *, side: int) -> FloatField:
    """Return y of the diaphragm's dome below |x|."""
    top = build.dome_right if side == RIGHT else build.dome_left
    width = build.half_width(side)
    summit = 0.5 * width
    lateral = np.clip((x - summit) / (width - summit), 0, 1.3) ** 2.5 * build.dome_fall
    medial = np.clip((summit - x) / summit, 0, 1) ** 2 * 13
    return np.asarray(top + lateral + medial)


def _apex_y(build: Build, side: int) -> float:
    return 0.0 if side == RIGHT else build.apex_left_y


@dataclass(frozen=True, slots=True, kw_only=True)
class LungField:
    """Signed distances (mm, positive inside) of every pixel to the borders of one lung, measured along the axes."""

    lateral: FloatField
    medial: FloatField
    diaphragm: FloatField
    apex: FloatField
    midline: FloatField

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The visible, aerated lung."""
        return np.asarray(np.minimum.reduce((self.lateral, self.medial, self.diaphragm, self.apex)) > 0)


def lung_field(build: Build, x: FloatField, y: FloatField, *, side: int) -> LungField:
    """Measure one lung over the whole image."""
    across = side * x
    return LungField(
        lateral=lateral_border(build, y, side=side) - across,
        medial=across - medial_border(build, y, side=side),
        diaphragm=dome(build, across, side=side) - y,
        apex=y - _apex_y(build, side),
        midline=across,
    )


def air_path(build: Build, field: LungField) -> FloatField:
    """Return the length of aerated lung along the ray, mm: full in the open field, a rest behind heart and dome."""
    wall = np.sqrt(np.clip(field.lateral / 75, 0, 1)) * step(field.lateral - 1, 1.0)
    cupola = np.clip(field.apex / 70, 0, 1) ** 0.6
    behind_heart = 0.30 + 0.70 * step(field.medial, 1.3)
    beside_spine = step(field.midline - 19, 7)
    recess = 0.32 * np.exp(-np.clip(-field.diaphragm, 0, None) / 22)
    above_dome = recess + (1 - recess) * step(field.diaphragm, 0.8)
    return np.asarray(0.72 * build.thickness * wall * cupola * behind_heart * beside_spine * above_dome)


def body_path(build: Build, x: FloatField, y: FloatField) -> FloatField:
    """Return the length of body along the ray, mm, lungs counted as solid."""
    half = np.maximum(build.half_width_right, build.half_width_left) + build.wall
    waist = half * (0.93 + 0.07 * np.clip(y / build.height, 0, 1.3))
    torso = build.thickness * np.clip(1 - (np.abs(x) / waist) ** 5, 0, 1) ** (1 / 2.0)
    torso = torso * (0.62 + 0.38 * step(y - 25, 45)) * step(y + 48 - 0.16 * np.abs(x), 16)
    shoulder = _ellipse((np.abs(x) - 175) / 135, (y - 22) / 92) * 150
    neck = 140 * np.sqrt(np.clip(1 - (x / 64) ** 2, 0, 1)) * step(60 - y, 30)
    breast = build.breast * _ellipse((np.abs(x) - 78) / 62, (y - 0.68 * build.height) / 58) * 1.2
    trunk = (torso**3 + shoulder**3 + neck**3) ** (1 / 3)
    return np.asarray(trunk + breast - _airway(build, x, y) - _stomach(build, x, y))


def _airway(build: Build, x: FloatField, y: FloatField) -> FloatField:
    """Return the air of the trachea and the main bronchi along the ray, mm."""
    carina = 0.30 * build.height
    middle = build.mediastinum_shift
    trachea = 15 * np.sqrt(np.clip(1 - ((x - middle - 2) / 9) ** 2, 0, 1)) * step(carina - y, 4)
    along = (y - carina) / 45
    bronchi = np.zeros_like(trachea)
    for side, reach in ((RIGHT, 32.0), (LEFT, 42.0)):
        bronchi += 10 * np.sqrt(np.clip(1 - ((x - middle - side * along * reach) / 8) ** 2, 0, 1))
    return np.asarray(trachea + bronchi * ((along > 0) & (along < 1)) * (1 - along))


def _stomach(build: Build, x: FloatField, y: FloatField) -> FloatField:
    """Return the air of the stomach bubble below the left dome, mm."""
    size = max(build.stomach_bubble, 0.0)
    return 2.6 * size * _ellipse((x - 62) / (size + 12), (y - build.dome_left - 16 - size) / (size + 6))


def _ellipse(u: FloatField, v: FloatField) -> FloatField:
    return np.asarray(np.sqrt(np.clip(1 - u**2 - v**2, 0, 1)))


def as_float32(image: FloatField) -> FloatImage:
    """Return the image in single precision."""
    return np.asarray(image, dtype=np.float32)
