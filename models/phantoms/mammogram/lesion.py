# SPDX-License-Identifier: Apache-2.0
"""Masses, calcifications and benign distractors, as attenuation added to the tissue of a phantom breast."""

import numpy as np
from numpy.typing import NDArray

from models.phantoms.mammogram.breast import Breast, Frame, Lesion, ViewName, projected_mm
from models.phantoms.mammogram.fields import Field, grid_mm

CALCIUM_PER_CM = 6.0


def add_lesion(attenuation: Field, lesion: Lesion, view: ViewName, *, frame: Frame) -> None:
    """Add a lesion: its body, strands and calcifications, to the attenuation in place."""
    column, row = projected_mm(lesion, view, frame)
    rng = np.random.default_rng([lesion.seed, len(view)])
    reach = lesion.radius_mm * (3.2 if lesion.spicules else 1.8) + 3
    window = _window(frame, column, row, reach_mm=reach)
    x, y = _relative_mm(frame, window, column, row)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    attenuation[window] += lesion.density_per_cm / 10 * _body_mm(lesion, radius, angle, rng=rng)
    for _ in range(lesion.spicules):
        attenuation[window] += _spicule(lesion, radius, angle, rng=rng)
    for _ in range(lesion.calcifications):
        east, south = rng.normal(0, lesion.radius_mm * 0.45, size=2)
        _add_calcification(attenuation[window], x, y, at=(east, south), size_mm=rng.uniform(0.15, 0.45))


def _body_mm(lesion: Lesion, radius: Field, angle: Field, *, rng: np.random.Generator) -> NDArray[np.floating]:
    """The thickness (mm) of a ball whose radius varies with the angle as a random Fourier series."""
    edge = np.ones_like(angle)
    for order in range(2, 9):
        size = rng.normal(0, (0.16 if lesion.spicules else 0.1) / (order - 1))
        edge += size * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    inside = np.clip(1 - (radius / (lesion.radius_mm * np.clip(edge, 0.55, 1.6))) ** 2, 0, None)
    softness = 1.0 if lesion.spicules else 0.6
    return np.asarray(2 * lesion.radius_mm * inside**softness)


def _spicule(lesion: Lesion, radius: Field, angle: Field, *, rng: np.random.Generator) -> NDArray[np.floating]:
    """A strand that leaves the mass, bends a little and fades."""
    length = lesion.radius_mm * rng.uniform(1.5, 3.0)
    bent = angle - rng.uniform(-np.pi, np.pi) - rng.normal(0, 0.02) * radius
    across = radius * np.sin(bent)
    ahead = (np.cos(bent) > 0) & (radius < length)
    fade = np.clip(1 - radius / length, 0, 1) * np.clip(radius / (0.5 * lesion.radius_mm), 0, 1)
    return np.asarray(0.11 * rng.uniform(0.5, 1) * np.exp(-((across / 0.45) ** 2)) * ahead * fade)


def _add_calcification(part: Field, x: Field, y: Field, *, at: tuple[float, float], size_mm: float) -> None:
    """Add a calcification to a part of the attenuation, where it is not nothing; x and y are as `_relative_mm` says."""
    near = [np.flatnonzero(np.abs(axis - place) <= 4 * size_mm) for axis, place in ((x[0], at[0]), (y[:, 0], at[1]))]
    if near[0].size and near[1].size:
        spot = slice(near[1][0], near[1][-1] + 1), slice(near[0][0], near[0][-1] + 1)
        part[spot] += _calcification(x[spot] - at[0], y[spot] - at[1], size_mm)


def _calcification(x: Field, y: Field, size_mm: float) -> NDArray[np.floating]:
    return np.asarray(CALCIUM_PER_CM * size_mm / 10 * np.exp(-(x**2 + y**2) / (0.5 * size_mm**2)))


def add_distractors(attenuation: Field, breast: Breast, view: ViewName, *, frame: Frame) -> None:
    """Add benign marks that must not be detected: small lymph nodes, oil cysts, coarse calcifications."""
    rng = np.random.default_rng([breast.seed, 41])
    for _ in range(breast.distractors):
        depth, lateral = rng.uniform(0.15, 0.8) * breast.depth_mm, rng.uniform(-0.5, 0.5) * breast.half_width_mm
        column, row = depth, frame.nipple_row_mm - lateral * (1.0 if view == "CC" else 0.8)
        window = _window(frame, column, row, reach_mm=9)
        x, y = _relative_mm(frame, window, column, row)
        attenuation[window] += _DISTRACTORS[int(rng.integers(3))](x, y, rng.uniform(0.8, 1.2))


def add_specks(attenuation: Field, breast: Breast, view: ViewName, *, frame: Frame) -> None:
    """Add single small calcifications, far from each other, which are no cluster."""
    rng = np.random.default_rng([breast.seed, 42])
    for _ in range(breast.specks):
        depth, lateral = rng.uniform(0.1, 0.8) * breast.depth_mm, rng.uniform(-0.6, 0.6) * breast.half_width_mm
        column, row = depth, frame.nipple_row_mm - lateral * (1.0 if view == "CC" else 0.8)
        add_speck(attenuation, column, row, rng.uniform(0.15, 0.5), frame=frame)


def add_vessel_calcifications(
    attenuation: Field, column_mm: float, row_mm: float, *, frame: Frame, rng: np.random.Generator
) -> None:
    """Add the wall of a calcified vessel, which is benign: two rows of calcifications along a bent line."""
    window = _window(frame, column_mm, row_mm, reach_mm=18)
    x, y = _relative_mm(frame, window, column_mm, row_mm)
    heading, bend, half = rng.uniform(0, np.pi), rng.uniform(-0.03, 0.03), rng.uniform(0.5, 1.1)
    for along in np.arange(-rng.uniform(6, 15), rng.uniform(6, 15), rng.uniform(0.5, 1.3)):
        for side in (-half, half):
            if rng.random() < 0.3:
                continue
            across = side + bend * along**2 + rng.normal(0, 0.1)
            at = along * np.cos(heading) - across * np.sin(heading), along * np.sin(heading) + across * np.cos(heading)
            _add_calcification(attenuation[window], x, y, at=at, size_mm=rng.uniform(0.15, 0.35))


def add_speck(attenuation: Field, column_mm: float, row_mm: float, size_mm: float, *, frame: Frame) -> None:
    """Add one calcification."""
    window = _window(frame, column_mm, row_mm, reach_mm=3)
    x, y = _relative_mm(frame, window, column_mm, row_mm)
    attenuation[window] += _calcification(x, y, size_mm)


def _lymph_node(x: Field, y: Field, scale: float) -> NDArray[np.floating]:
    body = np.clip(1 - (x / (2.6 * scale)) ** 2 - (y / (4.0 * scale)) ** 2, 0, None)
    hilum = np.exp(-((x - 1.2) ** 2 + y**2) / 1.6)
    return np.asarray(0.11 * np.sqrt(body) * (1 - 0.9 * hilum))


def _oil_cyst(x: Field, y: Field, scale: float) -> NDArray[np.floating]:
    radius = np.hypot(x, y)
    rim = np.exp(-(((radius - 3 * scale) / 0.35) ** 2))
    return np.asarray(0.12 * rim - 0.05 * (radius < 3 * scale))


def _coarse_calcification(x: Field, y: Field, scale: float) -> NDArray[np.floating]:
    return _calcification(x, y, 1.2 * scale)


_DISTRACTORS = (_lymph_node, _oil_cyst, _coarse_calcification)


def _window(frame: Frame, column_mm: float, row_mm: float, *, reach_mm: float) -> tuple[slice, slice]:
    def around(centre: float, limit: int) -> slice:
        first, last = (centre - reach_mm) / frame.pitch_mm, (centre + reach_mm) / frame.pitch_mm
        return slice(int(np.clip(first, 0, limit)), int(np.clip(last, 0, limit)))

    return around(row_mm, frame.rows), around(column_mm, frame.columns)


def _relative_mm(frame: Frame, window: tuple[slice, slice], column_mm: float, row_mm: float) -> tuple[Field, Field]:
    columns, rows = grid_mm(frame.shape, frame.pitch_mm)
    x, y = columns[:, window[1]] - column_mm, rows[window[0]] - row_mm
    shape = np.broadcast_shapes(x.shape, y.shape)
    return np.broadcast_to(x, shape), np.broadcast_to(y, shape)
