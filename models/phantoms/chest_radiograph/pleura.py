# SPDX-License-Identifier: Apache-2.0
"""What asbestos leaves on the pleura, drawn from the outlines of the lungs alone: on phantoms and on real films alike.

Thickening runs up the chest wall from an obliterated costophrenic angle, as the ILO defines it; plaques lie on the wall
in profile, on the diaphragm, or face on; calcification lies in plaques.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.phantoms.chest_radiograph.texture import FloatImage, power_law_noise

FINDINGS: Final = ("thickening", "plaque", "calcification", "angle")
"""Diffuse thickening, localised plaque, calcification, obliterated costophrenic angle."""
PLACES: Final = ("wall", "diaphragm", "face on")
_WALL_RADIUS_MM: Final = 110.0
"""Of the chest wall seen from above: a shell along it is passed lengthwise by the rays that touch it."""
_BONE: Final = 2.4
"""Calcified plaque as mm of soft tissue: what bone takes from a 120 kV beam beside soft tissue."""
Mask = NDArray[np.bool_]
FloatField = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class SidePleura:
    """One side: width of the thickening (mm, 0 for none) and its share of the wall, plaques by place, angle in mm."""

    thickening_mm: float = 0.0
    extent: float = 0.5
    plaques: tuple[str, ...] = ()
    calcified: bool = False
    angle_mm: float = 0.0

    @property
    def findings(self) -> tuple[str, ...]:
        """Which of FINDINGS are there."""
        there = (self.thickening_mm > 0, bool(self.plaques), self.calcified, self.angle_mm > 0)
        return tuple(name for name, is_there in zip(FINDINGS, there, strict=True) if is_there)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pleura:
    """Both sides, "R" and "L"; a side that is not named is clear."""

    sides: Mapping[str, SidePleura] = field(default_factory=dict)

    def findings(self, side: str) -> tuple[str, ...]:
        """Which of FINDINGS are on a side."""
        return self.sides[side].findings if side in self.sides else ()


CLEAR_PLEURA: Final = Pleura()


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class DrawnPleura:
    """`path_mm` is what it adds along the ray as mm of soft tissue; `places` (4, rows, columns) where, by finding."""

    path_mm: FloatImage
    places: Mask


def random_pleura(rng: np.random.Generator) -> Pleura:
    """Draw a pleural disease: often of both sides, thickening always with an obliterated angle."""
    sides = ("R", "L") if rng.random() < 0.5 else (str(rng.choice(["R", "L"])),)
    return Pleura(sides={side: _random_side(rng) for side in sides})


def _random_side(rng: np.random.Generator) -> SidePleura:
    kind = rng.random()
    angle = float(rng.uniform(12, 50))
    if kind < 0.3:
        return SidePleura(thickening_mm=float(rng.uniform(3, 15)), extent=float(rng.uniform(0.2, 0.85)), angle_mm=angle)
    if kind < 0.5:
        return SidePleura(angle_mm=angle)
    plaques = tuple(str(place) for place in rng.choice(PLACES, int(rng.integers(1, 4))))
    return SidePleura(plaques=plaques, calcified=bool(rng.random() < 0.55))


def pleural_path(pleura: Pleura, right: Mask, left: Mask, *, pitch_mm: float, rng: np.random.Generator) -> DrawnPleura:
    """Draw a pleural disease into the lungs `right` and `left` (rows, columns); nothing outside them changes."""
    path = np.zeros(right.shape, dtype=np.float32)
    places = np.zeros((len(FINDINGS), *right.shape), dtype=np.bool_)
    for side, lung in (("R", right), ("L", left)):
        if side not in pleura.sides or not lung.any():
            continue
        for finding, drawn in _side(pleura.sides[side], Outline.of(lung, side=side, pitch_mm=pitch_mm), rng):
            inside = np.where(lung, drawn, 0).astype(np.float32)
            path += inside
            places[FINDINGS.index(finding)] |= inside > _SEEN_MM[finding]
    return DrawnPleura(path_mm=path, places=places)


_SEEN_MM: Final[Mapping[str, float]] = {"thickening": 18.0, "plaque": 3.0, "calcification": 2.0, "angle": 10.0}
"""From here on a path counts as a place of its finding: the haze of a thickening does not."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Outline:
    """Where a lung's borders run: mm inwards from the side wall, mm upwards from the diaphragm, rows from the apex.

    `along` is 0 at the apex and 1 at the lowest row; `angle_up` is mm above the costophrenic angle.
    """

    inwards: FloatField
    upwards: FloatField
    along: FloatField
    angle_up: FloatField
    across: FloatField
    height_mm: float
    pitch_mm: float

    @classmethod
    def of(cls, lung: Mask, *, side: str, pitch_mm: float) -> "Outline":
        """Measure a lung; `side` "R" lies at the picture's left."""
        turned = lung if side == "R" else lung[:, ::-1]
        rows, columns = np.flatnonzero(turned.any(axis=1)), np.flatnonzero(turned.any(axis=0))
        wall = _filled(np.where(turned.any(axis=1), turned.argmax(axis=1), np.nan))
        last = turned.shape[0] - 1 - turned[::-1].argmax(axis=0)
        floor = _filled(np.where(turned.any(axis=0), last, np.nan))
        near_wall = columns[: max(1, columns.size // 5)]
        y, x = np.mgrid[: lung.shape[0], : lung.shape[1]].astype(np.float64)
        fields = {
            "inwards": (x - wall[:, None]) * pitch_mm,
            "upwards": (floor[None, :] - y) * pitch_mm,
            "along": (y - rows[0]) / max(rows[-1] - rows[0], 1),
            "angle_up": (floor[near_wall].max() - y) * pitch_mm,
            "across": (x - columns[0]) / max(columns[-1] - columns[0], 1),
        }
        if side == "L":
            fields = {name: values[:, ::-1] for name, values in fields.items()}
        return cls(**fields, height_mm=float(rows.size * pitch_mm), pitch_mm=pitch_mm)


def _filled(border: FloatField) -> FloatField:
    """Continue a border beyond its ends and smooth it."""
    known = np.flatnonzero(~np.isnan(border))
    whole = np.interp(np.arange(border.size), known, border[known])
    return np.asarray(ndimage.gaussian_filter1d(whole, 3.0, mode="nearest"))


def _side(side: SidePleura, lung: Outline, rng: np.random.Generator) -> Iterator[tuple[str, FloatField]]:
    """Yield (finding, path in mm) of everything on a side."""
    if side.thickening_mm:
        yield "thickening", _thickening(side, lung, rng)
    for place in side.plaques:
        plaque = _PLAQUES[place](lung, rng)
        yield "plaque", plaque
        if side.calcified:
            yield "calcification", _calcification(plaque, rng)
    if side.angle_mm:
        yield "angle", _angle(side.angle_mm, lung, rng)


def _thickening(side: SidePleura, lung: Outline, rng: np.random.Generator) -> FloatField:
    """Draw a band up the wall from the angle, and the haze of what of it lies face on."""
    up = lung.angle_up / (lung.height_mm * side.extent)
    taper = np.clip((1 - up) / 0.2, 0, 1) ** 0.5
    uneven = 1 + 0.25 * np.sin(lung.angle_up / rng.uniform(9, 25) + rng.uniform(0, 6.3))
    width = side.thickening_mm * taper * uneven
    haze = rng.uniform(0.6, 1.4) * side.thickening_mm * np.exp(-np.clip(lung.inwards, 0, None) / 45) * taper
    return _shell(lung.inwards, width, longest_mm=rng.uniform(35, 100)) + haze * (taper > 0) * 0.5


def _shell(depth_mm: FloatField, width_mm: FloatField, *, longest_mm: float) -> FloatField:
    """Return the way through a shell along a round wall, `depth_mm` inside it: longest at the wall."""
    inside = np.clip(width_mm - np.maximum(depth_mm, 0), 0, None)
    return np.asarray(np.minimum(2 * np.sqrt(2 * _WALL_RADIUS_MM * inside), longest_mm))


def _on_wall(lung: Outline, rng: np.random.Generator) -> FloatField:
    centre, half = rng.uniform(0.35, 0.8), rng.uniform(9, 35)
    off = (lung.along - centre) * lung.height_mm / half
    width = rng.uniform(3.5, 11) * np.sqrt(np.clip(1 - off**2, 0, 1))
    return _shell(lung.inwards, width, longest_mm=rng.uniform(30, 70))


def _on_diaphragm(lung: Outline, rng: np.random.Generator) -> FloatField:
    centre, half = rng.uniform(0.2, 0.5), rng.uniform(0.1, 0.22)
    off = (lung.across - centre) / half
    height = rng.uniform(3.5, 9) * np.sqrt(np.clip(1 - off**2, 0, 1))
    return _shell(lung.upwards, height, longest_mm=rng.uniform(25, 60)) * (lung.upwards > -2)


def _face_on(lung: Outline, rng: np.random.Generator) -> FloatField:
    """Draw a flat patch with a sharp, wavy border somewhere over the middle and lower lung."""
    down = (lung.along - rng.uniform(0.4, 0.8)) * lung.height_mm
    aside = lung.inwards - rng.uniform(18, 70)
    angle = np.arctan2(down, aside)
    border = rng.uniform(8, 24) * (
        1 + sum(rng.normal(0, 0.2 / k) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in range(2, 7))
    )
    edge = np.clip((border - np.hypot(down, aside)) / 1.5, 0, 1)
    return np.asarray(rng.uniform(5, 14) * edge)


_PLAQUES: Final = {"wall": _on_wall, "diaphragm": _on_diaphragm, "face on": _face_on}


def _calcification(plaque: FloatField, rng: np.random.Generator) -> FloatField:
    """Return grains and sheets of calcium over a part of a plaque."""
    texture = power_law_noise((plaque.shape[0], plaque.shape[1]), beta=2.0, rng=rng)
    share = rng.uniform(0.3, 0.8)
    there = plaque > _SEEN_MM["plaque"]
    if not there.any():
        return np.zeros(plaque.shape)
    grains = texture > np.quantile(texture[there], 1 - share)
    return np.asarray(there * grains * _BONE * np.clip(rng.uniform(0.15, 0.45) * plaque, 2.5, 18))


def _angle(height_mm: float, lung: Outline, rng: np.random.Generator) -> FloatField:
    """Fill the angle up to a hollow line that climbs towards the wall."""
    line = height_mm * np.exp(-np.clip(lung.inwards, 0, None) / rng.uniform(14, 45))
    filled = np.clip((line - lung.angle_up) / 3.0, 0, 1)
    return np.asarray(rng.uniform(45, 110) * filled)
