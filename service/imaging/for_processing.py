# SPDX-License-Identifier: Apache-2.0
"""From detector values to a picture: what For Processing mammograms need before anybody can read them.

`log-equalised-1`, in the order of published conversions; what it does never changes under this name:

1. *Logarithm* by Pixel Intensity Relationship and its Sign (PS3.3 C.8.11.3.1.2), so that dense tissue is high.
   Photometric Interpretation is left aside: it says how raw values are to be shown, not what they are.
2. *Equalisation of the edge*: towards the skin the compressed breast gets thinner, and darker than what is in it (Bick
   et al., RadioGraphics 1996;16:1391; Byng et al., Radiology 1997;203:564). Its thickness is taken for flat and rounded
   at the edge (a simple case of Snoeren and Karssemeijer, IEEE Trans Med Imaging 2004;23:799), fitted to the fattest
   tissue at each distance from the skin; most of the fall is taken out.
3. *Window* between the fattest and the densest tissue. Air is black, and the skin fades into it.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from service.domain.conversion import Conversion
from service.domain.image import StoredImage
from service.imaging.grayscale import modality_values, padding_mask
from service.imaging.masks import breast_mask
from service.imaging.resample import back_to, resample_mm

Pixels = NDArray[np.float32]
Profile = NDArray[np.float64]
RELATIONSHIPS: Final = ("LIN", "LOG")
SIGNS: Final = (1, -1)

_COARSE_MM: Final = 0.5
"""Pixels in which outline and fall towards the skin are measured; the fall is smoother than that."""
_DEPTH_MM: Final = 40
"""How far behind the skin the fall is measured."""
_REACHES_MM: Final = tuple(range(8, 37))
"""Widths of the rounded edge that are tried: up to half of the thickest compressed breast."""
_SKIN_MM: Final = 2
"""Skin, which is no fat, takes no part in the fit."""
_FATTEST: Final = 0.1
"""Quantile of the attenuation at one distance from the skin that stands for tissue without glands."""
_TAKEN_OUT: Final = 0.85
"""Share of the fall that is taken out: readers are used to see the rest."""
_SMOOTH_MM: Final = 2.0
_FADED: Final = 0.5
"""Share of the middle's fat below which the skin fades into the air."""
_WINDOW: Final = (0.01, 0.995)
"""Quantiles of the equalised breast that are shown at `_SHOWN`."""
_SHOWN: Final = (0.15, 0.9)
_RIM_MM: Final = 5.0
"""Rim that takes no part in the window."""
_LEAST_PIXELS: Final = 20
_TABLE_LIMIT: Final = 1 << 17


def log_equalised(image: StoredImage) -> Pixels:
    """Return float32 (rows, columns) in [0, 1], 0 shown black; all black where no breast is found.

    Parameters
    ----------
    image
        With an `intensity_relationship` of RELATIONSHIPS, an `intensity_sign` of SIGNS and a pixel spacing.

    Raises
    ------
    ValueError
        The image does not say what its values mean; who calls has refused it before.
    """
    if image.spacing_mm is None:
        raise ValueError("a For Processing image without pixel spacing cannot be converted")
    shown = _attenuation(image)
    coarse, to_image = resample_mm(shown, image.spacing_mm, target_mm=_COARSE_MM)
    air, densest = (float(value) for value in np.quantile(coarse, (0.01, 0.999)))
    coarse -= np.float32(air)
    mask = breast_mask(coarse / np.float32(max(densest - air, 1e-6)))
    if not mask.any():
        return np.zeros(shown.shape, dtype=np.float32)
    inside = ndimage.distance_transform_edt(mask).astype(np.float32) * _COARSE_MM
    lift, fade = _edge(coarse, inside)
    low, high = _limits(coarse + lift, inside)
    shape = (shown.shape[0], shown.shape[1])
    shown += back_to(lift, to_image, shape=shape)
    shown -= np.float32(air + low)
    shown *= np.float32((_SHOWN[1] - _SHOWN[0]) / (high - low))
    shown += np.float32(_SHOWN[0])
    np.clip(shown, 0, 1, out=shown)
    shown *= back_to(fade, to_image, shape=shape)
    return shown


def _attenuation(image: StoredImage) -> Pixels:
    """Return how much of the beam was lost, as a logarithm on any scale, up to a constant; padding lost nothing."""
    low, high = int(image.pixels.min()), int(image.pixels.max())
    if high - low < _TABLE_LIMIT:
        table = _lost(image, np.arange(low, high + 1))
        found: Pixels = np.take(table, image.pixels.astype(np.int32) - low)
    else:
        found = _lost(image, image.pixels)
    padding = padding_mask(image)
    if padding.any():
        found[padding] = found[~padding].min() if not padding.all() else 0.0
    return found


def _lost(image: StoredImage, stored: NDArray[np.integer]) -> Pixels:
    """Return the loss for stored values; a linear value below 1 counts as 1."""
    sign, values = image.intensity_sign, modality_values(image, stored)
    if image.intensity_relationship not in RELATIONSHIPS or sign not in SIGNS:
        raise ValueError("a For Processing image that does not say what its values mean cannot be converted")
    if image.intensity_relationship == "LOG":
        return values * np.float32(-sign)
    full = modality_values(image, np.array([(1 << image.bits_stored) - 1]))[0]
    return -np.log(np.maximum(values if sign > 0 else full - values, np.float32(1)))


def _edge(attenuation: Pixels, inside: Pixels) -> tuple[Pixels, Pixels]:
    """Return what is added at each place to make up for the thinner edge, and how much of the place is shown."""
    fat = _fat_by_distance(attenuation, inside)
    here = np.interp(inside, np.arange(len(fat)), fat)
    lift = ndimage.gaussian_filter(_TAKEN_OUT * (fat[-1] - here), _SMOOTH_MM / _COARSE_MM)
    fade = np.clip(here / (_FADED * max(float(fat[-1]), 1e-6)), 0, 1) * (inside > 0)
    return lift.astype(np.float32), ndimage.gaussian_filter(fade, 1.0).astype(np.float32)


def _fat_by_distance(attenuation: Pixels, inside: Pixels) -> Profile:
    """Return the attenuation of fat at 0, 1, 2 ... mm from the skin: a rounded edge, then flat."""
    ring = np.ceil(inside).astype(np.intp)
    found = np.zeros(_DEPTH_MM + 1)
    for distance in range(1, _DEPTH_MM + 1):
        values = attenuation[ring == distance]
        enough = values.size >= _LEAST_PIXELS
        found[distance] = np.quantile(values, _FATTEST) if enough else found[distance - 1]
    distances = np.arange(len(found), dtype=np.float64)
    rounded = [np.sqrt(1 - np.clip(1 - distances / reach, 0, 1) ** 2) for reach in _REACHES_MM]
    fits = [_scaled(shape, found) for shape in rounded]
    return min(fits, key=lambda fit: float(np.abs(fit - found)[_SKIN_MM:].sum()))


def _scaled(shape: Profile, found: Profile) -> Profile:
    """Return the multiple of a shape that lies nearest to what was found behind the skin."""
    used = slice(_SKIN_MM, None)
    return np.asarray(shape * float(found[used] @ shape[used]) / float(shape[used] @ shape[used]))


def _limits(equalised: Pixels, inside: Pixels) -> tuple[float, float]:
    inner = inside > _RIM_MM
    low, high = (float(value) for value in np.quantile(equalised[inner if inner.any() else inside > 0], _WINDOW))
    return low, max(high, low + 1e-6)


CONVERSIONS: Final[Mapping[Conversion, Callable[[StoredImage], Pixels]]] = MappingProxyType(
    {Conversion.LOG_EQUALISED_1: log_equalised}
)
"""What each name of a conversion does."""
