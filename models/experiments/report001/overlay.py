# SPDX-License-Identifier: Apache-2.0
"""Report 001's pseudo-abnormal films: binarise a normal one and lay shapes of varied size, form and place over it.

The report does not say how the shapes were made. Here the binary image says where air is dark, shapes are discs,
ellipses and crooked strands, and they brighten the film only there; no physics of an exposure takes part.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage

FloatImage = NDArray[np.float32]
Places = NDArray[np.float64]
SIZES_MM = (1.5, 10.0)


def binarised(film: FloatImage) -> NDArray[np.bool_]:
    """Return True where the film is dark, by Otsu's threshold."""
    dark = SimpleITK.OtsuThreshold(SimpleITK.GetImageFromArray(film), 1, 0)  # type: ignore[no-untyped-call]
    return np.asarray(SimpleITK.GetArrayFromImage(dark), dtype=np.bool_)


def pseudo_abnormal(film: FloatImage, *, pixel_mm: float, rng: np.random.Generator) -> FloatImage:
    """Return the film (rows, columns) in [0, 1] with shapes over its dark parts; the same generator, the same film."""
    dark = binarised(film)
    count = int(rng.integers(8, 60) * film.size * pixel_mm**2 / 64**2) + 1
    places = DISTRIBUTIONS[str(rng.choice(list(DISTRIBUTIONS)))](film.shape, count, rng)
    draw = FORMS[str(rng.choice(list(FORMS)))]
    drawn = np.zeros(film.shape, dtype=np.float32)
    largest = rng.uniform(SIZES_MM[0] * 1.5, SIZES_MM[1])
    for row, column in places:
        draw(drawn, (row, column), rng.uniform(SIZES_MM[0], largest) / pixel_mm, rng)
    soft = ndimage.gaussian_filter(drawn * dark, 0.7)
    strength = rng.uniform(0.06, 0.3)
    return np.asarray(np.clip(film + np.float32(strength) * soft, 0, 1), dtype=np.float32)


def _everywhere(shape: tuple[int, ...], count: int, rng: np.random.Generator) -> Places:
    return rng.uniform(0, shape, (count, 2))


def _upper(shape: tuple[int, ...], count: int, rng: np.random.Generator) -> Places:
    return np.stack([shape[0] * rng.beta(1, 2.5, count), rng.uniform(0, shape[1], count)], axis=1)


def _clustered(shape: tuple[int, ...], count: int, rng: np.random.Generator) -> Places:
    middles = rng.uniform(0, shape, (3, 2))
    return middles[rng.integers(3, size=count)] + rng.normal(0, 0.12 * max(shape), (count, 2))


def _ellipse(
    drawn: FloatImage, place: tuple[float, float], width: float, rng: np.random.Generator, *, longest: float = 2.2
) -> None:
    length = width * rng.uniform(1.0, longest)
    angle = rng.uniform(0, np.pi)
    reach = int(np.ceil(length / 2)) + 1
    top, left = (max(0, int(at) - reach) for at in place)
    window = drawn[top : int(place[0]) + reach + 1, left : int(place[1]) + reach + 1]
    if not window.size:
        return
    rows, columns = np.ogrid[top : top + window.shape[0], left : left + window.shape[1]]
    down, across = rows - place[0], columns - place[1]
    along = np.cos(angle) * across + np.sin(angle) * down
    aside = np.cos(angle) * down - np.sin(angle) * across
    inside = (2 * along / length) ** 2 + (2 * aside / width) ** 2 <= 1
    window[inside] = np.maximum(window[inside], np.float32(rng.uniform(0.5, 1.0)))


def _disc(drawn: FloatImage, place: tuple[float, float], width: float, rng: np.random.Generator) -> None:
    _ellipse(drawn, place, width, rng, longest=1.0)


def _strand(drawn: FloatImage, place: tuple[float, float], width: float, rng: np.random.Generator) -> None:
    """Draw a chain of small discs along a crooked way, four widths long."""
    heading = rng.uniform(0, 2 * np.pi)
    row, column = place
    for _ in range(8):
        heading += rng.normal(0, 0.4)
        row, column = row + width / 2 * np.sin(heading), column + width / 2 * np.cos(heading)
        _disc(drawn, (row, column), max(width / 2.5, 1.0), rng)


Form = Callable[[FloatImage, tuple[float, float], float, np.random.Generator], None]
FORMS: Mapping[str, Form] = MappingProxyType({"disc": _disc, "ellipse": _ellipse, "strand": _strand})
DISTRIBUTIONS: Mapping[str, Callable[[tuple[int, ...], int, np.random.Generator], Places]] = MappingProxyType(
    {"everywhere": _everywhere, "upper": _upper, "clustered": _clustered}
)
