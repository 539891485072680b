# SPDX-License-Identifier: Apache-2.0
"""dwv draws our captures and the images beside them."""

import numpy as np
import pytest
from archive import CAPTURE, CT, FILM, Study
from dwv import Dwv
from looks import GREY_LEVELS, between, fitted, largest_difference, marks, near, on_screen, windowed
from numpy.typing import NDArray
from pydicom import dcmread

from harness.orthanc import Orthanc


@pytest.mark.parametrize("name", [FILM, pytest.param(CT, marks=pytest.mark.viewers_long)])
def test_a_capture_is_shown_with_its_pixels_and_marks(
    name: str, dwv: Dwv, archive: Orthanc, studies: dict[str, Study]
) -> None:
    (capture, *_) = studies[name].of(CAPTURE)
    shown, expected = seen(dwv, archive, capture.SOPInstanceUID, capture.pixel_array)
    assert largest_difference(shown, expected) < GREY_LEVELS
    assert marks(expected).sum() > 100
    assert near(marks(shown), marks(expected), pixels=2) > 0.95
    assert near(marks(expected), marks(shown), pixels=2) > 0.95


def test_a_slice_is_shown_in_its_window(dwv: Dwv, archive: Orthanc, studies: dict[str, Study]) -> None:
    image = dcmread(studies[CT].images[0])
    shown, expected = seen(dwv, archive, image.SOPInstanceUID, windowed(image))
    assert largest_difference(shown, expected) < GREY_LEVELS


def seen(
    dwv: Dwv, archive: Orthanc, sop_instance_uid: str, pixels: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return what dwv shows of an instance, and how it should look there."""
    dwv.open_instance(f"/instances/{archive.find(sop_instance_uid)}/file")
    canvas = dwv.canvas()
    corners = fitted(canvas, pixels)
    return between(canvas, corners), on_screen(pixels, corners)
