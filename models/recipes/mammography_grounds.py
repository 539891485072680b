# SPDX-License-Identifier: Apache-2.0
"""Endless crops of phantom mammograms: tissue is drawn once, lesions and scanners for each crop anew.

A whole view takes seconds at 0.1 mm, and a detector learns a few of them by heart. A crop that is cut from tissue
already drawn takes some hundredths of a second: a lesion or none is put into the attenuation, and then the scanner and
the vendor's processing work on it as on a whole view.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
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
    Kind,
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

_MARGIN_MM = 3.2
"""Around a crop, for what the blurs of detector and processing reach into."""
_DEEP_MM = 6.0
"""Lesions are put at least so far from the skin."""
_TRIES = 20
_MOST_SPECKS = 3
_VISIBLE = 15.0
"""d' below which a cluster is left out: to ask for what cannot be seen teaches to mark nothing, or anything."""
_THUMB_MM = 3.2
"""Spacing at which the grey values of a whole view are looked at for their percentiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What is put into crops: `chances` of each lesion, of a calcified vessel or nothing, and which kind is looked for.

    `percentiles` of the grey values of the view become 0 and 1, as the node shows it to the detector at 0.4 mm; without
    them grey values stay as they are.
    """

    sought: Kind
    chances: Mapping[str, float]
    percentiles: tuple[float, float] | None = None


CLUSTERS = Contents(
    sought="cluster",
    chances=MappingProxyType({"cluster": 0.4, "mass": 0.2, "distortion": 0.05, "vessel": 0.08, "nothing": 0.27}),
)
"""A quarter of the masses bear a cluster, as `random_lesion` draws them."""
DISTORTIONS = Contents(
    sought="distortion",
    chances=MappingProxyType({"distortion": 0.45, "mass": 0.25, "cluster": 0.05, "vessel": 0.05, "nothing": 0.2}),
    percentiles=(1.0, 99.0),
)
"""Half of the masses have strands, and are none."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Ground:
    """The tissue of a view before the scanner, just large enough for the breast, padded by a margin at every side.

    `attenuation`, `edge` (cm) and `fade` are float16 planes, `mask` says what is breast and `deep` what is far from
    the skin; `thickest` (cm) is the view's. `thumb` is the whole view in a coarse grid; it has none of its own.
    """

    attenuation: NDArray[np.float16]
    edge: NDArray[np.float16]
    fade: NDArray[np.float16]
    mask: NDArray[np.bool_]
    deep: NDArray[np.bool_]
    thickest: float
    pitch_mm: float = FINE_MM
    thumb: "Ground | None" = None

    @property
    def margin_px(self) -> int:
        """Width of the margin."""
        return round(_MARGIN_MM / self.pitch_mm)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns without the margin."""
        return self.mask.shape[0] - 2 * self.margin_px, self.mask.shape[1] - 2 * self.margin_px


def draw_grounds(first_seed: int, views: int, *, pitch_mm: float = FINE_MM, least_px: int = 0) -> list[Ground]:
    """Draw views of one breast each, cranio-caudal and oblique in turn, with benign marks and without lesions."""
    breasts = (random_breast(SIDES[index // 2 % 2], first_seed + index) for index in range(views))
    return [
        draw_ground(breast, index % 2, pitch_mm=pitch_mm, least_px=least_px) for index, breast in enumerate(breasts)
    ]


def draw_ground(breast: Breast, view: int, *, pitch_mm: float = FINE_MM, least_px: int = 0) -> Ground:
    """Draw the tissue of one view; `view` counts in `VIEWS`. A smaller breast has air around it, up to `least_px`."""
    name = VIEWS[view]
    frame = frame_of(name, height_mm=DETECTOR_MM[0], width_mm=DETECTOR_MM[1], pitch_mm=pitch_mm)
    distance = skin_distance_mm(breast, name, frame)
    thickness = thickness_cm(distance, breast)
    shade = shading(thickness, pitch_mm=pitch_mm)
    margin = round(_MARGIN_MM / pitch_mm)
    mask = distance > 0
    box = bounding_box(mask)
    assert box is not None  # noqa: S101 - every phantom breast reaches into its frame
    window = _span(box[1], box[3], least_px, limit=frame.rows), _span(box[0], box[2], least_px, limit=frame.columns)
    attenuation = attenuation_of(breast, name, frame, distance=distance, thickness=thickness)
    planes = [
        np.pad(plane[window], margin, mode="edge")
        for plane in (attenuation.astype(np.float16), shade.edge.astype(np.float16), shade.fade.astype(np.float16))
    ]
    ground = Ground(
        attenuation=planes[0],
        edge=planes[1],
        fade=planes[2],
        mask=np.pad(mask[window], margin, mode="edge"),
        deep=np.pad(distance[window] > _DEEP_MM, margin, mode="edge"),
        thickest=shade.thickest,
        pitch_mm=pitch_mm,
    )
    step = max(1, round(_THUMB_MM / pitch_mm))
    return replace(ground, thumb=_each(ground, lambda plane: np.ascontiguousarray(plane[::step, ::step])))


def _span(first: float, last: float, least: int, *, limit: int) -> slice:
    """Return the pixels from first to last, or more of them up to the edge of the detector, to reach the least."""
    start = int(max(0, min(first, limit - least)))
    return slice(start, int(max(last, start + least)))


def fresh_crops(
    grounds: Sequence[Ground],
    rng: np.random.Generator,
    *,
    size: int,
    stride: int,
    shift: float = 1.0,
    contents: Contents = CLUSTERS,
) -> Batch:
    """Cut one crop of `size` pixels from each ground, with new contents, on a scanner of its own."""
    parts = [_crop(ground, rng, size=size, shift=shift, contents=contents) for ground in grounds]
    images = torch.from_numpy(np.stack([image for image, _ in parts]))
    return batch_of(images, [targets for _, targets in parts], size=size, stride=stride)


def _crop(
    ground: Ground, rng: np.random.Generator, *, size: int, shift: float, contents: Contents
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    scanner = random_scanner(rng, shift=shift)
    part = _turned(_part(ground, rng, size=size), rng)
    attenuation = part.attenuation.astype(np.float32)
    targets = _fill(attenuation, part, scanner, rng, contents=contents)
    signal = detected(attenuation * part.mask, scanner, pitch_mm=part.pitch_mm, rng=rng)
    inner = (slice(part.margin_px, -part.margin_px),) * 2
    grey = displayed(signal, _shading(part), scanner, pitch_mm=part.pitch_mm)[inner]
    if contents.percentiles is not None:
        low, high = _limits(ground, scanner, percentiles=contents.percentiles)
        grey = np.clip((grey - low) / (high - low), 0, 1)
    mask = part.mask[inner].astype(np.float32)
    return np.stack([grey * mask, mask]), targets


def _limits(ground: Ground, scanner: Scanner, *, percentiles: tuple[float, float]) -> tuple[np.float32, np.float32]:
    """Return percentiles of the grey values of a whole view on a scanner, without its noise and its crop's contents."""
    view = ground.thumb or ground
    even = replace(scanner, sharpening=0.0)
    grey = displayed(view.attenuation.astype(np.float32), _shading(view), even, pitch_mm=view.pitch_mm)
    low, high = np.percentile(grey[view.mask], percentiles).astype(np.float32)
    return low, max(high, low + np.float32(1e-3))


def _shading(part: Ground) -> Shading:
    return Shading(edge=part.edge.astype(np.float32), thickest=part.thickest, fade=part.fade.astype(np.float32))


def _part(ground: Ground, rng: np.random.Generator, *, size: int) -> Ground:
    """Cut a square around a pixel of the breast, with the margin."""
    rows, columns = ground.shape
    for _ in range(_TRIES):
        row, column = int(rng.integers(rows)), int(rng.integers(columns))
        if ground.mask[row + ground.margin_px, column + ground.margin_px]:
            break
    top, left = int(np.clip(row - size // 2, 0, rows - size)), int(np.clip(column - size // 2, 0, columns - size))
    whole = size + 2 * ground.margin_px
    return _each(ground, lambda plane: plane[top : top + whole, left : left + whole])


def _turned(part: Ground, rng: np.random.Generator) -> Ground:
    """Mirror and turn a part: lesions have no way up."""
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


def _fill(
    attenuation: Field, part: Ground, scanner: Scanner, rng: np.random.Generator, *, contents: Contents
) -> NDArray[np.float64]:
    """Put something into a crop with its margin; return what is sought of it: column, row, radius, channel 0."""
    pitch, margin = part.pitch_mm, part.margin_px
    frame = Frame(rows=attenuation.shape[0], columns=attenuation.shape[1], pitch_mm=pitch, nipple_row_mm=0.0)
    for _ in range(int(rng.integers(_MOST_SPECKS + 1))):
        column, row = _place(part, rng)
        add_speck(attenuation, column, row, rng.uniform(0.15, 0.5), frame=frame)
    kind = str(rng.choice(list(contents.chances), p=list(contents.chances.values())))
    column, row = _place(part, rng)
    at = int(row / pitch), int(column / pitch)
    if kind == "nothing" or not part.deep[at]:
        return np.zeros((0, 4))
    if kind == "vessel":
        add_vessel_calcifications(attenuation, column, row, frame=frame, rng=rng)
        return np.zeros((0, 4))
    lesion = _lesion(kind, rng)
    # In the cranio-caudal view a lesion lies `depth_mm` right of the frame's first column, and `lateral_mm` above.
    here = replace(lesion, depth_mm=column, lateral_mm=-row)
    add_lesion(attenuation, replace(here, calcifications=0), "CC", frame=frame)
    cluster_is_seen = "cluster" in lesion.kinds and _add_cluster(attenuation, here, scanner, frame=frame)
    is_sought = cluster_is_seen if contents.sought == "cluster" else contents.sought in lesion.kinds
    return np.array([[at[1] - margin, at[0] - margin, lesion.radius_mm / pitch, 0]]) if is_sought else np.zeros((0, 4))


def _add_cluster(attenuation: Field, lesion: Lesion, scanner: Scanner, *, frame: Frame) -> bool:
    """Add the calcifications of a lesion, if they can be seen; say whether."""
    cluster = np.zeros_like(attenuation)
    add_lesion(cluster, replace(lesion, density_per_cm=0.0, spicules=0), "CC", frame=frame)
    if detectability(cluster, attenuation, scanner, pitch_mm=frame.pitch_mm) < _VISIBLE:
        return False
    attenuation += cluster
    return True


def detectability(cluster: Field, attenuation: Field, scanner: Scanner, *, pitch_mm: float = FINE_MM) -> float:
    """Return d' of an ideal observer who knows the attenuation of a cluster and of all around it: against grain alone.

    See Burgess 1999, J Opt Soc Am A 16:633; the tissue, which no observer knows, hides more.
    """
    seen = blurred(cluster, scanner.blur_mm, pitch_mm=pitch_mm)
    quanta = scanner.quanta_per_mm2 * pitch_mm**2 * np.exp(-attenuation)
    return float(np.sqrt((seen**2 * quanta).sum()))


def _place(part: Ground, rng: np.random.Generator) -> tuple[float, float]:
    """Return column and row (mm) of a place within the crop proper."""
    rows, columns = part.shape
    column, row = rng.uniform(0, columns), rng.uniform(0, rows)
    return (column + part.margin_px) * part.pitch_mm, (row + part.margin_px) * part.pitch_mm


def _lesion(kind: str, rng: np.random.Generator) -> Lesion:
    draw = {"cluster": random_cluster, "mass": random_lesion, "distortion": random_distortion}[kind]
    return draw(Breast(side="L", seed=int(rng.integers(2**31))), int(rng.integers(2**31)))
