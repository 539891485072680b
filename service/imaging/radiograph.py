# SPDX-License-Identifier: Apache-2.0
"""Makes a Radiograph of a stored image: the pixel contract from stored values to an upright picture in [0, 1]."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.image import IDENTITY, Affine, Radiograph, StoredImage, read_only
from service.imaging.grayscale import padding_mask, to_presentation
from service.imaging.orientation import CHEST_FRONTAL, PatientAxes, orient, upright_mammogram


def as_chest_radiograph(image: StoredImage) -> Radiograph:
    """Return the frontal chest radiograph with the patient's left on the picture's right and the head up."""
    return as_radiograph(image, target_orientation=CHEST_FRONTAL)


def as_mammogram(image: StoredImage, *, grey: NDArray[np.float32] | None = None) -> Radiograph:
    """Return the mammogram upright, the chest wall on the side where it is stored; `grey` as `as_radiograph` has it."""
    orientation = image.patient_orientation
    if orientation is None:
        return as_radiograph(image, target_orientation=None, grey=grey)
    target = upright_mammogram(orientation, laterality=image.laterality)
    return as_radiograph(image, target_orientation=target, grey=grey)


def as_radiograph(
    image: StoredImage, *, target_orientation: PatientAxes | None, grey: NDArray[np.float32] | None = None
) -> Radiograph:
    """Show the image, by its own grey scale or as `grey` (as it is stored, in [0, 1]) does, and turn it to the target.

    Without a target, without a Patient Orientation, or when the two lie in different planes, nothing is turned and
    `patient_orientation` stays the stored one: the caller compares it with what it asked for.
    """
    turned = _turn(image, target_orientation, to_presentation(image) if grey is None else grey)
    pixels, padding, to_source, orientation = turned
    return Radiograph(
        sop_instance_uid=image.sop_instance_uid,
        pixels=read_only(pixels),
        padding=read_only(padding),
        to_source=to_source,
        pixel_spacing_mm=_turned_spacing(image.spacing_mm, to_source),
        spacing_source=image.spacing_source,
        patient_orientation=orientation,
        laterality=image.laterality,
        source_shape=(image.pixels.shape[0], image.pixels.shape[1]),
    )


def mediastinum_contrast(pixels: NDArray[np.float32]) -> float:
    """Return how much brighter the middle of an upright frontal chest picture is than its lung fields, in [-1, 1].

    Positive for the right polarity. A measure, not a verdict: bands at fixed places, no anatomy.
    """
    rows = pixels.shape[0]
    band = pixels[rows // 4 : rows * 6 // 10]
    middle = _columns(band, 0.47, 0.58)
    lungs = np.concatenate([_columns(band, 0.2, 0.38).ravel(), _columns(band, 0.64, 0.8).ravel()])
    return float(np.median(middle) - np.median(lungs))


def air_darkness(pixels: NDArray[np.float32], body: NDArray[np.bool_]) -> float:
    """Return median grey inside the body less median grey outside, in [-1, 1]; positive when air is dark.

    0 when either part is empty.
    """
    if body.all() or not body.any():
        return 0.0
    return float(np.median(pixels[body]) - np.median(pixels[~body]))


def _columns(band: NDArray[np.float32], start: float, stop: float) -> NDArray[np.float32]:
    width = band.shape[1]
    return band[:, int(start * width) : max(int(stop * width), int(start * width) + 1)]


def _turn(
    image: StoredImage, target: PatientAxes | None, shown: NDArray[np.float32]
) -> tuple[NDArray[Any], NDArray[np.bool_], Affine, PatientAxes | None]:
    padding, stored = padding_mask(image), image.patient_orientation
    if stored is None or target is None:
        return shown, padding, IDENTITY, stored
    turned, turned_padding = orient(shown, stored, target=target), orient(padding, stored, target=target)
    if turned is None or turned_padding is None:
        return shown, padding, IDENTITY, stored
    return turned[0], turned_padding[0], turned[1], target


def _turned_spacing(spacing: tuple[float, float] | None, to_source: Affine) -> tuple[float, float] | None:
    """Swap row and column spacing when the picture was turned on its side."""
    if spacing is None or to_source.a != 0:
        return spacing
    return spacing[1], spacing[0]
