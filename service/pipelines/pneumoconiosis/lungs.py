# SPDX-License-Identifier: Apache-2.0
"""Finds the lungs on a film and cuts them into the six ILO zones and the crops that the classifier reads."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from service.domain.image import Affine, Radiograph
from service.imaging.masks import area_cm2, bounding_box, fill_holes, largest_components, thirds
from service.imaging.normalise import normalise_in_mask
from service.imaging.resample import back_to, letter_box, resample_box, resample_mm

Mask = NDArray[np.bool_]
FloatImage = NDArray[np.float32]

ZONES = ("RU", "RM", "RL", "LU", "LM", "LL")
"""Right and left upper, middle and lower zone: equal thirds of each lung's height (ILO)."""
SEGMENTATION_SHAPE = (256, 256)
_DISC = np.hypot(*np.mgrid[-3:4, -3:4]) <= 3
"""About 10 mm across on a whole film: what is thinner is a cable or a skin fold, not lung."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Film:
    """An upright radiograph at the classifier's own pixel size.

    `pixels` is float32 (rows, columns) in [0, 1]; `to_source` maps its (x, y) to the stored image's.
    """

    pixels: FloatImage
    pixel_mm: float
    to_source: Affine


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Lungs:
    """Masks on a film's grid; right and left are the patient's."""

    right: Mask
    left: Mask
    heart: Mask

    @property
    def both(self) -> Mask:
        """Either lung."""
        return self.right | self.left

    def areas_cm2(self, pixel_mm: float) -> tuple[float, float]:
        """Return the areas of the right and the left lung at the detector plane."""
        spacing = (pixel_mm, pixel_mm)
        return area_cm2(self.right, spacing), area_cm2(self.left, spacing)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ZoneCrop:
    """One zone as the classifier sees it: `tensor` is (2, size, size), picture and mask; `to_film` maps (x, y)."""

    name: str
    tensor: FloatImage
    to_film: Affine
    box: tuple[int, int, int, int]
    mask: Mask


def resample_film(radiograph: Radiograph, *, spacing_mm: tuple[float, float], pixel_mm: float) -> Film:
    """Bring the radiograph to square pixels of `pixel_mm`."""
    pixels, back = resample_mm(radiograph.pixels, spacing_mm, target_mm=pixel_mm)
    return Film(pixels=pixels, pixel_mm=pixel_mm, to_source=back.then(radiograph.to_source))


def segmentation_input(pixels: FloatImage) -> tuple[FloatImage, Affine]:
    """Return the whole film as (1, 1, 256, 256), its 0.5th to 99.5th percentile at 0 and 1, and the map back."""
    everywhere = np.ones(pixels.shape, dtype=np.bool_)
    shown = normalise_in_mask(pixels, everywhere, percentiles=(0.5, 99.5))
    boxed, back = letter_box(shown, SEGMENTATION_SHAPE)
    return boxed[None, None], back


def lungs_from(probabilities: FloatImage, to_film: Affine, *, shape: tuple[int, int]) -> Lungs:
    """Turn the network's (3, 256, 256) into masks on the film: one piece each, without spurs and holes."""
    smooth = (np.where(ndimage.binary_opening(channel > 0.5, _DISC), channel, 0) for channel in probabilities)
    right, left, heart = (_one_piece(back_to(channel, to_film, shape=shape) > 0.5) for channel in smooth)
    return Lungs(right=right, left=left & ~right, heart=heart)


def _one_piece(mask: Mask) -> Mask:
    return fill_holes(largest_components(mask))


def zone_masks(lungs: Lungs) -> dict[str, Mask]:
    """Return the six zones by name."""
    return dict(zip(ZONES, (*thirds(lungs.right), *thirds(lungs.left)), strict=True))


def zone_crops(film: Film, lungs: Lungs, *, size: int) -> Iterator[ZoneCrop]:
    """Cut out the zones in the order of ZONES; grey values are normalised over both lungs, never over air.

    Pixels outside the zone take the zone's mean, and the mask says so, or the mask's edge would be a feature.
    """
    shown = normalise_in_mask(film.pixels, lungs.both)
    for name, mask in zone_masks(lungs).items():
        box = bounding_box(mask)
        if box is not None:
            yield _crop(name, shown, mask=mask, box=box, size=size)


def _crop(name: str, shown: FloatImage, *, mask: Mask, box: tuple[int, int, int, int], size: int) -> ZoneCrop:
    left, top = (box[0] + box[2] - size) // 2, (box[1] + box[3] - size) // 2
    window = (left, top, left + size, top + size)
    inside, to_film = resample_box(mask, window, shape=(size, size))
    mean = float(shown[mask].mean())
    picture, _ = resample_box(shown, window, shape=(size, size), fill=mean)
    tensor = np.stack([np.where(inside > 0, picture, np.float32(mean)), inside]).astype(np.float32)
    return ZoneCrop(name=name, tensor=tensor, to_film=to_film, box=box, mask=mask)
