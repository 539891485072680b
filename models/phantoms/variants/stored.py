# SPDX-License-Identifier: Apache-2.0
"""Stored values of a phantom's data sets: read, put back, and shown through another grey scale as the same picture."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID

from models.phantoms.dicom import phantom_uid

Datasets = list[Dataset]
Edit = Callable[[Dataset], None]
Study = Callable[[Datasets], Datasets]
"""A change of a whole study: data sets in, data sets out; those given may be changed in place."""


def each(*edits: Edit) -> Study:
    """Return the change of a study that applies the edits to every image."""

    def apply(images: Datasets) -> Datasets:
        for image in images:
            for edit in edits:
                edit(image)
        return images

    return apply


def only_first(*edits: Edit) -> Study:
    """Return the change of a study that applies the edits to its first image."""

    def apply(images: Datasets) -> Datasets:
        return [*each(*edits)(images[:1]), *images[1:]]

    return apply


def tags(**changes: Any) -> Edit:
    """Return the edit that sets keywords to values; None deletes."""

    def edit(image: Dataset) -> None:
        for keyword, value in changes.items():
            if value is not None:
                setattr(image, keyword, deepcopy(value))
            elif keyword in image:
                delattr(image, keyword)

    return edit


def copied(image: Dataset, name: str, **changes: Any) -> Dataset:
    """Return a copy of an image under another UID, changed as `tags` does."""
    copy = deepcopy(image)
    copy.SOPInstanceUID = UID(phantom_uid(image.SOPInstanceUID, name))
    copy.file_meta.MediaStorageSOPInstanceUID = copy.SOPInstanceUID
    tags(**changes)(copy)
    return copy


def values_of(image: Dataset) -> NDArray[np.int64]:
    """Return the stored values, (rows, columns)."""
    return np.asarray(image.pixel_array, dtype=np.int64)


def put(image: Dataset, values: NDArray[Any], *, bits: int | None = None) -> None:
    """Store values, (rows, columns), in 16 bits or, for `bits` up to 8, in one byte each."""
    stored = bits or int(image.BitsStored)
    image.Rows, image.Columns = values.shape
    image.BitsStored, image.HighBit = stored, stored - 1
    image.BitsAllocated = 8 if stored <= 8 else 16
    kind = ("i" if image.PixelRepresentation else "u") + str(image.BitsAllocated // 8)
    image.PixelData = np.ascontiguousarray(values.astype(f"<{kind}")).tobytes()
    image["PixelData"].VR = "OB" if stored <= 8 else "OW"


def full(image: Dataset) -> int:
    """Return the largest value that the stored bits hold."""
    return (1 << int(image.BitsStored)) - 1


def _no_windows(image: Dataset) -> None:
    tags(WindowCenter=None, WindowWidth=None, VOILUTFunction=None, WindowCenterWidthExplanation=None)(image)


def set_windows(image: Dataset, windows: Sequence[tuple[float, float, str]], function: str = "LINEAR") -> None:
    """Give the image windows of (centre, width, name), the first being the one that is meant."""
    image.WindowCenter, image.WindowWidth = ([window[place] for window in windows] for place in (0, 1))
    image.WindowCenterWidthExplanation = [window[2] for window in windows]
    image.VOILUTFunction = function


# --- the same picture, stored in another way --------------------------------------------------------------------------


def monochrome1(image: Dataset) -> None:
    """Store the picture with its scale reversed, and say so (PS3.3 C.7.6.3.1.2, C.8.11.3)."""
    put(image, full(image) - values_of(image))
    image.PhotometricInterpretation, image.PresentationLUTShape = "MONOCHROME1", "INVERSE"
    if "PixelIntensityRelationshipSign" in image:
        image.PixelIntensityRelationshipSign = -int(image.PixelIntensityRelationshipSign)


def inverse_shape(image: Dataset) -> None:
    """Store the picture reversed; Presentation LUT Shape alone says so."""
    put(image, full(image) - values_of(image))
    image.PresentationLUTShape = "INVERSE"


def sigmoid(image: Dataset) -> None:
    """Store the picture such that a sigmoid window shows it (PS3.3 C.11.2.1.3.1)."""
    top = full(image)
    grey = np.clip(values_of(image) / top, 1e-3, 1 - 1e-3)
    put(image, np.rint(np.clip(0.5 + np.log(grey / (1 - grey)) / 14, 0, 1) * top))
    set_windows(image, [(top / 2, top * 4 / 14, "NORMAL")], "SIGMOID")


def linear_exact(image: Dataset) -> None:
    """Show the full range by a window of the function LINEAR_EXACT (PS3.3 C.11.2.1.3.2)."""
    top = full(image)
    set_windows(image, [(top / 2, top, "NORMAL")], "LINEAR_EXACT")


def several_windows(image: Dataset) -> None:
    """Offer three windows; the first is meant, the others are far too narrow or too bright."""
    top = full(image)
    windows = [((top + 1) / 2, top + 1, "NORMAL"), (top / 4, top / 8, "HARDER"), (top, top / 2, "SOFTER")]
    set_windows(image, windows)


def no_window(image: Dataset) -> None:
    """Say nothing of how the values are shown; they fill their range."""
    values = values_of(image)
    low, high = values.min(), values.max()
    put(image, np.rint((values - low) / max(high - low, 1) * full(image)))
    _no_windows(image)


def _lookup(entries: NDArray[np.int64], bits: int) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries) & 0xFFFF, 0, bits])
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return item


def voi_lut(image: Dataset) -> None:
    """Store the square root of the picture; a VOI LUT squares it again (PS3.3 C.11.2.1.1)."""
    top = full(image)
    put(image, np.rint(np.sqrt(values_of(image) / top) * top))
    item = _lookup(np.rint((np.arange(top + 1) / top) ** 2 * 65535).astype(np.int64), 16)
    item.LUTExplanation = "NORMAL"
    image.VOILUTSequence = Items([item])
    _no_windows(image)


def voi_lut_and_windows(image: Dataset) -> None:
    """Offer a VOI LUT and three sigmoid windows beside it, as some mammography units do: the LUT comes first."""
    voi_lut(image)
    top = full(image)
    set_windows(image, [(top / 4, top / 8, "A"), (top / 2, top / 9, "B"), (top, top / 6, "C")], "SIGMOID")


def modality_lut(image: Dataset) -> None:
    """Store the square root of the picture; a Modality LUT squares it before the window (PS3.3 C.11.1)."""
    top = full(image)
    put(image, np.rint(np.sqrt(values_of(image) / top) * top))
    item = _lookup(np.rint((np.arange(top + 1) / top) ** 2 * 65535).astype(np.int64), 16)
    item.ModalityLUTType = "US"
    for keyword in ("WindowCenter", "WindowWidth"):
        setattr(image, keyword, round(float(getattr(image, keyword)) * 65535 / top, 2))
    image.ModalityLUTSequence = Items([item])
    tags(RescaleIntercept=None, RescaleSlope=None, RescaleType=None)(image)


def bits(count: int) -> Edit:
    """Return the edit that stores the picture in so many bits, its windows scaled to match."""

    def edit(image: Dataset) -> None:
        factor = 2.0 ** (count - int(image.BitsStored))
        put(image, np.floor(values_of(image) * factor), bits=count)
        for keyword in ("WindowCenter", "WindowWidth"):
            if keyword in image:
                setattr(image, keyword, float(getattr(image, keyword)) * factor)

    return edit


def high_bit(image: Dataset) -> None:
    """Store 12 bits at the top of 16, which old films did and PS3.5 8.1.1 no longer allows."""
    image.PixelData = (values_of(image) << 4).astype("<u2").tobytes()
    image.HighBit = 15


def bits_in_use_above(image: Dataset) -> None:
    """Leave an old overlay in the bits above Bits Stored (retired in PS3.3 of 2004)."""
    values = values_of(image)
    overlay = (np.indices(values.shape).sum(axis=0) // 40 % 2) << 13
    image.PixelData = (values | overlay).astype("<u2").tobytes()


def signed(image: Dataset) -> None:
    """Store two's complement values around zero, the rescale intercept and the window to match."""
    offset = 1 << (int(image.BitsStored) - 1)
    values = values_of(image) - offset
    image.PixelRepresentation = 1
    put(image, values)
    image.RescaleIntercept = float(image.get("RescaleIntercept", 0)) + offset * float(image.get("RescaleSlope", 1))


def padding(*, width_share: float, value_share: float, limit_share: float | None = None) -> Edit:
    """Return the edit that covers the rim with padding values, and says so (PS3.3 C.7.5.1.1.2).

    The values are shares of the full range; the picture is kept below them. With a limit, the rim holds the range.
    """

    def edit(image: Dataset) -> None:
        top, values = full(image), values_of(image)
        first = round(value_share * top)
        last = first if limit_share is None else round(limit_share * top)
        low, high = min(first, last), max(first, last)
        values = np.minimum(values, low - 1) if low > top // 2 else np.maximum(values, high + 1)
        rows, columns = (max(1, round(size * width_share)) for size in values.shape)
        rim = np.ones(values.shape, dtype=np.bool_)
        rim[rows:-rows, columns:-columns] = False
        values[rim] = (low + np.indices(values.shape).sum(axis=0) % (high - low + 1))[rim]
        put(image, values)
        image.add_new("PixelPaddingValue", "US", first)
        if limit_share is not None:
            image.add_new("PixelPaddingRangeLimit", "US", last)

    return edit
