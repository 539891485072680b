# SPDX-License-Identifier: Apache-2.0
"""What only some packages read, each by a graph of its own: large opacities and the pleura.

Both are named by the package's parameters (docs/model-packages.md); without them nothing is run, and the sheet says
that nothing was read.
"""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError

from service.domain.image import Affine
from service.imaging.masks import bounding_box
from service.imaging.normalise import normalise_in_mask
from service.imaging.resample import back_to, letter_box
from service.pipelines.pneumoconiosis.large_opacities import FieldAreas, LargeOpacity
from service.pipelines.pneumoconiosis.lungs import Film, FloatImage, Lungs, Mask, zone_masks
from service.pipelines.pneumoconiosis.pleura import FINDINGS, PleuralReading, side_scores
from service.pipelines.pneumoconiosis.sheet import LargeOpacities
from service.ports import Package

LARGE: Final = "large_opacities"
"""Parameter: {graph, input, output, size, threshold}."""
OFF: Final = "off"
"""Key of what is there and not run: {called, films}, how many normal films it called."""
PLEURA: Final = "pleura"
"""Parameter: {graph, input, output, size, least_mm2, findings: {NAME: {threshold} or {threshold, off}}}."""


def read_large_opacities(film: Film, lungs: Lungs, package: Package) -> LargeOpacities | None:
    """Return the large opacities that the package's detector finds; None where the package has none that is on."""
    how = package.parameters.get(LARGE)
    if how is None or OFF in how:
        return None
    found, to_film = _run(how, film, lungs, package)
    return categories_of(found[0], film, lungs, to_film=to_film, threshold=float(how["threshold"]))


def categories_of(found: FloatImage, film: Film, lungs: Lungs, *, to_film: Affine, threshold: float) -> LargeOpacities:
    """Return what reaches the threshold in a map of scores (rows, columns), measured on the film."""
    scores = back_to(found, to_film, shape=(film.pixels.shape[0], film.pixels.shape[1]))
    return LargeOpacities.of(
        tuple(_opacities(scores, lungs, threshold=threshold, pixel_mm=film.pixel_mm)), field_areas(film, lungs)
    )


def _run(how: Mapping[str, Any], film: Film, lungs: Lungs, package: Package) -> tuple[FloatImage, Affine]:
    """Show the whole film to a graph; return its maps (channels, rows, columns) and where they lie on the film."""
    size = int(how["size"])
    boxed, to_film = letter_box(normalise_in_mask(film.pixels, lungs.both), (size, size))
    return package.run(str(how["graph"]), {str(how["input"]): boxed[None, None]})[str(how["output"])][0], to_film


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


def read_pleura(film: Film, lungs: Lungs, package: Package) -> PleuralReading | None:
    """Return what the package's graph sees of the pleura, finding by finding; None where the package has none."""
    how = package.parameters.get(PLEURA)
    if how is None:
        return None
    entries = how["findings"]
    on = {name: float(entry["threshold"]) for name, entry in entries.items() if OFF not in entry}
    unread = {name: why_off(entries.get(name)) for name in FINDINGS if name not in on}
    if not on:
        return PleuralReading(scores={}, thresholds={}, unread=unread)
    maps, to_film = _run(how, film, lungs, package)
    boxed = [letter_box(lung, (maps.shape[1], maps.shape[2]))[0] > 0.5 for lung in (lungs.right, lungs.left)]
    pixel_mm = film.pixel_mm * to_film.a
    scores = side_scores(maps, *boxed, pixel_mm=pixel_mm, least_mm2=float(how["least_mm2"]))
    return PleuralReading(scores=scores, thresholds=on, unread=unread)


def why_off(how: Mapping[str, Any] | None) -> str:
    """Return why a part that a package has is not read, "" where it has none or reads it."""
    if how is None or OFF not in how:
        return ""
    off = how[OFF]
    return f"switched off: {int(off['called'])} of {int(off['films'])} normal films were called"
