# SPDX-License-Identifier: Apache-2.0
"""Real mammograms come out upright, right way round and right in polarity, or are refused with the reason."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from mammography_instances import ACCEPTANCE, BrightestSpot, from_file

from service.dicom.pixels import read_image
from service.domain.study import Completeness, Refusal, Selection
from service.imaging.radiograph import as_mammogram
from service.pipelines.mammography import MammographyPipeline

pytestmark = pytest.mark.real_data
PIPELINE = MammographyPipeline()
FODICOM = "dicom_fodicom_mg/Tests/FO-DICOM.Tests/Test Data"


def test_a_right_mlo_of_ge_is_read_upright_and_keeps_its_side(real_data_folder: Path):
    instance = from_file(real_data_folder / FODICOM / "GH133.dcm")
    selection = PIPELINE.select([instance], ACCEPTANCE)
    assert isinstance(selection, Selection)
    assert [flag.code for flag in selection.flags] == ["patient_sex"]
    result = PIPELINE.run(selection, BrightestSpot(), analysed_at=datetime(2026, 4, 1, tzinfo=UTC))
    (heatmap,) = result.heatmaps
    assert heatmap.patient_orientation == ("P", "F")
    assert_upright_right_breast(heatmap.base)
    x0, y0, x1, y1 = result.findings[0].region.bounds
    assert 0 <= x0 < x1 <= 2394
    assert 0 <= y0 < y1 <= 3062
    assert result.values["views"][0]["area_cm2"] == pytest.approx(193, abs=5)


def assert_upright_right_breast(base: np.ndarray) -> None:
    """Air is black on the left; the chest wall is on the right; the armpit with its muscle is above."""
    columns = base.shape[1]
    assert np.median(base[:, : columns // 4]) == 0
    chest_wall = base[:, -columns // 10 :]
    assert np.median(chest_wall[: base.shape[0] // 4]) > 90
    assert np.median(chest_wall[-base.shape[0] // 5 :]) < 30


def test_a_stereo_spot_view_is_refused_but_would_stand_upright(real_data_folder: Path):
    path = real_data_folder / FODICOM / "OutOfBoundsOverlay.dcm"
    decision = PIPELINE.select([from_file(path)], ACCEPTANCE)
    assert isinstance(decision, Refusal)
    assert {reason.code for reason in decision.reasons} == {"image_type"}
    radiograph = as_mammogram(read_image(path))
    assert radiograph.patient_orientation == ("A", "R")
    assert radiograph.pixels.shape == (1318, 788)


@pytest.mark.parametrize("name", ["J2KI/MG1_J2KI", "JPLY/MG1_JPLY"])
def test_a_digitised_film_is_refused(real_data_folder: Path, name):
    instance = from_file(real_data_folder / "dicom_wg04" / "data" / "WG04" / name)
    assert PIPELINE.completeness([instance]) is Completeness.INCOMPLETE
    decision = PIPELINE.select([instance], ACCEPTANCE)
    assert isinstance(decision, Refusal)
    assert [reason.code for reason in decision.reasons] == ["digitised_film"]


@pytest.mark.parametrize("name", ["JLSL/CT1_JLSL", "JLSL/RG2_JLSL", "RLE/RG3_RLE"])
def test_no_other_real_file_is_taken_for_a_mammogram(real_data_folder: Path, name):
    instance = from_file(real_data_folder / "dicom_wg04" / "data" / "WG04" / name)
    assert PIPELINE.completeness([instance]) is Completeness.NOT_WANTED
