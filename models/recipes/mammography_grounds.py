# SPDX-License-Identifier: Apache-2.0
"""Endless crops of phantom mammograms at 0.1 mm: tissue is drawn once, calcifications and scanners for each crop anew.

A whole view at 0.1 mm takes seconds, and a detector of clusters learns a few of them by heart. A crop that is cut from
tissue already drawn takes some hundredths of a second: a lesion or none is put into the attenuation, and then the
scanner and the vendor's processing work on it as on a whole view.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.phantoms.mammogram.acquisition import Scanner, Shading, detected, displayed, random_scanner, shading
from models.phantoms.mammogram.breast import (
    SIDES,
    VIEWS,
    Breast,
    Frame,
    Lesion,
    frame_of,
    random_breast,
    random_cluster,
    random_distortion,
    random_lesion,
)
from models.phantoms.mammogram.fields import Field, blurred
from models.phantoms.mammogram.lesion import add_lesion, add_speck, add_vessel_calcifications
from models.phantoms.mammogram.shape import skin_distance_mm, thickness_cm
from models.phantoms.mammogram.view import attenuation_of
from models.recipes.mammography_fine import DETECTOR_MM, FINE_MM
from models.recipes.mammography_targets import Batch, batch_of
from service.imaging.masks import bounding_box

_MARGIN_PX = 32
"""Pixels around a crop that the blurs of detector and processing reach into."""
_DEEP_MM = 6.0
"""Lesions are put at least so far from the skin."""
_TRIES = 20
_CHANCES = {"cluster": 0.4, "mass": 0.2, "distortion": 0.05, "vessel": 0.08, "nothing": 0.27}
"""What is put into a crop; a quarter of the masses bear a cluster, as `random_lesion` draws them."""
_MOST_SPECKS = 3
_VISIBLE = 15.0
"""d' below which a cluster is left out: to ask for what cannot be seen teaches to mark nothing, or anything."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Ground:
    """The tissue of a view before the scanner, just large enough for the breast, padded by a margin at every side.

    `attenuation`, `edge` (cm) and `fade` are float16 planes, `mask` says what is breast and `deep` what is far from
    the skin; `thickest` (cm) is the view's.
    """

    attenuation: NDArray[np.float16]
    edge: NDArray[np.float16]
    fade: NDArray[np.float16]
    mask: NDArray[np.bool_]
    deep: NDArray[np.bool_]
    thickest: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns without the margin."""
        return self.mask.shape[0] - 2 * _MARGIN_PX, self.mask.shape[1] - 2 * _MARGIN_PX


def draw_grounds(first_seed: int, views: int) -> list[Ground]:
    """Draw views of one breast each, cranio-caudal and oblique in turn, with benign marks and without lesions."""
    return [draw_ground(random_breast(SIDES[index // 2 % 2], first_seed + index), index % 2) for index in range(views)]


def draw_ground(breast: Breast, view: int) -> Ground:
    """Draw the tissue of one view; `view` counts in `VIEWS`."""
    name = VIEWS[view]
    frame = frame_of(name, height_mm=DETECTOR_MM[0], width_mm=DETECTOR_MM[1], pitch_mm=FINE_MM)
    distance = skin_distance_mm(breast, name, frame)
    thickness = thickness_cm(distance, breast)
    shade = shading(thickness, pitch_mm=FINE_MM)
    mask = distance > 0
    box = bounding_box(mask)
    assert box is not None  # noqa: S101 - every phantom breast reaches into its frame
    window = slice(int(box[1]), int(box[3])), slice(int(box[0]), int(box[2]))
    attenuation = attenuation_of(breast, name, frame, distance=distance, thickness=thickness)
    planes = [
        np.pad(plane[window], _MARGIN_PX, mode="edge")
        for plane in (attenuation.astype(np.float16), shade.edge.astype(np.float16), shade.fade.astype(np.float16))
    ]
    return Ground(
        attenuation=planes[0],
        edge=planes[1],
        fade=planes[2],
        mask=np.pad(mask[window], _MARGIN_PX, mode="edge"),
        deep=np.pad(distance[window] > _DEEP_MM, _MARGIN_PX, mode="edge"),
        thickest=shade.thickest,
    )


def fresh_crops(
    grounds: Sequence[Ground], rng: np.random.Generator, *, size: int, stride: int, shift: float = 1.0
) -> Batch:
    """Cut one crop of `size` pixels from each ground, with new calcifications, on a scanner of its own."""
    parts = [_crop(ground, rng, size=size, shift=shift) for ground in grounds]
    images = torch.from_numpy(np.stack([image for image, _ in parts]))
    return batch_of(images, [targets for _, targets in parts], size=size, stride=stride)


def _crop(
    ground: Ground, rng: np.random.Generator, *, size: int, shift: float
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    scanner = random_scanner(rng, shift=shift)
    part = _turned(_part(ground, rng, size=size), rng)
    attenuation = part.attenuation.astype(np.float32)
    targets = _fill(attenuation, part, scanner, rng)
    signal = detected(attenuation * part.mask, scanner, pitch_mm=FINE_MM, rng=rng)
    inner = (slice(_MARGIN_PX, -_MARGIN_PX),) * 2
    grey = displayed(signal, _shading(part), scanner, pitch_mm=FINE_MM)[inner]
    mask = part.mask[inner].astype(np.float32)
    return np.stack([grey * mask, mask]), targets


def _shading(part: Ground) -> Shading:
    return Shading(edge=part.edge.astype(np.float32), thickest=part.thickest, fade=part.fade.astype(np.float32))


def _part(ground: Ground, rng: np.random.Generator, *, size: int) -> Ground:
    """Cut a square around a pixel of the breast, with the margin."""
    rows, columns = ground.shape
    for _ in range(_TRIES):
        row, column = int(rng.integers(rows)), int(rng.integers(columns))
        if ground.mask[row + _MARGIN_PX, column + _MARGIN_PX]:
            break
    top, left = int(np.clip(row - size // 2, 0, rows - size)), int(np.clip(column - size // 2, 0, columns - size))
    return _each(ground, lambda plane: plane[top : top + size + 2 * _MARGIN_PX, left : left + size + 2 * _MARGIN_PX])


def _turned(part: Ground, rng: np.random.Generator) -> Ground:
    """Mirror and turn a part: calcifications have no way up."""
    flips, transposed = rng.random(2) < 0.5, rng.random() < 0.5
    steps = tuple(-1 if flip else 1 for flip in flips)

    def turn(plane: NDArray[Any]) -> NDArray[Any]:
        turned = plane[:: steps[0], :: steps[1]]
        return np.ascontiguousarray(turned.T if transposed else turned)

    return _each(part, turn)


def _each(ground: Ground, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Ground:
    return replace(
        ground,
        attenuation=change(ground.attenuation),
        edge=change(ground.edge),
        fade=change(ground.fade),
        mask=change(ground.mask),
        deep=change(ground.deep),
    )


def _fill(attenuation: Field, part: Ground, scanner: Scanner, rng: np.random.Generator) -> NDArray[np.float64]:
    """Put something into a crop with its margin; return its clusters: column, row, radius, channel 0."""
    frame = Frame(rows=attenuation.shape[0], columns=attenuation.shape[1], pitch_mm=FINE_MM, nipple_row_mm=0.0)
    for _ in range(int(rng.integers(_MOST_SPECKS + 1))):
        column, row = _place(part, rng)
        add_speck(attenuation, column, row, rng.uniform(0.15, 0.5), frame=frame)
    kind = str(rng.choice(list(_CHANCES), p=list(_CHANCES.values())))
    column, row = _place(part, rng)
    at = int(row / FINE_MM), int(column / FINE_MM)
    if kind == "nothing" or not part.deep[at]:
        return np.zeros((0, 4))
    if kind == "vessel":
        add_vessel_calcifications(attenuation, column, row, frame=frame, rng=rng)
        return np.zeros((0, 4))
    lesion = _lesion(kind, rng)
    # In the cranio-caudal view a lesion lies `depth_mm` right of the frame's first column, and `lateral_mm` above.
    here = replace(lesion, depth_mm=column, lateral_mm=-row)
    add_lesion(attenuation, replace(here, calcifications=0), "CC", frame=frame)
    if "cluster" not in lesion.kinds:
        return np.zeros((0, 4))
    cluster = np.zeros_like(attenuation)
    add_lesion(cluster, replace(here, density_per_cm=0.0, spicules=0), "CC", frame=frame)
    if detectability(cluster, attenuation, scanner) < _VISIBLE:
        return np.zeros((0, 4))
    attenuation += cluster
    return np.array([[at[1] - _MARGIN_PX, at[0] - _MARGIN_PX, lesion.radius_mm / FINE_MM, 0]])


def detectability(cluster: Field, attenuation: Field, scanner: Scanner) -> float:
    """Return d' of an ideal observer who knows the attenuation of a cluster and of all around it: against grain alone.

    See Burgess 1999, J Opt Soc Am A 16:633; the tissue, which no observer knows, hides more.
    """
    seen = blurred(cluster, scanner.blur_mm, pitch_mm=FINE_MM)
    quanta = scanner.quanta_per_mm2 * FINE_MM**2 * np.exp(-attenuation)
    return float(np.sqrt((seen**2 * quanta).sum()))


def _place(part: Ground, rng: np.random.Generator) -> tuple[float, float]:
    """Return column and row (mm) of a place within the crop proper."""
    rows, columns = part.shape
    column, row = rng.uniform(0, columns), rng.uniform(0, rows)
    return (column + _MARGIN_PX) * FINE_MM, (row + _MARGIN_PX) * FINE_MM


def _lesion(kind: str, rng: np.random.Generator) -> Lesion:
    draw = {"cluster": random_cluster, "mass": random_lesion, "distortion": random_distortion}[kind]
    return draw(Breast(side="L", seed=int(rng.integers(2**31))), int(rng.integers(2**31)))
