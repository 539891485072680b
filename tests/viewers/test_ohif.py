# SPDX-License-Identifier: Apache-2.0
"""OHIF lists our results and draws them: outlines of the report, the captures' pixels, the segments' colours."""

import numpy as np
from numpy.typing import NDArray

from archive import CT, REPORT, Study
from harness.processes import wait_until
from ohif import Ohif
from outlines import Outline, outlines_of

Points = NDArray[np.float64]


def test_outlines_of_the_report_are_drawn_on_their_slices(ohif: Ohif, studies: dict[str, Study]) -> None:
    study = studies[CT]
    (report,) = study.of(REPORT)
    outlines = outlines_of(report)
    ohif.open_study(study.uid)
    (listed,) = [each for each in ohif.display_sets() if each["SeriesInstanceUID"] == report.SeriesInstanceUID]
    assert listed["Modality"] == "SR"
    assert not listed["unsupported"]
    ohif.open_series(report.SeriesInstanceUID)
    ohif.wait_for_drawn(sum(outline.sop_instance_uid == outlines[0].sop_instance_uid for outline in outlines))
    for sop_instance_uid in dict.fromkeys(outline.sop_instance_uid for outline in outlines):
        check_drawn(ohif, [outline for outline in outlines if outline.sop_instance_uid == sop_instance_uid])


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
