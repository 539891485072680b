# SPDX-License-Identifier: Apache-2.0
"""Procedural PA chest radiographs with known lungs, heart and dust opacities, made by the physics of the exposure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from models.phantoms.chest_radiograph.anatomy import (
    LEFT,
    RIGHT,
    Build,
    Grid,
    LungField,
    air_path,
    as_float32,
    body_path,
    lung_field,
    random_build,
)
from models.phantoms.chest_radiograph.bones import bone_path
from models.phantoms.chest_radiograph.opacities import NORMAL, Disease, opacity_path, vessel_path
from models.phantoms.chest_radiograph.texture import FloatImage, power_law_noise, smooth

TISSUE_PER_MM = 0.0195
"""Linear attenuation of soft tissue at the mean energy of a 120 kV beam (about 65 keV)."""
BONE_PER_MM = 0.047
LUNG_DENSITY = 0.24


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Anatomy:
    """One body without disease: optical depth, the masks of its parts and the ILO zones."""

    build: Build
    pitch_mm: float
    optical_depth: FloatImage
    lung: FloatImage
    """Share of the ray's way that is aerated, 0..1: opacities and texture live there."""
    masks: NDArray[np.bool_]
    """(3, rows, columns): right lung, left lung, heart."""
    zones: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scanner:
    """How the exposure is made and shown: dose, sharpness, scatter and the tone of the display."""

    photons_per_mm2: float = 1.2e5
    blur_mm: float = 0.22
    scatter: float = 0.35
    detail: float = 1.35
    latitude: float = 0.72
    contrast: float = 1.0
    brightness: float = 0.0
    gamma: float = 1.0


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Radiograph:
    """A finished phantom radiograph: display grey in [0, 1], 1 is white; PA, patient's left on the picture's right."""

    pixels: FloatImage
    opacity_mm: FloatImage
    """What the disease adds along the ray, as mm of soft tissue: the truth of every pixel."""
    anatomy: Anatomy
    disease: Disease


def random_scanner(rng: np.random.Generator) -> Scanner:
    """Draw an everyday scanner."""
    return Scanner(
        photons_per_mm2=float(rng.uniform(0.8e5, 2e5)),
        blur_mm=rng.uniform(0.15, 0.3),
        scatter=rng.uniform(0.25, 0.45),
        detail=rng.uniform(1.1, 1.7),
        latitude=rng.uniform(0.6, 0.85),
        contrast=rng.uniform(0.85, 1.2),
        brightness=rng.uniform(-0.15, 0.15),
    )


def shifted_scanner(rng: np.random.Generator) -> Scanner:
    """Draw a scanner unlike those of the training: a third of the dose, more blur, another tone curve."""
    base = random_scanner(rng)
    return replace(
        base,
        photons_per_mm2=base.photons_per_mm2 * 0.32,
        blur_mm=base.blur_mm + rng.uniform(0.12, 0.28),
        contrast=base.contrast * rng.choice([0.72, 1.35]),
        gamma=float(rng.choice([0.7, 1.4])),
        detail=rng.uniform(0.9, 2.0),
    )


def anatomy(seed: int, *, shape: tuple[int, int] = (840, 760), pitch_mm: float = 0.5) -> Anatomy:
    """Make the body with this number; the same number gives the same body at every pitch but for fine texture."""
    rng = np.random.default_rng([seed, 1])
    build = random_build(rng)
    grid = Grid.of(build, shape=shape, pitch_mm=pitch_mm)
    x, y = grid.coordinates()
    fields = {side: lung_field(build, x, y, side=side) for side in (RIGHT, LEFT)}
    air = as_float32(np.maximum(air_path(build, fields[RIGHT]) * (x < 0), air_path(build, fields[LEFT]) * (x >= 0)))
    lung = air / (0.72 * build.thickness)
    tissue = as_float32(body_path(build, x, y)) - (1 - LUNG_DENSITY) * air
    tissue += rng.uniform(0.9, 1.8) * np.sqrt(lung) * vessel_path(build, grid, rng=rng)
    tissue *= 1 + 0.012 * power_law_noise(shape, beta=2.6, rng=rng)
    masks = np.stack([fields[RIGHT].mask & (x < 0), fields[LEFT].mask & (x >= 0), _heart(build, fields, y)])
    return Anatomy(
        build=build,
        pitch_mm=pitch_mm,
        optical_depth=TISSUE_PER_MM * tissue + BONE_PER_MM * bone_path(build, grid, rng=rng),
        lung=lung,
        masks=masks,
        zones=zone_map(masks),
    )


def _heart(build: Build, fields: Mapping[int, LungField], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    level = (y > 0.42 * build.height) & (y < build.dome_right + 8)
    return np.asarray((fields[RIGHT].medial < 0) & (fields[LEFT].medial < 0) & level)


def zone_map(masks: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return 1..6 (RU RM RL LU LM LL) inside the lungs: each lung cut into equal thirds of its height."""
    zones = np.zeros(masks.shape[1:], dtype=np.uint8)
    for lung, first in ((masks[0], 1), (masks[1], 4)):
        rows = np.flatnonzero(lung.any(axis=1))
        cuts = np.linspace(rows[0], rows[-1] + 1, 4)
        third = np.searchsorted(cuts[1:3], np.arange(lung.shape[0]) + 0.5)
        zones[lung] = (third[:, None] + first).repeat(lung.shape[1], axis=1)[lung]
    return zones


def radiograph(
    body: Anatomy,
    *,
    disease: Disease = NORMAL,
    scanner: Scanner | None = None,
    seed: int = 0,
    marker: bool = True,
    added_mm: FloatImage | None = None,
) -> Radiograph:
    """Expose a body with a disease on a scanner; the same arguments, the same picture.

    `added_mm` is whatever else lies on each ray, mm of soft tissue, such as `pleura.pleural_path` draws.
    """
    rng = np.random.default_rng([seed, 2])
    shown = scanner or random_scanner(rng)
    drawn = np.random.default_rng([seed, 3])  # of its own, so that everything else stays as it is without disease
    opacity_mm = np.sqrt(body.lung) * opacity_path(disease, body.zones, pitch_mm=body.pitch_mm, rng=drawn)
    depth = body.optical_depth + TISSUE_PER_MM * (opacity_mm + _harmless(body, rng))
    depth = depth if added_mm is None else depth + TISSUE_PER_MM * added_mm
    grey = develop(expose(depth, shown, pitch_mm=body.pitch_mm, rng=rng), shown, pitch_mm=body.pitch_mm)
    if marker:
        _stamp(grey, body, rng)
    return Radiograph(pixels=grey, opacity_mm=opacity_mm, anatomy=body, disease=disease)


def _harmless(body: Anatomy, rng: np.random.Generator) -> FloatImage:
    """Return what every exposure adds inside the lungs, mm: fine interstitium and a few look-alikes of disease."""
    interstitium = rng.uniform(0.5, 2.2) * power_law_noise(body.zones.shape, beta=rng.uniform(1.7, 2.4), rng=rng)
    harmless = Disease(levels=dict.fromkeys(("RM", "LM"), int(rng.integers(0, 3))), primary="q", secondary="r")
    alike = opacity_path(harmless, body.zones, pitch_mm=body.pitch_mm, rng=rng) * float(rng.random() < 0.3)
    return np.sqrt(body.lung) * (interstitium + 0.8 * alike)


def expose(depth: FloatImage, scanner: Scanner, *, pitch_mm: float, rng: np.random.Generator) -> FloatImage:
    """Return the log exposure: Beer-Lambert, scatter, blur, Poisson noise at the detector."""
    primary = np.exp(-depth)
    scattered = smooth(primary, sigma=40 / pitch_mm)
    arriving = (1 - scanner.scatter) * primary + scanner.scatter * scattered
    sharp = smooth(arriving, sigma=max(scanner.blur_mm / pitch_mm, 0.25))
    quanta = rng.poisson(np.maximum(sharp, 0) * scanner.photons_per_mm2 * pitch_mm**2)
    return as_float32(-np.log((quanta + 1.0) / (scanner.photons_per_mm2 * pitch_mm**2)))


def develop(log_exposure: FloatImage, scanner: Scanner, *, pitch_mm: float) -> FloatImage:
    """Return display grey as a modern console shows it: large areas evened out, detail raised, a film-like curve."""
    even = smooth(log_exposure, sigma=14 / pitch_mm)
    tone = scanner.latitude * even + scanner.detail * scanner.latitude * (log_exposure - even)
    inner = tone[tone.shape[0] // 6 : -tone.shape[0] // 6, tone.shape[1] // 6 : -tone.shape[1] // 6]
    low, high = np.percentile(inner, (6, 94))
    place = (tone - (low + high) / 2) / (high - low) * scanner.contrast + 0.5 * scanner.brightness
    return as_float32(1 / (1 + np.exp(-3.3 * place - 0.5)) ** scanner.gamma)


def _stamp(grey: FloatImage, body: Anatomy, rng: np.random.Generator) -> None:
    """Lay the lead letter R or L beside the shoulder on its side of the picture."""
    letter, column = ("R", rng.uniform(0.05, 0.12)) if rng.random() < 0.6 else ("L", rng.uniform(0.87, 0.93))
    size = max(8, int(rng.uniform(11, 17) / body.pitch_mm))
    stamp = Image.new("L", (size, size), 0)
    ImageDraw.Draw(stamp).text((size * 0.15, 0), letter, fill=255, font=ImageFont.load_default(size * 0.85))
    top, left = int(grey.shape[0] * rng.uniform(0.04, 0.22)), int(grey.shape[1] * column)
    ink = np.asarray(stamp, dtype=np.float32)[: grey.shape[0] - top, : grey.shape[1] - left] / 255
    place = grey[top : top + ink.shape[0], left : left + ink.shape[1]]
    place += ink * (0.97 - place)


def stored(picture: Radiograph, *, bits: int = 12) -> NDArray[np.uint16]:
    """Return the picture as stored values of `bits` bits, high is white."""
    return np.round(picture.pixels * ((1 << bits) - 1)).astype(np.uint16)
