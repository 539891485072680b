# SPDX-License-Identifier: Apache-2.0
"""A lateral chest radiograph: the view that the ILO classification does not know, for the gates that refuse it.

Millimetres: u to the patient's back (the picture's right), y downwards from the level of the lung apices. Coarser than
the frontal phantom: lungs, heart, spine, sternum and diaphragm, no disease.
"""

import numpy as np

from models.phantoms.chest_radiograph.anatomy import Build, FloatField, as_float32, random_build, step
from models.phantoms.chest_radiograph.film import (
    BONE_PER_MM,
    LUNG_DENSITY,
    TISSUE_PER_MM,
    Scanner,
    develop,
    expose,
    random_scanner,
)
from models.phantoms.chest_radiograph.texture import FloatImage, power_law_noise

_VERTEBRA_MM = 24.0


def lateral_film(
    seed: int, *, shape: tuple[int, int] = (840, 760), pitch_mm: float = 0.5, scanner: Scanner | None = None
) -> FloatImage:
    """Return a left lateral film as display grey in [0, 1], the patient facing the picture's left."""
    rng = np.random.default_rng([seed, 4])
    build, shown = random_build(rng), scanner or random_scanner(rng)
    down = (np.arange(shape[0], dtype=np.float64)[:, None] + 0.5 - shape[0] / 2) * pitch_mm + 0.5 * build.height
    back = (np.arange(shape[1], dtype=np.float64)[None, :] + 0.5 - shape[1] / 2) * pitch_mm
    u, y = (np.asarray(each, dtype=np.float64) for each in np.broadcast_arrays(back, down))
    air = _air_path(build, u, y)
    tissue = _body_path(build, u, y) - (1 - LUNG_DENSITY) * air
    tissue = np.asarray(tissue * (1 + 0.012 * power_law_noise(shape, beta=2.6, rng=rng)), dtype=np.float64)
    depth = as_float32(TISSUE_PER_MM * tissue + BONE_PER_MM * _bone_path(build, u, y))
    return develop(expose(depth, shown, pitch_mm=pitch_mm, rng=rng), shown, pitch_mm=pitch_mm)


def _half_depth(build: Build, y: FloatField) -> FloatField:
    """Return half the depth of the rib cage from breastbone to back at height y."""
    return 0.5 * build.thickness * (0.55 + 0.45 * np.clip(y / (0.45 * build.height), 0, 1) ** 0.7)


def _body_path(build: Build, u: FloatField, y: FloatField) -> FloatField:
    width = 2 * (max(build.half_width_right, build.half_width_left) + build.wall)
    depth = _half_depth(build, y) + 0.55 * build.wall
    trunk = 0.8 * width * np.sqrt(np.clip(1 - (u / depth) ** 4, 0, 1)) * step(y + 60, 20)
    arms = 90 * np.sqrt(np.clip(1 - ((u + 20) / 60) ** 2, 0, 1)) * step(10 - y, 30)
    return np.asarray(trunk + arms)


def _air_path(build: Build, u: FloatField, y: FloatField) -> FloatField:
    """Return both lungs along the ray, less what the heart takes in front and below."""
    depth = _half_depth(build, y) - 6
    wall = np.sqrt(np.clip(1 - (u / depth) ** 2, 0, 1))
    dome = 0.80 * build.height + np.where(u > 0, 0.26 * build.height * np.clip(u / depth, 0, 1) ** 2, 0)
    lungs = 0.85 * (build.half_width_right + build.half_width_left) * wall * step(dome - y, 1.5) * step(y + 8, 12)
    centre_u, centre_y = -0.22 * build.thickness, 0.62 * build.height
    heart = np.sqrt(np.clip(1 - ((u - centre_u) / 58) ** 2 - ((y - centre_y) / 62) ** 2, 0, 1))
    return np.asarray(np.maximum(lungs - 115 * heart, 0))


def _bone_path(build: Build, u: FloatField, y: FloatField) -> FloatField:
    """Return spine with its discs, breastbone, and ribs that fall forwards."""
    back = _half_depth(build, y) - 28
    discs = 0.6 + 0.4 * np.cos(2 * np.pi * y / _VERTEBRA_MM)
    spine = 26 * np.sqrt(np.clip(1 - ((u - back) / 17) ** 2, 0, 1)) * (0.45 + 0.55 * discs)
    sternum = 12 * np.exp(-(((u + _half_depth(build, y) - 4) / 6) ** 2)) * step(0.6 * build.height - y, 15)
    ribs = 4 * np.clip(np.cos(2 * np.pi * (y - 0.45 * u) / 26), 0.6, 1) - 2.4
    return np.asarray((spine + sternum + ribs * (np.abs(u) < _half_depth(build, y))) * step(y + 20, 10))
