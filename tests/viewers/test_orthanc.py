# SPDX-License-Identifier: Apache-2.0
"""Orthanc's own pictures of our results: previews, and its web viewer."""

import io
import json

import numpy as np
import pytest
from archive import CAPTURE, CT, FILM, MAMMOGRAPHY, SEGMENTATION, Study
from looks import GREY_LEVELS, between, fitted, largest_difference, marks, near, on_screen, windowed
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Page
from pydicom import dcmread

from harness.browser import picture
from harness.orthanc import Orthanc
from harness.processes import wait_until


def preview(archive: Orthanc, sop_instance_uid: str, path: str = "preview") -> NDArray[np.uint8]:
    """Return Orthanc's picture of an instance, or of a frame of it."""
    identifier = archive.find(sop_instance_uid)
    assert identifier is not None
    return np.asarray(Image.open(io.BytesIO(archive.request(f"/instances/{identifier}/{path}"))))


@pytest.mark.parametrize("name", [FILM, CT, MAMMOGRAPHY])
def test_preview_of_a_capture_is_the_capture(name: str, archive: Orthanc, studies: dict[str, Study]) -> None:
    captures = studies[name].of(CAPTURE)
    assert captures
    for capture in captures:
        assert np.array_equal(preview(archive, capture.SOPInstanceUID), capture.pixel_array)


def test_preview_of_a_segment_is_its_mask(archive: Orthanc, studies: dict[str, Study]) -> None:
    for segmentation in studies[CT].of(SEGMENTATION):
        for number in range(0, segmentation.NumberOfFrames, 7):
            shown = preview(archive, segmentation.SOPInstanceUID, f"frames/{number}/preview")
            mask = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)[number]
            assert mask.any()
            assert np.array_equal(shown > 127, mask > 0)


def test_the_web_viewer_shows_a_capture_with_its_marks(page: Page, archive: Orthanc, studies: dict[str, Study]) -> None:
    (capture, *_) = studies[FILM].of(CAPTURE)
    shown, expected = seen(page, archive, capture.SOPInstanceUID, capture.pixel_array)
    assert marks(expected).sum() > 100
    assert near(marks(shown), marks(expected), pixels=2) > 0.95
    assert near(marks(expected), marks(shown), pixels=2) > 0.95


def test_the_web_viewer_shows_a_film(page: Page, archive: Orthanc, studies: dict[str, Study]) -> None:
    image = dcmread(studies[FILM].images[0])
    seen(page, archive, image.SOPInstanceUID, windowed(image))


def seen(
    page: Page, archive: Orthanc, sop_instance_uid: str, pixels: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Open the series of an instance in the web viewer and wait until it shows the pixels; return both as they look."""
    series = json.loads(archive.request(f"/instances/{archive.find(sop_instance_uid)}/series"))["ID"]
    page.goto(f"http://127.0.0.1:{archive.http_port}/web-viewer/app/viewer.html?series={series}")
    page.wait_for_selector("canvas")
    corners = fitted(canvas(page), pixels)
    expected = on_screen(pixels, corners)
    wait_until(
        lambda: largest_difference(between(canvas(page), corners), expected) < GREY_LEVELS,
        seconds=30,
        what="the web viewer shows something else",
    )
    return between(canvas(page), corners), expected


def canvas(page: Page) -> NDArray[np.uint8]:
    """What the web viewer draws."""
    return picture(page, "document.querySelector('canvas')")
