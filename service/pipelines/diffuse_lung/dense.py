# SPDX-License-Identifier: Apache-2.0
"""Asks a package's graph for lung that holds no air any more, and takes of its answer what thresholds cannot see."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from service.domain.errors import PackageError
from service.imaging.masks import Mask, remove_thin
from service.imaging.normalise import window_ct
from service.imaging.resample import back_to, resample_mm
from service.ports import Package

SeeLung = Callable[[NDArray[np.float32], float], Mask]
"""A slice (rows, columns) in Hounsfield units and its pixel size in mm, to where it sees lung, with air or without."""
RunGraph = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A slice float32 (1, 1, rows, columns), the window from 0 to 1, to the output of that shape, in [0, 1]."""

_KEY: Final = "parameters.dense_lung"
_MULTIPLE_PX: Final = 32
_BLUR_MM: Final = 2.0
_AIR_HU: Final = -400.0
_FAT_HU: Final = -60.0
_DENSEST_HU: Final = 150.0
_THINNEST_MM: Final = 8.0
_SMALLEST_CM2: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseLung:
    """The parameter `dense_lung`: which graph sees lung without air, and how a slice is shown to it.

    Parameters
    ----------
    graph, input, output
        The graph, its input float32 (1, 1, rows, columns), the window from 0 to 1, both sides multiples of 32, and its
        output of the same shape, in [0, 1].
    pixel_mm
        Size of the square pixels that the graph is shown.
    window_hu
        Hounsfield units of 0 and 1.
    threshold
        Lung is where the output is at least this.
    """

    graph: str
    input: str
    output: str
    pixel_mm: float
    window_hu: tuple[float, float]
    threshold: float

    @classmethod
    def parse(cls, mapping: Any) -> "DenseLung":
        """Take the manifest's mapping.

        Raises
        ------
        PackageError
            A key is missing or unknown, or a value is not of its kind.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(mapping, Mapping) or set(mapping) != names:
            raise PackageError(f"{_KEY}: value {mapping!r} is not a mapping of {', '.join(sorted(names))}")
        try:
            low, high = map(float, mapping["window_hu"])
            found = cls(
                graph=str(mapping["graph"]),
                input=str(mapping["input"]),
                output=str(mapping["output"]),
                pixel_mm=float(mapping["pixel_mm"]),
                window_hu=(low, high),
                threshold=float(mapping["threshold"]),
            )
        except (TypeError, ValueError) as error:
            raise PackageError(f"{_KEY}: {error}; window_hu is two numbers, pixel_mm and threshold one each") from error
        if not (found.pixel_mm > 0 and low < high and 0 < found.threshold <= 1):
            raise PackageError(
                f"{_KEY}: pixel_mm {found.pixel_mm:g}, window_hu {low:g} to {high:g}, threshold {found.threshold:g}; "
                "needed are a pixel above 0, a rising window and a threshold above 0 and up to 1"
            )
        return found


def see_lung(package: Package, how: DenseLung) -> SeeLung:
    """Return what the package's graph sees."""
    return see_with(lambda picture: package.run(how.graph, {how.input: picture})[how.output], how)


def see_with(run: RunGraph, how: DenseLung) -> SeeLung:
    """Return what a graph sees, a slice at a time: memory and time do not grow with the series."""

    def see(hounsfield: NDArray[np.float32], pixel_mm: float) -> Mask:
        shown, back = resample_mm(hounsfield, (pixel_mm, pixel_mm), target_mm=how.pixel_mm)
        low, high = how.window_hu
        rows, columns = shown.shape
        picture = np.pad(window_ct(shown, low=low, high=high), [(0, -size % _MULTIPLE_PX) for size in shown.shape])
        seen = run(picture[None, None])[0, 0, :rows, :columns]
        return back_to(seen, back, shape=(hounsfield.shape[0], hounsfield.shape[1])) >= how.threshold

    return see


def lost_lung(hounsfield: NDArray[np.float32], seen: Mask, found: Mask, *, pixel_mm: float) -> Mask:
    """Return what is seen as lung and was not found: broad pieces of soft tissue.

    What is thinner than 8 mm is a vessel, or the two outlines' difference; what is smoothed over 2 mm and still denser
    than 150 HU is bone, or blood with contrast agent; a piece whose median is below -60 HU is fat; air that thresholds
    have turned down is bowel's.

    Parameters
    ----------
    seen
        Where a graph sees lung, with air or without.
    found
        Lung that thresholds found.
    """
    smooth = ndimage.gaussian_filter(hounsfield, _BLUR_MM / pixel_mm)
    missed = seen & ~found & (smooth < _DENSEST_HU) & ~_large(hounsfield < _AIR_HU, pixel_mm)
    labels, count = ndimage.label(broad(missed, pixel_mm=pixel_mm))
    medians = np.array([-np.inf, *ndimage.median(smooth, labels, range(1, count + 1))])
    kept: Mask = (medians >= _FAT_HU)[labels]
    return kept


def broad(mask: Mask, *, pixel_mm: float) -> Mask:
    """Return what of a mask is at least 8 mm broad, in pieces of at least 2 cm2."""
    return _large(remove_thin(mask, round(_THINNEST_MM / 2 / pixel_mm)), pixel_mm)


def _large(mask: Mask, pixel_mm: float) -> Mask:
    """Return the pieces of at least 2 cm2."""
    labels, count = ndimage.label(mask)
    large = np.bincount(labels.ravel(), minlength=count + 1) * (pixel_mm**2 / 100) >= _SMALLEST_CM2
    large[0] = False
    kept: Mask = large[labels]
    return kept
