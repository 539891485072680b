# SPDX-License-Identifier: Apache-2.0
"""One projection of a phantom breast, drawn in canonical position (chest wall left) with the truth of its lesions."""

from dataclasses import dataclass

import numpy as np

from models.phantoms.mammogram.acquisition import FAT_PER_CM, Scanner, detected, presented
from models.phantoms.mammogram.breast import Breast, Frame, Kind, ViewName, frame_of, projected_mm
from models.phantoms.mammogram.fields import Field, grid_mm, soft_step
from models.phantoms.mammogram.lesion import add_distractors, add_lesion, add_specks
from models.phantoms.mammogram.shape import pectoral, skin_distance_mm, thickness_cm
from models.phantoms.mammogram.tissue import GLAND_PER_CM, gland_cm, lines_cm, skin_cm

MUSCLE = 0.42
"""Attenuation of the pectoral muscle as a share of gland's; part of the thickness below it is fat."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class PhantomView:
    """Display grey in [0, 1], the detector's log signal, and lesions as (column, row, radius) in pixels.

    `kinds` says what each lesion is.
    """

    grey: Field
    signal: Field
    breast_mask: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    pitch_mm: float
    lesions: tuple[tuple[float, float, float], ...]
    kinds: tuple[tuple[Kind, ...], ...] = ()

    def of_kind(self, kind: Kind) -> tuple[tuple[float, float, float], ...]:
        """Return the lesions that are of a kind; one may be of two."""
        return tuple(place for place, kinds in zip(self.lesions, self.kinds, strict=True) if kind in kinds)


def draw_view(
    breast: Breast,
    view: ViewName,
    *,
    pitch_mm: float = 0.4,
    size_mm: tuple[float, float] = (240.0, 180.0),
    scanner: Scanner | None = None,
) -> PhantomView:
    """Draw a view of a breast on a detector of `size_mm` (height, width)."""
    scanner = scanner or Scanner()
    frame = frame_of(view, height_mm=size_mm[0], width_mm=size_mm[1], pitch_mm=pitch_mm)
    distance = skin_distance_mm(breast, view, frame)
    thickness = thickness_cm(distance, breast)
    attenuation = attenuation_of(breast, view, frame, distance=distance, thickness=thickness)
    rng = np.random.default_rng([breast.seed, 51, len(view)])
    signal = detected(attenuation, scanner, pitch_mm=pitch_mm, rng=rng)
    return PhantomView(
        grey=presented(signal, thickness, scanner, pitch_mm=pitch_mm),
        signal=signal,
        breast_mask=distance > 0,
        pitch_mm=pitch_mm,
        lesions=tuple(_truth(breast, view, frame)),
        kinds=tuple(lesion.kinds for lesion in breast.lesions),
    )


def attenuation_of(breast: Breast, view: ViewName, frame: Frame, *, distance: Field, thickness: Field) -> Field:
    """Return the attenuation along each ray, 0 in the air; `distance` (mm) and `thickness` (cm) as in `shape`."""
    muscle = pectoral(breast, view, frame)
    gland = gland_cm(breast, view, frame, distance_mm=distance, thickness=thickness) * (1 - 0.8 * muscle)
    gland += lines_cm(breast, view, frame, distance_mm=distance) + skin_cm(distance)
    gland += MUSCLE * muscle * thickness
    attenuation = np.asarray(FAT_PER_CM * thickness + GLAND_PER_CM * gland, dtype=np.float32)
    add_distractors(attenuation, breast, view, frame=frame)
    add_specks(attenuation, breast, view, frame=frame)
    for lesion in breast.lesions:
        add_lesion(attenuation, lesion, view, frame=frame)
    if breast.implant:
        attenuation += _implant(breast, frame)
    return np.asarray(attenuation * (distance > 0), dtype=np.float32)


def _implant(breast: Breast, frame: Frame) -> Field:
    """A silicone implant against the chest wall, nearly opaque."""
    columns, rows = grid_mm(frame.shape, frame.pitch_mm)
    radius = np.hypot(columns / (0.55 * breast.depth_mm), (rows - frame.nipple_row_mm) / (0.6 * breast.half_height_mm))
    return 2.0 * soft_step(1 - radius, 0.03)


def _truth(breast: Breast, view: ViewName, frame: Frame) -> list[tuple[float, float, float]]:
    places = [(*projected_mm(lesion, view, frame), lesion.radius_mm) for lesion in breast.lesions]
    return [(x / frame.pitch_mm, y / frame.pitch_mm, r / frame.pitch_mm) for x, y, r in places]
