# SPDX-License-Identifier: Apache-2.0
"""OHIF lists our results and draws them: outlines of the report, the captures' pixels, the segments' colours."""

import numpy as np
import pytest

from archive import CT, FILM, MAMMOGRAPHY, REPORT, Study
from ohif import Ohif
from outlines import Outline, outlines_of


@pytest.mark.parametrize("name", [MAMMOGRAPHY, FILM, CT])
def test_outlines_of_the_report_are_drawn_on_their_images(name: str, ohif: Ohif, studies: dict[str, Study]) -> None:
    study = studies[name]
    (report,) = study.of(REPORT)
    ohif.open_study(study.uid)
    (listed,) = [each for each in ohif.display_sets() if each["SeriesInstanceUID"] == report.SeriesInstanceUID]
    assert listed["Modality"] == "SR"
    assert not listed["unsupported"]
    ohif.open_series(report.SeriesInstanceUID)
    ohif.wait_for_drawn(1)
    expected = outlines_of(report)
    print(ohif.shown_instance(), ohif.drawn(), [(e.sop_instance_uid, e.points) for e in expected])
    ohif.page.screenshot(path=f"/tmp/ohif-{name}.png")
