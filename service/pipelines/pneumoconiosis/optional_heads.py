# SPDX-License-Identifier: Apache-2.0
"""What only some packages read: large opacities by a graph of their own, the pleura by an output of the zones graph.

Both are named by the package's parameters (docs/model-packages.md); without them nothing is run, and the sheet says
that nothing was read.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from service.imaging.masks import bounding_box
from service.imaging.normalise import normalise_in_mask
from service.imaging.resample import back_to, letter_box
from service.pipelines.pneumoconiosis.large_opacities import FieldAreas, LargeOpacity
from service.pipelines.pneumoconiosis.lungs import ZONES, Film, Lungs, Mask, zone_masks
from service.pipelines.pneumoconiosis.sheet import LargeOpacities
from service.ports import Package

LARGE: Final = "large_opacities"
"""Parameter: {graph, input, output, size, threshold}."""
PLEURA: Final = "pleura"
"""Parameter: {output, threshold}; the output is one of the zones graph, (zones, findings) logits."""


def read_large_opacities(film: Film, lungs: Lungs, package: Package) -> LargeOpacities | None:
    """Return the large opacities that the package's detector finds; None where the package has none."""
    how = package.parameters.get(LARGE)
    if how is None:
        return None
    size = int(how["size"])
    boxed, to_film = letter_box(normalise_in_mask(film.pixels, lungs.both), (size, size))
    found = package.run(str(how["graph"]), {str(how["input"]): boxed[None, None]})[str(how["output"])][0, 0]
    shape = (film.pixels.shape[0], film.pixels.shape[1])
    scores = back_to(found, to_film, shape=shape)
    return LargeOpacities.of(
        tuple(_opacities(scores, lungs, threshold=float(how["threshold"]), pixel_mm=film.pixel_mm)),
        field_areas(film, lungs),
    )


def field_areas(film: Film, lungs: Lungs) -> FieldAreas:
    """Return the areas that the categories are held against."""
    right, left = lungs.areas_cm2(film.pixel_mm)
    upper = float(zone_masks(lungs)["RU"].sum()) * (film.pixel_mm / 10) ** 2
    return FieldAreas(right_upper_zone_cm2=upper, right_lung_cm2=right, left_lung_cm2=left)


def _opacities(
    scores: NDArray[np.float32], lungs: Lungs, *, threshold: float, pixel_mm: float
) -> Iterator[LargeOpacity]:
    """Yield what reaches the threshold inside either lung, piece by piece."""
    for side, lung in (("R", lungs.right), ("L", lungs.left)):
        labels, count = ndimage.label((scores >= threshold) & lung)
        for number in range(1, count + 1):
            piece = labels == number
            x0, y0, x1, y1 = map(float, bounding_box(piece) or (0, 0, 1, 1))
            yield LargeOpacity(
                side=side,
                box=(x0, y0, x1, y1),
                longest_mm=longest_diameter_px(piece) * pixel_mm,
                area_cm2=float(piece.sum()) * (pixel_mm / 10) ** 2,
                score=float(scores[piece].max()),
            )


def longest_diameter_px(piece: Mask) -> float:
    """Return the longest distance between two corners of a mask's pixels."""
    rows, columns = np.nonzero(piece)
    corners = np.concatenate([np.stack([rows + dy, columns + dx], axis=1) for dy in (0, 1) for dx in (0, 1)])
    try:
        outer = corners[ConvexHull(corners).vertices]
    except QhullError:
        return 0.0
    return max((float(np.hypot(*(one - other))) for one, other in combinations(outer, 2)), default=0.0)


def read_pleura(
    outputs: Mapping[str, NDArray[np.float32]], package: Package, *, zones: Sequence[str] = ZONES
) -> tuple[str, ...] | None:
    """Return the sides on which the zones graph sees pleural abnormality; None where the package has no such head.

    `zones` are the names of the crops that the graph was given, in their order.
    """
    how: Any = package.parameters.get(PLEURA)
    if how is None:
        return None
    scores = 1 / (1 + np.exp(-outputs[str(how["output"])].astype(np.float64)))
    seen = scores.max(axis=1) >= float(how["threshold"])
    return tuple(dict.fromkeys(name[0] for name, there in zip(zones, seen, strict=True) if there))
