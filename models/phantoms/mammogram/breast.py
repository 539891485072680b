# SPDX-License-Identifier: Apache-2.0
"""What a phantom breast is: its size, tissue and lesions in one frame that both views share."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Side = Literal["L", "R"]
ViewName = Literal["CC", "MLO"]
Kind = Literal["mass", "distortion", "cluster"]
SIDES: tuple[Side, ...] = ("R", "L")
VIEWS: tuple[ViewName, ...] = ("CC", "MLO")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """A lesion; its place is relative to chest wall and nipple, so that it appears at one depth in both views.

    `density_per_cm` is the attenuation that it adds to the tissue it displaces, per cm of its thickness;
    `spicules` is the number of radiating strands, 0 for a lobulated mass; `calcifications` of its cluster.
    """

    depth_mm: float
    lateral_mm: float
    superior_mm: float
    radius_mm: float
    density_per_cm: float
    seed: int
    spicules: int = 0
    calcifications: int = 0

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What it is: a mass has a body, a distortion strands alone; both may hold a cluster, which may be alone."""
        body: tuple[Kind, ...] = ("mass",) if self.density_per_cm > 0 else ("distortion",) if self.spicules else ()
        return (*body, "cluster") if self.calcifications else body


@dataclass(frozen=True, slots=True, kw_only=True)
class Breast:
    """One breast: `depth_mm` from chest wall to nipple, half widths in the two views, and its tissue.

    `gland` in [0, 1] goes from almost entirely fat to extremely dense; `distractors` is the number of benign marks
    (lymph nodes, oil cysts, coarse calcifications), `specks` that of single small calcifications, which are no cluster.
    """

    side: Side
    seed: int
    depth_mm: float = 95.0
    half_width_mm: float = 80.0
    half_height_mm: float = 90.0
    thickness_mm: float = 50.0
    gland: float = 0.4
    distractors: int = 2
    specks: int = 0
    implant: bool = False
    lesions: tuple[Lesion, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The canvas of one view in canonical position: chest wall on the left, head (or the outer side) up."""

    rows: int
    columns: int
    pitch_mm: float
    nipple_row_mm: float

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rows, self.columns

    def at_pitch(self, pitch_mm: float) -> "Frame":
        """Return the same field sampled at another pitch."""
        factor = self.pitch_mm / pitch_mm
        rows, columns = int(np.ceil(self.rows * factor)), int(np.ceil(self.columns * factor))
        return Frame(rows=rows, columns=columns, pitch_mm=pitch_mm, nipple_row_mm=self.nipple_row_mm)


def frame_of(view: ViewName, *, height_mm: float, width_mm: float, pitch_mm: float) -> Frame:
    """Return the canvas of a view; in the MLO the breast hangs below the middle."""
    nipple = height_mm * (0.5 if view == "CC" else 0.6)
    rows, columns = round(height_mm / pitch_mm), round(width_mm / pitch_mm)
    return Frame(rows=rows, columns=columns, pitch_mm=pitch_mm, nipple_row_mm=nipple)


def projected_mm(lesion: Lesion, view: ViewName, frame: Frame) -> tuple[float, float]:
    """Return (column, row) in mm of a lesion's centre: CC projects head to foot, MLO at 45 degrees."""
    up = lesion.lateral_mm if view == "CC" else (lesion.superior_mm + lesion.lateral_mm) * np.sqrt(0.5)
    return lesion.depth_mm, frame.nipple_row_mm - float(up)


def random_breast(side: Side, seed: int) -> Breast:
    """Draw a breast without lesions; both breasts of one seed are alike, but not the same."""
    both = np.random.default_rng([seed, 11])
    own = np.random.default_rng([seed, SIDES.index(side), 12])
    depth = both.uniform(70, 125) * own.uniform(0.95, 1.05)
    return Breast(
        side=side,
        seed=int(own.integers(2**31)),
        depth_mm=depth,
        half_width_mm=both.uniform(0.72, 0.92) * min(depth, 110) + 8,
        half_height_mm=both.uniform(0.75, 0.95) * min(depth, 105) + 5,
        thickness_mm=both.uniform(35, 70),
        gland=float(np.clip(both.beta(1.6, 2.0) + own.normal(0, 0.04), 0, 1)),
        distractors=int(own.integers(0, 5)),
    )


def random_lesion(breast: Breast, seed: int) -> Lesion:
    """Draw a mass that lies inside the breast in both views."""
    rng = np.random.default_rng([breast.seed, seed, 12])
    depth, lateral, superior = _place(breast, rng)
    spiculated = rng.random() < 0.5
    return Lesion(
        depth_mm=depth,
        lateral_mm=lateral,
        superior_mm=superior,
        radius_mm=float(np.exp(rng.uniform(np.log(5.0), np.log(13.0)))),
        density_per_cm=rng.uniform(0.35, 0.7),
        seed=int(rng.integers(2**31)),
        spicules=int(rng.integers(9, 22)) if spiculated else 0,
        calcifications=int(rng.integers(4, 12)) if rng.random() < 0.25 else 0,
    )


def random_cluster(breast: Breast, seed: int) -> Lesion:
    """Draw a cluster of fine calcifications without a mass."""
    rng = np.random.default_rng([breast.seed, seed, 13])
    depth, lateral, superior = _place(breast, rng)
    return Lesion(
        depth_mm=depth,
        lateral_mm=lateral,
        superior_mm=superior,
        radius_mm=float(np.exp(rng.uniform(np.log(3.0), np.log(8.0)))),
        density_per_cm=0.0,
        seed=int(rng.integers(2**31)),
        calcifications=int(rng.integers(6, 21)),
    )


def random_distortion(breast: Breast, seed: int) -> Lesion:
    """Draw an architectural distortion: strands that run together where there is no mass."""
    rng = np.random.default_rng([breast.seed, seed, 14])
    depth, lateral, superior = _place(breast, rng)
    return Lesion(
        depth_mm=depth,
        lateral_mm=lateral,
        superior_mm=superior,
        radius_mm=rng.uniform(6.0, 10.0),
        density_per_cm=0.0,
        seed=int(rng.integers(2**31)),
        spicules=int(rng.integers(16, 29)),
    )


def _place(breast: Breast, rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw (depth, lateral, superior) in mm, inside the breast in both views."""
    depth = rng.uniform(0.25, 0.72) * breast.depth_mm
    reach = 0.62 * np.sqrt(1 - (depth / breast.depth_mm) ** 2)
    angle, far = rng.uniform(0, 2 * np.pi), np.sqrt(rng.uniform(0.02, 0.8))
    lateral = float(reach * breast.half_width_mm * far * np.cos(angle))
    return depth, lateral, float(reach * breast.half_height_mm * far * np.sin(angle))
