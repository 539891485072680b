# SPDX-License-Identifier: Apache-2.0
"""From stored values to what a reader sees: Modality LUT, then VOI, then inversion, in this order (PS3.4 N.2)."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.image import LookupTable, StoredImage, VoiFunction, Window

_TABLE_LIMIT = 1 << 17
_BAND_ROWS = 4
_AIR_HU = -1024.0


def to_presentation(image: StoredImage) -> NDArray[np.float32]:
    """Return float32 (rows, columns) in [0, 1], 0 shown black and 1 shown white; padding is 0.

    The first VOI LUT is applied if there is one, else the first window, else the full range of the valid pixels.
    Inversion (MONOCHROME1 or Presentation LUT Shape INVERSE) comes after the VOI, once.
    """
    shown = _by_stored_value(image, _full_range(image))
    padding = padding_mask(image)
    if padding.any():
        shown[padding] = 0.0
    return shown


def padding_mask(image: StoredImage) -> NDArray[np.bool_]:
    """Return True where the stored value lies in the padding range (PS3.3 C.7.5.1.1.2); read-only where it has none."""
    if image.padding is None:
        return np.broadcast_to(np.False_, image.pixels.shape)  # takes no memory, whatever the shape
    low, high = image.padding
    found = np.empty(image.pixels.shape, dtype=np.bool_)
    for band in _bands(len(found)):
        stored = image.pixels[band]
        found[band] = (stored >= low) & (stored <= high)
    return found


def _bands(rows: int) -> Iterator[slice]:
    """Yield all rows, a few at a time: what is worked out on the way then takes next to no memory."""
    return (slice(first, first + _BAND_ROWS) for first in range(0, rows, _BAND_ROWS))


def to_modality(image: StoredImage) -> NDArray[np.float32]:
    """Return float32 values after the Modality LUT or rescale (Hounsfield units for CT)."""
    return modality_values(image, image.pixels)


def to_hounsfield(image: StoredImage) -> NDArray[np.float32]:
    """Return float32 Hounsfield units; padding becomes air (-1024 HU)."""
    values = to_modality(image)
    values[padding_mask(image)] = _AIR_HU
    return values


def modality_values(image: StoredImage, stored: NDArray[Any]) -> NDArray[np.float32]:
    """Apply the Modality LUT, or slope and intercept, to stored values (PS3.3 C.11.1)."""
    if image.modality_lut is not None:
        return look_up(image.modality_lut, stored)
    rescaled = stored * np.float64(image.rescale_slope) + image.rescale_intercept
    return np.asarray(rescaled, dtype=np.float32)


def look_up(table: LookupTable, values: NDArray[Any]) -> NDArray[np.float32]:
    """Return the entries for the values; values beyond the table take its first or last entry."""
    index = np.rint(values).astype(np.int64) - table.first_mapped
    return np.asarray(table.entries[np.clip(index, 0, len(table.entries) - 1)], dtype=np.float32)


def apply_window(window: Window, values: NDArray[Any]) -> NDArray[np.float32]:
    """Map values to [0, 1] by the window's function (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    x = values.astype(np.float64)
    if window.function is VoiFunction.SIGMOID:
        # Beyond +-500 the exponential only overflows; the sigmoid is 0 or 1 there.
        exponent = np.clip(-4.0 * (x - window.center) / window.width, -500.0, 500.0)
        return (1.0 / (1.0 + np.exp(exponent))).astype(np.float32)
    if window.function is VoiFunction.LINEAR_EXACT:
        return _ramp(x, center=window.center, width=window.width)
    return _ramp(x, center=window.center - 0.5, width=window.width - 1.0)


def _ramp(x: NDArray[np.float64], *, center: float, width: float) -> NDArray[np.float32]:
    if width <= 0:
        return (x > center).astype(np.float32)
    return _unit((x - center) / width + 0.5)


def _by_stored_value(image: StoredImage, limits: tuple[float, float]) -> NDArray[np.float32]:
    """Apply the chain once per distinct stored value: a table of at most 128 K entries, or directly."""
    low, high = int(image.pixels.min()), int(image.pixels.max())
    if high - low >= _TABLE_LIMIT:
        return _chain(image, image.pixels, limits)
    table = _chain(image, np.arange(low, high + 1), limits)
    shown = np.empty(image.pixels.shape, dtype=np.float32)
    for band in _bands(len(shown)):  # numpy makes 64-bit numbers of all that it looks up at once
        stored = image.pixels[band]
        offset = stored if low == 0 else stored.astype(np.int32) - low
        np.take(table, offset, out=shown[band], mode="clip")
    return shown


def _chain(image: StoredImage, stored: NDArray[Any], limits: tuple[float, float]) -> NDArray[np.float32]:
    shown = _voi(image, modality_values(image, stored), limits)
    return np.float32(1) - shown if image.inverted else shown


def _voi(image: StoredImage, values: NDArray[np.float32], limits: tuple[float, float]) -> NDArray[np.float32]:
    if image.voi_luts:
        table = image.voi_luts[0]
        return _unit(look_up(table, values) / np.float32(2**table.bits - 1))
    if image.windows:
        return apply_window(image.windows[0], values)
    low, high = limits
    return _unit((values - np.float32(low)) / np.float32(max(high - low, 1e-6)))


def _unit(values: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(np.clip(values, 0, 1), dtype=np.float32)


def _full_range(image: StoredImage) -> tuple[float, float]:
    """Return the smallest and largest modality value of the pixels that are not padding."""
    valid = image.pixels if image.padding is None else image.pixels[~padding_mask(image)]
    if valid.size == 0:
        return 0.0, 1.0
    ends = modality_values(image, np.array([valid.min(), valid.max()]))
    return float(ends.min()), float(ends.max())
