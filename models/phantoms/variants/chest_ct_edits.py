# SPDX-License-Identifier: Apache-2.0
"""How chest CT series are made awkward."""

import math
from collections.abc import Callable

import numpy as np
from pydicom.dataset import Dataset

from models.phantoms.axial import INTERCEPT
from models.phantoms.dicom import phantom_uid
from models.phantoms.head import HeadPhantom
from models.phantoms.variants.stored import Datasets, Edit, Study, copied, each, put, tags, values_of


def heights(images: Datasets, height_of: Callable[[int, float], float]) -> Datasets:
    """Move each slice to the height that the function gives for its place in the series and its present height."""
    for place, image in enumerate(images):
        x, y, z = (float(value) for value in image.ImagePositionPatient)
        moved = round(height_of(place, z), 3)
        image.ImagePositionPatient = [x, y, moved]
        image.SliceLocation = moved
    return images


def tilted(degrees: float, *, tells: bool) -> Study:
    """Return the change that leans the gantry: rows keep their direction, columns lean to the head."""
    radians = math.radians(degrees)
    direction = [1, 0, 0, 0, round(math.cos(radians), 6), round(-math.sin(radians), 6)]
    return each(tags(ImageOrientationPatient=direction, GantryDetectorTilt=degrees if tells else 0))


def in_another_series(images: Datasets, name: str, number: int) -> Datasets:
    """Return copies of slices in a series of their own."""
    uid = phantom_uid(images[0].SeriesInstanceUID, name)
    return [copied(image, name, SeriesInstanceUID=uid, SeriesNumber=number, SeriesDescription=name) for image in images]


def two_phases(images: Datasets) -> Datasets:
    """Add a second phase at the same places, in the same series."""
    count = len(images)
    return [*images, *(copied(image, "phase 2", InstanceNumber=image.InstanceNumber + count) for image in images)]


def without(*places: int) -> Study:
    """Return the change that leaves out slices by their place."""
    return lambda images: [image for place, image in enumerate(images) if place not in places]


def as_localizer(image: Dataset) -> None:
    """Turn a slice into a frontal scout view."""
    tags(
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        ImageOrientationPatient=[1, 0, 0, 0, 0, -1],
        SliceThickness="",
        GantryDetectorTilt=None,
    )(image)


def with_localizer(images: Datasets) -> Datasets:
    """Put a scout view before the slices."""
    (scout,) = in_another_series(images[:1], "Localizer", 1)
    as_localizer(scout)
    return [scout, *images]


def localizer_alone(images: Datasets) -> Datasets:
    """Leave a scout view alone."""
    return with_localizer(images)[:1]


def coronal(*, words: list[str]) -> Study:
    """Return the change into coronal reformats from front to back."""

    def apply(images: Datasets) -> Datasets:
        for place, image in enumerate(images):
            image.ImageType = words
            image.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
            image.ImagePositionPatient = [image.ImagePositionPatient[0], -30.0 + 1.5 * place, 100.0]
        return images

    return apply


def thick(images: Datasets) -> Datasets:
    """Say that slices are 5 mm thick."""
    return each(tags(SliceThickness=5.0))(images)


def with_thick_series(images: Datasets) -> Datasets:
    """Put a series of thick slices first, as most protocols reconstruct one."""
    return [*thick(in_another_series(images, "Mediastinum 5 mm", 1)), *images]


def mixed(images: Datasets) -> Datasets:
    """Let the second half of the series have another pixel size."""
    return [*images[: len(images) // 2], *each(tags(PixelSpacing=[0.8, 0.8]))(images[len(images) // 2 :])]


def mixed_directions(images: Datasets) -> Datasets:
    """Let the last slices of the series lean."""
    return [*images[:-3], *tilted(4.0, tells=False)(images[-3:])]


def far_apart(images: Datasets) -> Datasets:
    """Spread the slices: 1 mm thick, 10 mm apart, as in older high-resolution protocols."""
    top = float(images[0].ImagePositionPatient[2])
    each(tags(SliceThickness=1.0))(images)
    return heights(images, lambda place, _: top - 10.0 * place)


def uneven(images: Datasets) -> Datasets:
    """Move every second slice by 0.4 mm."""
    return heights(images, lambda place, z: z + (0.4 if place % 2 else 0.0))


def field_of(width_mm: float) -> Edit:
    """Return the edit that leaves the middle of the field of view, as a reconstruction for spine or heart does."""

    def edit(image: Dataset) -> None:
        values, spacing = values_of(image), float(image.PixelSpacing[0])
        reach = round(width_mm / 2 / spacing)
        middle = [size // 2 for size in values.shape]
        put(image, values[middle[0] - reach : middle[0] + reach, middle[1] - reach : middle[1] + reach])
        x, y, z = (float(value) for value in image.ImagePositionPatient)
        shifts = [(size - reach) * spacing for size in middle]
        image.ImagePositionPatient = [round(x + shifts[1], 3), round(y + shifts[0], 3), z]
        image.ReconstructionDiameter = round(2 * reach * spacing, 3)

    return edit


def signed(image: Dataset) -> None:
    """Store Hounsfield units themselves, as signed values."""
    values = values_of(image) + INTERCEPT
    image.PixelRepresentation = 1
    put(image, values, bits=16)
    image.RescaleIntercept = 0


def half_units(image: Dataset) -> None:
    """Store half Hounsfield units: slope 0.5, another intercept."""
    put(image, 2 * values_of(image), bits=16)
    image.RescaleSlope = 0.5


def outside_circle(image: Dataset) -> None:
    """Pad what lies outside the circle of reconstruction with -2000, as many scanners do."""
    signed(image)
    values = values_of(image)
    row, column = (np.arange(size) - (size - 1) / 2 for size in values.shape)
    values[np.hypot(row[:, None], column[None, :]) > min(values.shape) / 2] = -2000
    put(image, values)
    image.add_new("PixelPaddingValue", "SS", -2000)


def monochrome1(image: Dataset) -> None:
    """Say MONOCHROME1, and change nothing else."""
    image.PhotometricInterpretation = "MONOCHROME1"


def head_pixels(images: Datasets) -> Datasets:
    """Show a head under the headers of a chest."""
    matrix, pixel = int(images[0].Rows), float(images[0].PixelSpacing[0])
    top = 20 + 0.8 * len(images)
    phantom = HeadPhantom(
        seed=5, matrix=matrix, pixel_mm=pixel, thickness_mm=1.6, top_mm=top, bottom_mm=top - 1.6 * len(images)
    )
    for image, section in zip(images, phantom, strict=False):
        put(image, section.hounsfield - INTERCEPT)
    return images


def one_lung(image: Dataset) -> None:
    """Fill the left lung with fluid: a white-out, or a lung that is not there."""
    values = values_of(image)
    half = values.shape[1] // 2
    left = values[:, half:]
    down, across = np.indices(left.shape) * float(image.PixelSpacing[0])
    inside = (across < 128) & (np.abs(down - down.max() / 2) < 92)
    left[(left + INTERCEPT < -300) & inside] = 20 - INTERCEPT
    put(image, values)


def numbered(image: Dataset, number: int) -> Dataset:
    """Return the slice under another instance number."""
    image.InstanceNumber = number
    return image
