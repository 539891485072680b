# SPDX-License-Identifier: Apache-2.0
"""Real films: every one ends in an upright result of the right polarity, or in a refusal that says why."""

import gzip
from datetime import UTC, datetime

import numpy as np
import pydicom
import pytest

from service.domain.result import Outcome
from service.domain.study import Refusal, Selection
from service.imaging.radiograph import mediastinum_contrast
from service.pipelines.pneumoconiosis import PneumoconiosisPipeline

pytestmark = pytest.mark.real_data
NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
PIPELINE = PneumoconiosisPipeline()
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
FUJI = "dicom_circus/packages/circus-lib/testdata/test-dicom/CR-LIDC-MONOCROME1.gz"


def analyse(instance, package, **acceptance):
    selection = PIPELINE.select([instance], {**package.acceptance, **acceptance})
    assert isinstance(selection, Selection), selection
    return PIPELINE.run(selection, package, analysed_at=NOW)


@pytest.fixture
def fuji(real_data_folder, tmp_path, as_instance):
    path = tmp_path / "fuji.dcm"
    path.write_bytes(gzip.decompress((real_data_folder / FUJI).read_bytes()))
    return as_instance(path)


def assert_upright(result):
    picture = result.heatmaps[0]
    assert mediastinum_contrast(picture.base.astype(np.float32) / 255) > 0.05
    zones = {mark.caption[:2]: mark.points for mark in picture.marks}
    assert zones["RU"][0][0] < zones["LU"][0][0]
    assert zones["RU"][0][1] < zones["RL"][0][1]


def test_the_fuji_film_of_monochrome1_comes_out_upright_and_positive(fuji, package):
    result = analyse(fuji, package)
    assert result.outcome in {Outcome.FINDINGS, Outcome.NO_FINDINGS}
    assert_upright(result)
    assert "view_unknown" in {flag.code for flag in result.flags}


def test_the_philips_film_without_spacing_is_refused_and_read_once_it_has_one(
    real_data_folder, tmp_path, package, as_instance
):
    source = real_data_folder / "dicom_wg04/data/WG04/J2KI/RG1_J2KI"
    refusal = PIPELINE.select([as_instance(source)], package.acceptance)
    assert isinstance(refusal, Refusal)
    assert {reason.code for reason in refusal.reasons} == {"pixel_spacing_missing"}
    dataset = pydicom.dcmread(source)
    dataset.ImagerPixelSpacing = [0.2, 0.2]
    dataset.save_as(tmp_path / "rg1.dcm")
    assert_upright(analyse(as_instance(tmp_path / "rg1.dcm"), package))


@pytest.mark.parametrize(
    ("file", "code"), [("JPLY/RG2_JPLY", "body_part"), ("RLE/RG3_RLE", "view"), ("JLSL/RG3_JLSL", "body_part")]
)
def test_hips_and_shins_are_refused_by_their_headers(file, code, real_data_folder, package, as_instance):
    refusal = PIPELINE.select([as_instance(real_data_folder / "dicom_wg04/data/WG04" / file)], package.acceptance)
    assert isinstance(refusal, Refusal)
    assert code in {reason.code for reason in refusal.reasons}


@pytest.mark.parametrize("file", ["JPLL/RG2_JPLL", "RLE/RG3_RLE"])
def test_hips_and_shins_that_claim_to_be_chests_are_refused_by_their_pixels(
    file, real_data_folder, package, tmp_path, as_instance
):
    dataset = pydicom.dcmread(real_data_folder / "dicom_wg04/data/WG04" / file)
    dataset.BodyPartExamined, dataset.ViewPosition, dataset.PixelSpacing = "CHEST", "PA", [0.2, 0.2]
    dataset.save_as(tmp_path / "claim.dcm")
    result = analyse(as_instance(tmp_path / "claim.dcm"), package)
    assert result.outcome is Outcome.NOT_ANALYSED
    assert result.refusals


def rsna(real_data_folder, *, lying: bool):
    folder = real_data_folder / "cxr_txv/tests"
    return next(path for path in folder.glob("*.dcm") if path.name.startswith("Fake") is lying)


@pytest.mark.parametrize("lying", [False, True])
def test_secondary_captures_of_films_are_refused(lying, real_data_folder, package, as_instance):
    refusal = PIPELINE.select([as_instance(rsna(real_data_folder, lying=lying))], package.acceptance)
    assert isinstance(refusal, Refusal)
    assert "sop_class" in {reason.code for reason in refusal.reasons}


def test_pixels_tell_that_a_header_lies_about_monochrome1(real_data_folder, tmp_path, package, as_instance):
    results = []
    for lying in (False, True):
        dataset = pydicom.dcmread(rsna(real_data_folder, lying=lying))
        dataset.PixelSpacing = [
            0.35,
            0.35,
        ]  # 1024 pixels of a 36 cm film; the header's 0.168 mm is that of the original
        dataset.save_as(tmp_path / "film.dcm")
        relaxed = {"sop_classes": [SECONDARY_CAPTURE], "bits_stored_min": 8, "pixel_spacing_max_mm": 0.4}
        results.append(analyse(as_instance(tmp_path / "film.dcm"), package, **relaxed))
    honest, lying = results
    assert_upright(honest)
    assert lying.outcome is Outcome.NOT_ANALYSED
    assert "polarity" in {reason.code for reason in lying.refusals}
