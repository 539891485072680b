# SPDX-License-Identifier: Apache-2.0
"""Awkward chest CT series."""

import math
from collections.abc import Callable
from copy import deepcopy

import numpy as np
from pydicom.dataset import Dataset

from models.phantoms.axial import INTERCEPT
from models.phantoms.dicom import phantom_uid
from models.phantoms.head import HeadPhantom
from models.phantoms.variants import stored, syntaxes, turned
from models.phantoms.variants.enhanced_ct import as_enhanced
from models.phantoms.variants.stored import Datasets, Study, each, put, tags, values_of
from models.phantoms.variants.variant import Expected, Variant

ALIKE, FLAGGED, REFUSED = Expected.ALIKE, Expected.FLAGGED, Expected.REFUSED


def heights(images: Datasets, height_of: Callable[[int, float], float]) -> Datasets:
    """Move each slice to the height that the function gives for its place in the series and its present height."""
    for place, image in enumerate(images):
        x, y, z = (float(value) for value in image.ImagePositionPatient)
        moved = round(height_of(place, z), 3)
        image.ImagePositionPatient = [x, y, moved]
        image.SliceLocation = moved
    return images


def _tilted(degrees: float, *, tells: bool) -> Study:
    """Return the change that leans the gantry: rows keep their direction, columns lean to the head."""
    radians = math.radians(degrees)
    direction = [1, 0, 0, 0, round(math.cos(radians), 6), round(-math.sin(radians), 6)]
    return each(tags(ImageOrientationPatient=direction, GantryDetectorTilt=degrees if tells else 0))


def _copied(image: Dataset, name: str, **changes: object) -> Dataset:
    copy = deepcopy(image)
    copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = phantom_uid(image.SOPInstanceUID, name)
    tags(**changes)(copy)
    return copy


def _in_another_series(images: Datasets, name: str, number: int) -> Datasets:
    uid = phantom_uid(images[0].SeriesInstanceUID, name)
    return [
        _copied(image, name, SeriesInstanceUID=uid, SeriesNumber=number, SeriesDescription=name) for image in images
    ]


def _two_phases(images: Datasets) -> Datasets:
    """Add a second phase at the same places, in the same series."""
    count = len(images)
    return [*images, *(_copied(image, "phase 2", InstanceNumber=image.InstanceNumber + count) for image in images)]


def _without(*places: int) -> Study:
    return lambda images: [image for place, image in enumerate(images) if place not in places]


def _as_localizer(image: Dataset) -> None:
    """Turn a slice into a frontal scout view."""
    tags(
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        ImageOrientationPatient=[1, 0, 0, 0, 0, -1],
        SliceThickness=None,
        GantryDetectorTilt=None,
    )(image)


def _with_localizer(images: Datasets) -> Datasets:
    (scout,) = _in_another_series(images[:1], "Localizer", 1)
    _as_localizer(scout)
    return [scout, *images]


def _localizer_alone(images: Datasets) -> Datasets:
    return _with_localizer(images)[:1]


def _coronal(*, words: list[str]) -> Study:
    """Return the change into coronal reformats from front to back."""

    def apply(images: Datasets) -> Datasets:
        for place, image in enumerate(images):
            image.ImageType = words
            image.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
            image.ImagePositionPatient = [image.ImagePositionPatient[0], -30.0 + 1.5 * place, 100.0]
        return images

    return apply


def _thick(images: Datasets) -> Datasets:
    return each(tags(SliceThickness=5.0))(images)


def _with_thick_series(images: Datasets) -> Datasets:
    """Put a series of thick slices first, as most protocols reconstruct one."""
    return [*_thick(_in_another_series(images, "Mediastinum 5 mm", 1)), *images]


def _mixed(images: Datasets) -> Datasets:
    """Let the second half of the series have another pixel size."""
    return [*images[: len(images) // 2], *each(tags(PixelSpacing=[0.8, 0.8]))(images[len(images) // 2 :])]


def _mixed_directions(images: Datasets) -> Datasets:
    """Let the last slices of the series lean."""
    return [*images[:-3], *_tilted(4.0, tells=False)(images[-3:])]


def _far_apart(images: Datasets) -> Datasets:
    """Spread the slices: 1 mm thick, a good way apart, as in older high-resolution protocols."""
    top = float(images[0].ImagePositionPatient[2])
    each(tags(SliceThickness=1.0))(images)
    return heights(images, lambda _, z: top - (top - z) * 10 / 3)


def _uneven(images: Datasets) -> Datasets:
    return heights(images, lambda place, z: z + (0.4 if place % 2 else 0.0))


def _narrow_field(image: Dataset) -> None:
    """Cut the field of view through both lungs, as a reconstruction for the spine or the heart does."""
    values, spacing = values_of(image), float(image.PixelSpacing[0])
    reach = round(95 / spacing)
    middle = [size // 2 for size in values.shape]
    put(image, values[middle[0] - reach : middle[0] + reach, middle[1] - reach : middle[1] + reach])
    x, y, z = (float(value) for value in image.ImagePositionPatient)
    shifts = [(size - reach) * spacing for size in middle]
    image.ImagePositionPatient = [round(x + shifts[1], 3), round(y + shifts[0], 3), z]
    image.ReconstructionDiameter = 2 * reach * spacing


def _signed(image: Dataset) -> None:
    """Store Hounsfield units themselves, as signed values."""
    values = values_of(image) + INTERCEPT
    image.PixelRepresentation = 1
    put(image, values, bits=16)
    image.RescaleIntercept = 0


def _half_units(image: Dataset) -> None:
    """Store half Hounsfield units: slope 0.5, another intercept."""
    put(image, 2 * values_of(image), bits=16)
    image.RescaleSlope = 0.5


def _outside_circle(image: Dataset) -> None:
    """Pad what lies outside the circle of reconstruction with -2000, as many scanners do."""
    _signed(image)
    values = values_of(image)
    row, column = (np.arange(size) - (size - 1) / 2 for size in values.shape)
    values[np.hypot(row[:, None], column[None, :]) > min(values.shape) / 2] = -2000
    put(image, values)
    image.add_new("PixelPaddingValue", "SS", -2000)


def _monochrome1(image: Dataset) -> None:
    image.PhotometricInterpretation = "MONOCHROME1"


def _head_pixels(images: Datasets) -> Datasets:
    """Show a head under the headers of a chest."""
    matrix, pixel = int(images[0].Rows), float(images[0].PixelSpacing[0])
    phantom = HeadPhantom(seed=5, matrix=matrix, pixel_mm=pixel, thickness_mm=135 / len(images))
    for image, section in zip(images, phantom, strict=False):
        put(image, section.hounsfield - INTERCEPT)
    return images


def _one_lung(image: Dataset) -> None:
    """Fill the left lung with fluid: a white-out, or a lung that is not there."""
    values = values_of(image)
    half = values.shape[1] // 2
    left = values[:, half:]
    inside = np.indices(left.shape)[1] * float(image.PixelSpacing[0]) < 128
    left[(left + INTERCEPT < -300) & inside & (np.abs(np.indices(left.shape)[0] - half) < 95)] = 20 - INTERCEPT
    put(image, values)


def _row(name: str, change: str, expected: Expected, *reasons: str, **more: object) -> Variant:
    return Variant(kind="hrct", name=name, change=change, expected=expected, reasons=reasons, **more)  # type: ignore[arg-type]


CHEST_CTS: tuple[Variant, ...] = (
    _row("plain", "nothing: thin slices of a chest with honeycombing at the bases", ALIKE),
    _row(
        "reversed",
        "the slices in reversed order of files and instance numbers",
        ALIKE,
        edit=lambda images: [_numbered(image, number) for number, image in enumerate(reversed(images), start=1)],
    ),
    _row(
        "feet-first",
        "stored as seen from the head, feet first",
        ALIKE,
        edit=each(turned.axial_mirrored, tags(PatientPosition="FFS")),
    ),
    _row("negative-spacing", "Spacing Between Slices negative", ALIKE, edit=each(tags(SpacingBetweenSlices=-3.0))),
    _row("signed", "signed Hounsfield units, no intercept", ALIKE, edit=each(_signed)),
    _row("half-units", "half Hounsfield units: slope 0.5", ALIKE, edit=each(_half_units)),
    _row("outside-circle", "-2000 outside the circle of reconstruction, as padding", ALIKE, edit=each(_outside_circle)),
    _row("monochrome1", "MONOCHROME1: Hounsfield units do not care", ALIKE, edit=each(_monochrome1)),
    _row("rescale-type-missing", "no Rescale Type", ALIKE, edit=each(tags(RescaleType=None))),
    _row("enhanced", "one Enhanced CT image, its frames in mixed order", ALIKE, edit=as_enhanced),
    _row("with-localizer", "a scout view in a series of its own", ALIKE, edit=_with_localizer),
    _row("with-thick-series", "a second series of 5 mm slices", ALIKE, edit=_with_thick_series),
    _row(
        "prone",
        "prone, stored turned",
        FLAGGED,
        "prone_position",
        edit=each(turned.axial_half_turn, tags(PatientPosition="HFP")),
    ),
    _row("contrast", "with contrast agent", FLAGGED, "contrast_agent", edit=each(tags(ContrastBolusAgent="IOHEXOL"))),
    _row("missing-slice", "a slice is missing", FLAGGED, "slices_missing", edit=_without(8), is_loose=True),
    _row("uneven", "distances between slices vary", FLAGGED, "spacing_uneven", edit=_uneven, is_loose=True),
    _row("gap-hrct", "slices of 1 mm at 10 mm", FLAGGED, "slices_with_gaps", edit=_far_apart, is_loose=True),
    _row("rather-thick", "slices of 2.5 mm", FLAGGED, "slice_thicker_than_best", edit=each(tags(SliceThickness=2.5))),
    _row(
        "kernel",
        "a kernel that the package does not know",
        FLAGGED,
        "kernel_not_listed",
        edit=each(tags(ConvolutionKernel="B30f")),
    ),
    _row(
        "abdomen",
        "Body Part Examined ABDOMEN",
        FLAGGED,
        "body_part_not_chest",
        edit=each(tags(BodyPartExamined="ABDOMEN")),
    ),
    _row(
        "lossy",
        "lossy compression 8:1 (JPEG 2000)",
        FLAGGED,
        "lossy_compression",
        edit=each(syntaxes.JPEG_2000_LOSSY),
        is_loose=True,
    ),
    _row(
        "truncated-below",
        "the lower half of the lungs is missing",
        FLAGGED,
        "lungs_cut_off",
        edit=lambda images: images[: len(images) * 3 // 5],
        is_loose=True,
    ),
    _row(
        "narrow-field",
        "a field of view that cuts through both lungs",
        REFUSED,
        "lungs_cut_laterally",
        edit=each(_narrow_field),
    ),
    _row(
        "tilt", "the gantry tilted by 15 degrees", REFUSED, "gantry_tilted", "not_axial", edit=_tilted(15.0, tells=True)
    ),
    _row("tilt-untold", "tilted by 15 degrees, the tilt says 0", REFUSED, "not_axial", edit=_tilted(15.0, tells=False)),
    _row(
        "tilt-by-tag",
        "axial directions, the tilt says 15 degrees",
        REFUSED,
        "gantry_tilted",
        edit=each(tags(GantryDetectorTilt=15.0)),
    ),
    _row("duplicates", "two phases in one series", REFUSED, "duplicate_positions", edit=_two_phases),
    _row("localizer", "a scout view alone", REFUSED, "no_original_axial_image", edit=_localizer_alone),
    _row(
        "mpr",
        "coronal reformats",
        REFUSED,
        "no_original_axial_image",
        edit=_coronal(words=["DERIVED", "SECONDARY", "MPR"]),
    ),
    _row(
        "mpr-as-axial",
        "coronal reformats that say ORIGINAL, AXIAL",
        REFUSED,
        "not_axial",
        edit=_coronal(words=["ORIGINAL", "PRIMARY", "AXIAL"]),
    ),
    _row(
        "secondary",
        "Image Type DERIVED, SECONDARY",
        REFUSED,
        "no_original_axial_image",
        edit=each(tags(ImageType=["DERIVED", "SECONDARY", "AXIAL"])),
    ),
    _row(
        "mip",
        "maximum intensity projections",
        REFUSED,
        "no_original_axial_image",
        edit=each(tags(ImageType=["DERIVED", "PRIMARY", "AXIAL", "MIP"])),
    ),
    _row("thick", "slices of 5 mm", REFUSED, "slice_too_thick", edit=_thick),
    _row(
        "thickness-missing",
        "no Slice Thickness",
        REFUSED,
        "slice_thickness_unknown",
        edit=each(tags(SliceThickness="")),
    ),
    _row(
        "wide-field",
        "pixels of 1.4 mm",
        REFUSED,
        "pixel_spacing_outside_range",
        edit=each(tags(PixelSpacing=[1.4, 1.4])),
    ),
    _row("few-slices", "five slices", REFUSED, "too_few_slices", edit=lambda images: images[:5]),
    _row("mixed-pixels", "two pixel sizes in one series", REFUSED, "mixed_geometry", edit=_mixed),
    _row("mixed-directions", "slices that are not parallel", REFUSED, "slices_not_parallel", edit=_mixed_directions),
    _row(
        "no-position",
        "a slice without Image Position",
        REFUSED,
        "position_unknown",
        edit=stored.only_first(tags(ImagePositionPatient=None)),
        is_valid=False,
    ),
    _row("rescale-type", "Rescale Type US", REFUSED, "rescale_type_not_hu", edit=each(tags(RescaleType="US"))),
    _row("head-as-chest", "a head under the headers of a chest", REFUSED, "no_lungs", edit=_head_pixels),
    _row("one-lung", "the left lung is filled with fluid", REFUSED, "one_lung", edit=each(_one_lung)),
)


def _numbered(image: Dataset, number: int) -> Dataset:
    image.InstanceNumber = number
    return image
