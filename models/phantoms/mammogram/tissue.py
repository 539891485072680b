# SPDX-License-Identifier: Apache-2.0
"""Fibro-glandular tissue, ligaments, vessels and skin of a phantom breast, as attenuation added to fat."""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from models.phantoms.mammogram.breast import Breast, Frame, ViewName
from models.phantoms.mammogram.fields import Field, blurred, grid_mm, power_law_noise, resized, soft_step

COARSE_MM = 0.8
GLAND_PER_CM = 0.32
"""Attenuation of gland above fat per cm, near 20 keV."""


def gland_cm(breast: Breast, view: ViewName, frame: Frame, *, distance_mm: Field, thickness: Field) -> Field:
    """Return the path through fibro-glandular tissue, in cm."""
    coarse = frame.at_pitch(COARSE_MM)
    rng = np.random.default_rng([breast.seed, 31, len(view)])
    envelope = _envelope(breast, coarse, rng)
    lumps = envelope * (0.35 + 0.65 * _lumpy(breast, coarse, rng=rng, envelope=envelope))
    strands = _radial_strands(breast, coarse, rng=rng)
    share = np.clip(lumps * (1 + 0.2 * strands), 0, None)
    fine = power_law_noise(rng, frame.shape, pitch_mm=frame.pitch_mm)
    field = resized(share, frame.shape) * (1 + 0.2 * fine) + 0.035 * (1 + fine)
    inner = soft_step(distance_mm - 5.0, 6.0)
    return np.asarray(np.clip(field, 0, 1.2) * inner * thickness * (0.25 + 0.5 * breast.gland), dtype=np.float32)


def _envelope(breast: Breast, frame: Frame, rng: np.random.Generator) -> Field:
    """The gland's fan: wide at mid depth, pointed at the nipple, with a ragged border."""
    columns, rows = grid_mm(frame.shape, frame.pitch_mm)
    depth = columns / breast.depth_mm
    size = 0.25 + 0.55 * breast.gland
    centre = frame.nipple_row_mm - rng.uniform(-0.02, 0.12) * breast.half_height_mm
    half = size * min(breast.half_width_mm, breast.half_height_mm)
    radius = ((rows - centre) / half) ** 2 + ((depth - 0.62) / (0.2 + 0.55 * size)) ** 2
    ragged = 0.75 * power_law_noise(rng, frame.shape, pitch_mm=frame.pitch_mm, beta=2.8)
    return soft_step(1.1 - np.sqrt(radius) + 0.45 * ragged, 0.9)


def _lumpy(breast: Breast, frame: Frame, *, rng: np.random.Generator, envelope: Field) -> Field:
    """A clustered lumpy background (Bochud 1999, Opt Express 4:33), its blobs drawn out towards the nipple."""
    canvas = np.zeros(frame.shape, dtype=np.float32)
    chance = (envelope + 0.02).ravel().astype(np.float64)
    clusters = rng.choice(chance.size, size=int(rng.integers(50, 90)), p=chance / chance.sum())
    for cluster in clusters:
        row, column = divmod(int(cluster), frame.columns)
        for _ in range(int(rng.poisson(14))):
            at = (row + rng.normal(0, 7), column + rng.normal(0, 7))
            _add_blob(canvas, at, breast=breast, frame=frame, rng=rng)
    return np.asarray(canvas / (np.percentile(canvas, 99) + 1e-6), dtype=np.float32)


def _add_blob(
    canvas: Field, at: tuple[float, float], *, breast: Breast, frame: Frame, rng: np.random.Generator
) -> None:
    row, column = round(at[0]), round(at[1])
    reach = 9
    if not (reach <= row < frame.rows - reach and reach <= column < frame.columns - reach):
        return
    towards = np.arctan2(frame.nipple_row_mm / COARSE_MM - row, breast.depth_mm / COARSE_MM - column)
    angle = towards + rng.normal(0, 0.8)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    long, short = rng.uniform(2.5, 5.0), rng.uniform(0.8, 1.9)
    blob = np.exp(-(((along / long) ** 2 + (across / short) ** 2) ** 0.75))
    canvas[row - reach : row + reach + 1, column - reach : column + reach + 1] += rng.uniform(0.4, 1.0) * blob


def _radial_strands(breast: Breast, frame: Frame, *, rng: np.random.Generator) -> Field:
    """Noise drawn out along rays from the nipple: ducts and stroma."""
    columns, rows = grid_mm(frame.shape, frame.pitch_mm)
    angle = np.arctan2(rows - frame.nipple_row_mm, breast.depth_mm + 6 - columns)
    radius = np.hypot(rows - frame.nipple_row_mm, breast.depth_mm + 6 - columns)
    polar = power_law_noise(rng, (512, 128), pitch_mm=1.0, beta=2.2)
    at = [(angle / np.pi + 0.5) * 511, np.broadcast_to(radius / 1.6, angle.shape)]
    return np.asarray(ndimage.map_coordinates(polar, at, order=1, mode="wrap"), dtype=np.float32)


def lines_cm(breast: Breast, view: ViewName, frame: Frame, *, distance_mm: Field) -> Field:
    """Return Cooper's ligaments (thin arcs) and vessels (long, thicker), as cm of gland."""
    rng = np.random.default_rng([breast.seed, 32, len(view)])
    ligaments = _arcs(breast, frame, rng=rng, count=int(rng.integers(60, 110)), length_mm=(10, 32), width_mm=0.5)
    vessels = _arcs(breast, frame, rng=rng, count=int(rng.integers(3, 8)), length_mm=(45, 90), width_mm=1.5)
    lines = 0.22 * blurred(ligaments, 0.25, pitch_mm=frame.pitch_mm) + 0.24 * blurred(
        vessels, 0.45, pitch_mm=frame.pitch_mm
    )
    return np.asarray(lines * soft_step(distance_mm - 3, 3), dtype=np.float32)


def _arcs(
    breast: Breast,
    frame: Frame,
    *,
    rng: np.random.Generator,
    count: int,
    length_mm: tuple[float, float],
    width_mm: float,
) -> Field:
    scale = max(frame.pitch_mm, 0.2)
    canvas = Image.new("F", (round(frame.columns * frame.pitch_mm / scale), round(frame.rows * frame.pitch_mm / scale)))
    pen = ImageDraw.Draw(canvas)
    for _ in range(count):
        points = _arc_points(breast, frame, rng=rng, length_mm=rng.uniform(*length_mm)) / scale
        width = max(1, round(width_mm * rng.uniform(0.6, 1.4) / scale))
        pen.line([(float(x), float(y)) for x, y in points], fill=float(rng.uniform(0.3, 1.0)), width=width)
    return resized(np.asarray(canvas), frame.shape)


def _arc_points(breast: Breast, frame: Frame, *, rng: np.random.Generator, length_mm: float) -> Field:
    """A bent line that starts anywhere in the breast and wanders, mostly towards the nipple."""
    start = rng.uniform((0.05, -0.85), (0.95, 0.85)) * (breast.depth_mm, breast.half_height_mm)
    heading = np.arctan2(-start[1], breast.depth_mm - start[0]) + rng.normal(0, 0.7)
    bend = rng.normal(0, 0.9) / length_mm
    steps = np.linspace(0, length_mm, 24)
    angle = heading + bend * steps + 0.1 * np.sin(steps / rng.uniform(2, 6))
    walk = np.cumsum(np.stack([np.cos(angle), np.sin(angle)], axis=1) * (length_mm / 24), axis=0)
    return np.asarray(walk + start + (0, frame.nipple_row_mm), dtype=np.float32)


def skin_cm(distance_mm: Field) -> Field:
    """Return the skin, 1.5 mm thick and seen edge-on, as cm of gland."""
    return np.asarray(0.7 * np.exp(-((distance_mm / 1.3) ** 2)) * (distance_mm > 0), dtype=np.float32)
