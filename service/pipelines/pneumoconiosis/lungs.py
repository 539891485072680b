# SPDX-License-Identifier: Apache-2.0
"""Finds the lungs on a film and cuts them into the six ILO zones and the crops that the classifier reads."""

from collections.abc import Callable, Iterator
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
Find = Callable[[FloatImage], FloatImage]

ZONES = ("RU", "RM", "RL", "LU", "LM", "LL")
"""Right and left upper, middle and lower zone: equal thirds of each lung's height (ILO)."""
SEGMENTATION_SHAPE = (256, 256)
MARGINS = (0.1, 0.2, 0.3)
"""Shares of the longer side by which a closely cropped film is continued on every side to be looked at again."""
_CLOSE = 0.08
"""Of the film's height or width, on all four sides: closely cropped. None of 33 whole public films is."""
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


def lungs_on(pixels: FloatImage, probabilities: FloatImage, to_film: Affine, *, find: Find) -> Lungs:
    """Turn the network's answer to a film into masks; a closely cropped film is looked at again, with margins.

    The network has rarely seen lungs that fill a picture, and stops short of its border: there, what any look is sure
    of is lung.

    Parameters
    ----------
    probabilities, to_film
        Of the first look, without a margin: (3, 256, 256), and the map from it to the film.
    find
        From (N, 1, 256, 256) to probabilities (N, 3, 256, 256).
    """
    shape = (pixels.shape[0], pixels.shape[1])
    lungs = lungs_from(probabilities, to_film, shape=shape)
    if not closely_cropped(lungs):
        return lungs
    wide = [round(margin * max(shape)) for margin in MARGINS]
    boxed = [segmentation_input(np.pad(pixels, width, mode="edge")) for width in wide]
    found = find(np.concatenate([film for film, _ in boxed]))
    seen = _drawn(probabilities, to_film, shape=shape)
    for width, (_, back), masks in zip(wide, boxed, found, strict=True):
        seen = np.maximum(seen, _drawn(masks, back.then(Affine(c=-width, f=-width)), shape=shape))
    return _lungs_of(seen)


def lungs_from(probabilities: FloatImage, to_film: Affine, *, shape: tuple[int, int]) -> Lungs:
    """Turn the network's (3, 256, 256) into masks on the film: one piece each, without spurs and holes."""
    return _lungs_of(_drawn(probabilities, to_film, shape=shape))


def _drawn(probabilities: FloatImage, to_film: Affine, *, shape: tuple[int, int]) -> FloatImage:
    """Bring the network's (3, 256, 256) onto the film, without spurs."""
    smooth = (np.where(ndimage.binary_opening(channel > 0.5, _DISC), channel, 0) for channel in probabilities)
    return np.stack([back_to(channel, to_film, shape=shape) for channel in smooth])


def _lungs_of(seen: FloatImage) -> Lungs:
    right, left, heart = (_one_piece(channel > 0.5) for channel in seen)
    return Lungs(right=right, left=left & ~right, heart=heart)


def closely_cropped(lungs: Lungs) -> bool:
    """Whether the lungs come close to all four sides of the film, as on a detail that was cut out of one."""
    box = bounding_box(lungs.both)
    if box is None:
        return False
    rows, columns = lungs.right.shape
    widest = max(box[0] / columns, box[1] / rows, 1 - box[2] / columns, 1 - box[3] / rows)
    return bool(widest <= _CLOSE)


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
