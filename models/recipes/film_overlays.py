# SPDX-License-Identifier: Apache-2.0
"""Draws dust opacities into real chest films as an exposure would show them.

What a ray loses in an opacity adds to its log exposure, and a display curve is close to a sigmoid of that. The logit
of the grey value is therefore taken as the scale on which tissue adds up; how much of it a millimetre makes is read off
the film itself, from its step between lungs and heart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.phantoms.chest_radiograph.opacities import Disease, opacity_path
from service.imaging.resample import back_to, resample_box
from service.pipelines.pneumoconiosis.lungs import ZONES, Film, FloatImage, Lungs, zone_masks

HEART_LESS_LUNG_MM = 66.0
"""Tissue that makes, as a small detail, the logit step from lung to heart: the median of 30 phantoms, whose truth is
known (51 to 77 from the 10th to the 90th percentile). The real difference is larger: consoles raise detail."""
_WALL_MM = 40.0
_DARKEST, _BRIGHTEST = 0.02, 0.98


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Overlaid:
    """A film with opacities: `pixels` as the film's, `opacity_mm` what was added along the ray, mm of soft tissue."""

    pixels: FloatImage
    opacity_mm: FloatImage


def overlay(film: Film, lungs: Lungs, disease: Disease, *, rng: np.random.Generator, strength: float = 1.0) -> Overlaid:
    """Draw a disease into the lungs of a film; nothing outside them changes.

    Parameters
    ----------
    strength
        Factor on the contrast of the opacities: the film's own scale is known to about a third.

    Raises
    ------
    ValueError
        The heart is not brighter than the lungs, so that the film's scale cannot be read.
    """
    path = opacity_path(disease, zone_numbers(lungs), pitch_mm=film.pixel_mm, rng=rng)
    path *= np.sqrt(aerated_share(lungs.both, pixel_mm=film.pixel_mm))
    seen = np.maximum(_through_source(path, film), 0) * lungs.both
    return Overlaid(
        pixels=_brighten(film.pixels, seen, logit_per_mm=strength * logit_per_mm(film, lungs)), opacity_mm=seen
    )


def lay_over(film: Film, lungs: Lungs, path_mm: FloatImage, *, strength: float = 1.0) -> Film:
    """Return the film with mm of soft tissue added along its rays, as `overlay` adds opacities.

    Raises
    ------
    ValueError
        The heart is not brighter than the lungs.
    """
    seen = np.maximum(_through_source(path_mm, film), 0)
    pixels = _brighten(film.pixels, seen, logit_per_mm=strength * logit_per_mm(film, lungs))
    return Film(pixels=pixels, pixel_mm=film.pixel_mm, to_source=film.to_source)


def zone_numbers(lungs: Lungs) -> NDArray[np.uint8]:
    """Return 0 outside and 1 to 6 in the zones, in the order of ZONES."""
    numbers = np.zeros(lungs.right.shape, dtype=np.uint8)
    masks = zone_masks(lungs)
    for number, name in enumerate(ZONES, start=1):
        numbers[masks[name]] = number
    return numbers


def aerated_share(lung: NDArray[np.bool_], *, pixel_mm: float) -> FloatImage:
    """Return the share of the ray's way that is lung, 0 to 1: it grows as a chord from the border inwards."""
    depth_mm = ndimage.distance_transform_edt(lung) * pixel_mm
    return np.asarray(np.sqrt(np.clip(depth_mm / _WALL_MM, 0, 1)), dtype=np.float32)


def logit_per_mm(film: Film, lungs: Lungs) -> float:
    """Return by how much a millimetre of tissue in a small opacity raises the logit of the film's grey.

    Raises
    ------
    ValueError
        The heart is not brighter than the lungs.
    """
    heart, lung = (float(np.median(_logit(film.pixels[mask]))) for mask in (lungs.heart, lungs.both))
    if not heart - lung > 0.1:
        raise ValueError(
            f"logit of the heart's grey less that of the lungs' is {heart - lung:.2f}; more than 0.1 is needed to read "
            "the film's contrast: leave this film out"
        )
    return (heart - lung) / HEART_LESS_LUNG_MM


def _logit(grey: FloatImage) -> FloatImage:
    shown = np.clip(grey, _DARKEST, _BRIGHTEST)
    return np.asarray(np.log(shown / (1 - shown)), dtype=np.float32)


def _brighten(grey: FloatImage, path_mm: FloatImage, *, logit_per_mm: float) -> FloatImage:
    """Add the path where there is one; what is brighter than the scale's end stays as it is."""
    raised = 1 / (1 + np.exp(-(_logit(grey) + np.float32(logit_per_mm) * path_mm)))
    return np.where(path_mm > 0, np.maximum(raised, grey), grey).astype(np.float32)


def _through_source(path_mm: FloatImage, film: Film) -> FloatImage:
    """Blur the path as the film's stored pixels would: averaged on their grid, and brought back from it."""
    corner = film.to_source.box((0, 0, film.pixels.shape[1], film.pixels.shape[0]))
    shape = max(1, round(corner[3] - corner[1])), max(1, round(corner[2] - corner[0]))
    step = (film.pixels.shape[1] / shape[1], film.pixels.shape[0] / shape[0])
    if max(step) >= 1:  # stored pixels are the larger ones
        coarse, back = resample_box(path_mm, (0, 0, film.pixels.shape[1], film.pixels.shape[0]), shape=shape)
        return back_to(coarse, back, shape=(film.pixels.shape[0], film.pixels.shape[1]))
    return path_mm
