# SPDX-License-Identifier: Apache-2.0
"""OHIF lists our results and draws them: outlines of the report, the captures' pixels, the segments' colours."""

import numpy as np
import pytest
from archive import CAPTURE, CT, MAMMOGRAPHY, REPORT, SEGMENTATION, Study
from looks import (
    GREY_LEVELS,
    at_pixels,
    between,
    coloured,
    largest_difference,
    marks,
    mask_of,
    near,
    on_screen,
    overlap,
)
from numpy.typing import NDArray
from ohif import Ohif
from outlines import Outline, outlines_of
from pydicom import dcmread

from harness.processes import wait_until

pytestmark = pytest.mark.timeout(600)

Points = NDArray[np.float64]


def test_outlines_of_the_report_are_drawn_on_their_slices(ohif: Ohif, studies: dict[str, Study]) -> None:
    study = studies[CT]
    (report,) = study.of(REPORT)
    outlines = outlines_of(report)
    ohif.open_study(study.uid)
    (listed,) = [each for each in ohif.display_sets() if each["SeriesInstanceUID"] == report.SeriesInstanceUID]
    assert listed["Modality"] == "SR"
    assert not listed["unsupported"]
    first = sum(outline.sop_instance_uid == outlines[0].sop_instance_uid for outline in outlines)
    ohif.open_drawn(report.SeriesInstanceUID, first)
    for sop_instance_uid in dict.fromkeys(outline.sop_instance_uid for outline in outlines):
        check_drawn(ohif, [outline for outline in outlines if outline.sop_instance_uid == sop_instance_uid])


@pytest.mark.viewers_long
def test_outlines_are_drawn_on_a_mammogram(ohif: Ohif, studies: dict[str, Study]) -> None:
    """A mammogram has no frame of reference: OHIF then draws the outlines when the image is drawn again, not before."""
    study = studies[MAMMOGRAPHY]
    (report,) = study.of(REPORT)
    outlines = outlines_of(report)
    ohif.open_study(study.uid)
    ohif.open_series(report.SeriesInstanceUID)
    ohif.wait_for_series([study.image(outlines[0].sop_instance_uid)])
    ohif.change_window()
    check_drawn(ohif, outlines[:1])


@pytest.mark.viewers_long
def test_captures_are_shown_with_their_pixels(ohif: Ohif, studies: dict[str, Study]) -> None:
    study = studies[CT]
    (capture, *_) = study.of(CAPTURE)
    ohif.open_study(study.uid)
    ohif.open_series(capture.SeriesInstanceUID)
    ohif.wait_for_series(study.of(CAPTURE))
    capture = next(each for each in study.of(CAPTURE) if each.SOPInstanceUID == ohif.shown_instance())
    corners = ohif.corners()
    expected = on_screen(capture.pixel_array, corners)
    wait_until(
        lambda: largest_difference(between(ohif.canvas(), corners), expected) < GREY_LEVELS,
        seconds=30,
        what="the canvas does not show the capture",
    )
    shown = between(ohif.canvas(), corners)
    assert marks(expected).sum() > 100
    assert near(marks(shown), marks(expected), pixels=2) > 0.95
    assert near(marks(expected), marks(shown), pixels=2) > 0.95


def test_segments_are_coloured_where_the_masks_are(ohif: Ohif, studies: dict[str, Study]) -> None:
    study = studies[CT]
    for segmentation in study.of(SEGMENTATION):
        ohif.open_study(study.uid)
        ohif.open_series(segmentation.SeriesInstanceUID)
        ohif.wait_for_series(map(dcmread, study.images))
        mask = mask_of(segmentation, ohif.shown_instance()) > 0
        assert mask.any()
        wait_until(lambda mask=mask: overlap(colours(ohif, mask.shape), mask) > 0.95, seconds=30, what="other colours")


def colours(ohif: Ohif, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Say at which pixels of the image that is shown the canvas is coloured."""
    rows, columns = shape
    return coloured(at_pixels(ohif.canvas(), ohif.corners(), rows=rows, columns=columns))


def check_drawn(ohif: Ohif, outlines: list[Outline]) -> None:
    """Every outline of an image is drawn on it, to a pixel, and nothing else is."""
    ohif.scroll_to(outlines[0].sop_instance_uid)
    wait_until(lambda: same(ohif.drawn(), outlines), seconds=30, what=f"{ohif.drawn()} is drawn, not {outlines}")


def same(drawn: list[Points], outlines: list[Outline]) -> bool:
    """Say whether each of the lines is one of the outlines and the other way round, to a pixel of the image."""
    left = list(drawn)
    for outline in outlines:
        fitting = [index for index, points in enumerate(left) if fits(points, outline)]
        if not fitting:
            return False
        left.pop(fitting[0])
    return not left


def fits(points: Points, outline: Outline) -> bool:
    """Say whether a drawn line has the corners of an outline, each within a pixel of the image."""
    return points.shape == outline.points.shape and float(np.abs(points - outline.points).max()) < 1
