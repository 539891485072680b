# SPDX-License-Identifier: Apache-2.0
"""Orthanc's own pictures of our results: previews, and its web viewer."""

import io

import numpy as np
import pytest
from archive import CAPTURE, CT, FILM, MAMMOGRAPHY, SEGMENTATION, Study
from numpy.typing import NDArray
from PIL import Image

from harness.orthanc import Orthanc


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
