# SPDX-License-Identifier: Apache-2.0
"""The outline of a compressed breast, its thickness, and the pectoral muscle of the oblique view."""

import numpy as np
from scipy import ndimage

from models.phantoms.mammogram.breast import Breast, Frame, ViewName
from models.phantoms.mammogram.fields import Field, grid_mm, soft_step


def edge_mm(breast: Breast, view: ViewName, frame: Frame) -> Field:
    """Return the breast's extent from the chest wall (mm) for every row."""
    rng = np.random.default_rng([breast.seed, 21, len(view)])
    above = frame.nipple_row_mm - grid_mm(frame.shape, frame.pitch_mm)[1][:, 0]
    half = breast.half_width_mm if view == "CC" else breast.half_height_mm
    upper = half * (1.0 if view == "CC" else 1.25)
    ratio = np.where(above > 0, above / upper, -above / half)
    closing = np.clip(1 - np.abs(ratio) ** rng.uniform(1.8, 2.2), 0, None) ** rng.uniform(0.5, 0.8)
    body = np.asarray(breast.depth_mm * closing, dtype=np.float32)
    nipple = rng.uniform(3, 6) * np.exp(-((above / 5.0) ** 4))
    wave = 0.8 * np.sin(above / rng.uniform(14, 25) + rng.uniform(0, 6))
    outline = _joined(body, _axilla_mm(breast, view, above))
    if view == "MLO":  # no corner where the breast meets the armpit fold
        soft = ndimage.gaussian_filter1d(outline, 4.0 / frame.pitch_mm, mode="nearest")
        outline = np.where(above > 0, soft, outline)
    return np.asarray(outline + (nipple + wave) * np.clip(body / 40 - 0.2, 0, 1), np.float32)


def _joined(body: Field, axilla: Field) -> Field:
    """The larger of both, with the corner between them rounded over about 12 mm."""
    return np.asarray(
        0.5 * (body + axilla + np.sqrt((body - axilla) ** 2 + 144.0 * np.clip(axilla / 20, 0, 1) ** 2)),
        dtype=np.float32,
    )


def _axilla_mm(breast: Breast, view: ViewName, above: Field) -> Field:
    """The armpit fold that fills the top of an oblique view."""
    if view == "CC":
        return np.zeros_like(above)
    start, width = 0.55 * breast.half_height_mm, 0.52 * breast.depth_mm
    return width * soft_step(above - start, 70.0) * np.clip(1 - (above - start) / 400, 0.4, 1)


def skin_distance_mm(breast: Breast, view: ViewName, frame: Frame) -> Field:
    """Return the distance to the air, in mm, 0 in the air; the chest wall is no edge.

    Near the outline the distance is measured along the outline's slope, so that it is smooth below the pixel pitch.
    """
    edge = edge_mm(breast, view, frame)
    columns = grid_mm(frame.shape, frame.pitch_mm)[0]
    slope = np.gradient(edge, frame.pitch_mm)
    direct = np.clip(edge[:, None] - columns, 0, None) / np.sqrt(1 + slope[:, None] ** 2)
    whole = ndimage.distance_transform_edt(direct > 0) * frame.pitch_mm
    return np.asarray(np.where(whole > 3, whole, np.minimum(direct, whole)), dtype=np.float32)


def thickness_cm(distance_mm: Field, breast: Breast) -> Field:
    """Return the compressed thickness: flat between the paddles, a half ellipse towards the skin."""
    reach = 0.45 * breast.thickness_mm
    fall = np.clip(1 - distance_mm / reach, 0, 1)
    return np.asarray(breast.thickness_mm / 10 * np.sqrt(1 - fall**2), dtype=np.float32)


def pectoral(breast: Breast, view: ViewName, frame: Frame) -> Field:
    """Return the share of the muscle in [0, 1]: a wedge in the upper chest-wall corner of the oblique view."""
    if view == "CC":
        return np.zeros(frame.shape, dtype=np.float32)
    rng = np.random.default_rng([breast.seed, 22])
    columns, rows = grid_mm(frame.shape, frame.pitch_mm)
    length = frame.nipple_row_mm * rng.uniform(0.75, 1.05)
    width = breast.depth_mm * rng.uniform(0.36, 0.5)
    bulge = rng.uniform(2, 7) * np.sin(np.clip(rows / length, 0, 1) * np.pi)
    edge = width * (1 - rows / length) + bulge
    return soft_step(edge - columns, 3.0)
