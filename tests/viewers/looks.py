# SPDX-License-Identifier: Apache-2.0
"""Compares what a viewer's canvas shows with the pixels that it was given."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset
from scipy import ndimage

from service.results.picture.painting import MARK

BLOCK = 16
"""Side of the squares, in pixels of the screen, whose mean colours are compared."""
EDGE = 4
"""How many pixels of the screen a viewer may cut off an image that it fits into its window."""
GREY_LEVELS = 20
"""How far the mean colour of a small square may be from what it should be: a viewer scales in its own way."""
COLOURED = 40
"""A pixel is coloured when its channels differ by more than this many grey levels."""


def at_pixels(canvas: NDArray[np.uint8], corners: NDArray[np.float64], *, rows: int, columns: int) -> NDArray[np.uint8]:
    """Return the canvas's colour at the centre of each pixel of an image, (rows, columns, 3).

    `corners` are the image's top-left and bottom-right corners on the canvas.
    """
    (left, top), (right, bottom) = corners
    x = left + (np.arange(columns) + 0.5) * (right - left) / columns
    y = top + (np.arange(rows) + 0.5) * (bottom - top) / rows
    check_inside(canvas, corners)
    across, down = x.astype(int).clip(0, canvas.shape[1] - 1), y.astype(int).clip(0, canvas.shape[0] - 1)
    return canvas[np.ix_(down, across)]


def fitted(canvas: NDArray[np.uint8], image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the top-left and bottom-right corners, on a canvas, of an image that fills it, centred."""
    ratio = min(canvas.shape[0] / image.shape[0], canvas.shape[1] / image.shape[1])
    height, width = ratio * image.shape[0], ratio * image.shape[1]
    left, top = (canvas.shape[1] - width) / 2, (canvas.shape[0] - height) / 2
    return np.array([[left, top], [left + width, top + height]])


def check_inside(canvas: NDArray[np.uint8], corners: NDArray[np.float64]) -> None:
    """A canvas must show all of an image, but for a few pixels of the screen at its edges."""
    (left, top), (right, bottom) = corners
    rows, columns = canvas.shape[:2]
    assert left > -EDGE, f"the canvas shows the left side of the image: {left}"
    assert top > -EDGE, f"the canvas shows the top of the image: {top}"
    assert right < columns + EDGE, f"the canvas shows the right side of the image: {right} of {columns}"
    assert bottom < rows + EDGE, f"the canvas shows the bottom of the image: {bottom} of {rows}"


def on_screen(pixels: NDArray[np.uint8], corners: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return an image as it looks between two corners of a canvas."""
    (left, top), (right, bottom) = corners
    return np.asarray(Image.fromarray(pixels).resize((round(right - left), round(bottom - top)), Image.Resampling.BOX))


def between(canvas: NDArray[np.uint8], corners: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the part of a canvas between the corners of an image."""
    check_inside(canvas, corners)
    (left, top), (right, bottom) = np.rint(corners).astype(int).clip(0)
    return canvas[top:bottom, left:right]


def largest_difference(shown: NDArray[np.uint8], expected: NDArray[np.uint8]) -> float:
    """Return the largest difference between mean colours of squares of two pictures, in grey levels."""
    rows, columns = (min(sides) // BLOCK * BLOCK for sides in zip(shown.shape[:2], expected.shape[:2], strict=True))
    means = [
        picture[:rows, :columns].reshape(rows // BLOCK, BLOCK, columns // BLOCK, BLOCK, 3).mean(axis=(1, 3))
        for picture in (shown.astype(np.float64), expected.astype(np.float64))
    ]
    return float(np.abs(means[0] - means[1]).max())


def marks(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say which pixels have the colour of the marks that we burn into captures, blurred by a viewer's scaling."""
    red, green, blue = (picture[..., channel].astype(int) for channel in range(3))
    return np.asarray((green > red + 60) & (blue > red + 60) & (np.abs(green - blue) < MARK[2] - MARK[1] + 40))


def coloured(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Say which pixels are not grey."""
    return np.asarray(np.ptp(picture.astype(int), axis=-1) > COLOURED)


def overlap(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the Dice coefficient of two masks; 1 when they are the same."""
    return float(2 * (first & second).sum() / max(int(first.sum() + second.sum()), 1))


def near(first: NDArray[np.bool_], second: NDArray[np.bool_], *, pixels: int) -> float:
    """Return which share of a mask lies within so many pixels of another."""
    rows, columns = (min(sides) for sides in zip(first.shape, second.shape, strict=True))
    first, second = first[:rows, :columns], second[:rows, :columns]
    around = ndimage.binary_dilation(second, iterations=pixels)
    return float((first & around).sum() / max(int(first.sum()), 1))


def windowed(image: Dataset) -> NDArray[np.uint8]:
    """Return a monochrome image as PS3.3 C.11.2 says that its own linear window shows it, (rows, columns, 3)."""
    values = image.pixel_array * float(image.get("RescaleSlope", 1)) + float(image.get("RescaleIntercept", 0))
    centre, width = float(image.WindowCenter), float(image.WindowWidth)
    grey = np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
    grey = 1 - grey if image.PhotometricInterpretation == "MONOCHROME1" else grey
    return np.repeat(np.rint(grey * 255).astype(np.uint8)[..., None], 3, axis=-1)


def mask_of(segmentation: Dataset, sop_instance_uid: str) -> NDArray[np.uint8]:
    """Return the number of the segment at each pixel of a source image, 0 for none, read from a BINARY segmentation."""
    frames = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    labels = np.zeros(frames.shape[1:], dtype=np.uint8)
    for frame, groups in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        source = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        if source == sop_instance_uid:
            labels[frame > 0] = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    return labels
