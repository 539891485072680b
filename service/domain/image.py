# SPDX-License-Identifier: Apache-2.0
"""A decoded image with the meaning of its numbers, and the map between a processed picture and the stored one.

Coordinates are (x, y) = (column, row) of pixel *edges*: the top-left corner of the top-left pixel is (0, 0), so that a
half-open box [x0, x1) maps to x0..x1 (PS3.3 C.18.6.1.2).
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class VoiFunction(StrEnum):
    """VOI LUT Function (0028,1056)."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


class SpacingSource(StrEnum):
    """Which element the pixel spacing comes from."""

    IMAGER_PIXEL_SPACING = "ImagerPixelSpacing"
    """Measured at the detector plane; objects in the patient are magnified."""
    PIXEL_SPACING_CALIBRATED = "PixelSpacing calibrated"
    """Projection image whose Pixel Spacing Calibration Type is present (PS3.3 10.7)."""
    PIXEL_SPACING = "PixelSpacing"
    """Cross-sectional image: true in the patient. On a radiograph: of unknown meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A VOI window (PS3.3 C.11.2.1.2)."""

    center: float
    width: float
    function: VoiFunction = VoiFunction.LINEAR
    explanation: str = ""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class LookupTable:
    """A Modality or VOI LUT (PS3.3 C.11.1, C.11.2): `entries[value - first_mapped]`, clamped at both ends."""

    first_mapped: int
    entries: NDArray[np.uint16]
    bits: int
    explanation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlicePlane:
    """Where an image lies in the patient (PS3.3 C.7.6.2.1.1), in mm of the patient coordinate system.

    `orientation` holds the direction cosines of a row (towards larger columns), then of a column.
    """

    position_mm: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    frame_number: int | None = None


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class StoredImage:
    """One frame as stored: integers, not yet shown, with everything needed to show and measure it.

    Parameters
    ----------
    pixels
        (rows, columns) of stored values, already sign-corrected and freed of bits above Bits Stored; read-only.
    padding
        Inclusive range of stored values that are not image (PS3.3 C.7.5.1.1.2).
    spacing_mm
        (between rows, between columns); None when the header does not say.
    patient_orientation
        Directions in which (columns grow, rows grow), for example ("L", "F"); None when absent.
    intensity_relationship, intensity_sign
        What the values of an image For Processing mean: "LIN" or "LOG" of the beam's intensity, 1 where higher values
        mean more of it and -1 where they mean less (PS3.3 C.8.11.3.1.2); "" and 0 when the header does not say.
    fov_rotation, fov_horizontal_flip
        What the modality already did to the detector's picture; PatientOrientation describes the outcome.
    """

    sop_instance_uid: str
    pixels: NDArray[Any]
    bits_stored: int
    photometric_interpretation: str
    frame_number: int | None = None
    modality: str = ""
    rescale_slope: float = 1.0
    rescale_intercept: float = 0.0
    rescale_type: str = ""
    modality_lut: LookupTable | None = None
    voi_luts: tuple[LookupTable, ...] = ()
    windows: tuple[Window, ...] = ()
    presentation_lut_shape: str = ""
    intensity_relationship: str = ""
    intensity_sign: int = 0
    padding: tuple[int, int] | None = None
    spacing_mm: tuple[float, float] | None = None
    spacing_source: SpacingSource | None = None
    patient_orientation: tuple[str, str] | None = None
    laterality: str = ""
    fov_rotation: float = 0.0
    fov_horizontal_flip: bool = False
    plane: SlicePlane | None = None

    @property
    def inverted(self) -> bool:
        """Whether the smallest value is shown white; both elements together say it once, not twice."""
        return self.photometric_interpretation == "MONOCHROME1" or self.presentation_lut_shape == "INVERSE"


Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Affine:
    """x' = a x + b y + c, y' = d x + e y + f, between the edge coordinates of two pictures."""

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 1.0
    f: float = 0.0

    def apply(self, point: Point) -> Point:
        """Map one (x, y)."""
        x, y = point
        return self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f

    def box(self, box: Box) -> Box:
        """Map (x0, y0, x1, y1) to the smallest box around its image; exact for flips, turns and scalings."""
        x0, y0, x1, y1 = box
        corners = [self.apply(corner) for corner in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
        columns, rows = zip(*corners, strict=True)
        return min(columns), min(rows), max(columns), max(rows)

    def then(self, outer: "Affine") -> "Affine":
        """Return the map that applies this one first and `outer` afterwards."""
        origin = outer.apply((self.c, self.f))
        a, d = outer.a * self.a + outer.b * self.d, outer.d * self.a + outer.e * self.d
        b, e = outer.a * self.b + outer.b * self.e, outer.d * self.b + outer.e * self.e
        return Affine(a, b, origin[0], d, e, origin[1])

    def inverse(self) -> "Affine":
        """Return the map back; a degenerate map is a programming error and raises ZeroDivisionError."""
        determinant = self.a * self.e - self.b * self.d
        a, b = self.e / determinant, -self.b / determinant
        d, e = -self.d / determinant, self.a / determinant
        return Affine(a, b, -(a * self.c + b * self.f), d, e, -(d * self.c + e * self.f))


IDENTITY = Affine()


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Radiograph:
    """A radiograph as a reader sees it: upright, 0 black to 1 white, at the resolution of its source.

    Parameters
    ----------
    pixels
        float32 (rows, columns) in [0, 1] after VOI and inversion; padding is 0; read-only.
    padding
        True where the stored image has no image content.
    to_source
        From this picture's (x, y) to the stored image's.
    pixel_spacing_mm
        (between rows, between columns) of this picture, or None.
    patient_orientation
        Of this picture, after orienting; None when the header did not say (then nothing was turned).
    """

    sop_instance_uid: str
    pixels: NDArray[np.float32]
    padding: NDArray[np.bool_]
    to_source: Affine = IDENTITY
    pixel_spacing_mm: tuple[float, float] | None = None
    spacing_source: SpacingSource | None = None
    patient_orientation: tuple[str, str] | None = None
    laterality: str = ""
    source_shape: tuple[int, int] = field(default=(0, 0))


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view of the array that cannot be written through."""
    view = array.view()
    view.flags.writeable = False
    return view
