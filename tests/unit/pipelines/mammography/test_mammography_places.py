# SPDX-License-Identifier: Apache-2.0
"""Where a mark lies in the stored file, whichever way the file is stored; with a detector that is a rule."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from mammography_instances import ACCEPTANCE, BrightestSpot, from_file
from pydicom import dcmread

from models.phantoms.dicom import PhantomStudy
from models.phantoms.mammogram.breast import Breast, Lesion, Side, ViewName, random_breast
from models.phantoms.mammogram.files import StoredAs, WrittenView, write_mg_view
from models.phantoms.mammogram.view import PhantomView, draw_view
from service.domain.result import Outcome, PipelineResult, Presence
from service.domain.study import Refusal, Selection
from service.pipelines.mammography import MammographyPipeline

AT = datetime(2026, 4, 1, tzinfo=UTC)
LESION = Lesion(depth_mm=40, lateral_mm=14, superior_mm=9, radius_mm=8, density_per_cm=3.0, seed=1)
PIPELINE = MammographyPipeline()


@cache
def drawn(side: Side, view: ViewName) -> tuple[Breast, PhantomView]:
    breast = replace(random_breast(side, 5), lesions=(LESION,), gland=0.02, depth_mm=90.0, distractors=0)
    return breast, draw_view(breast, view, pitch_mm=0.1)


def write(folder: Path, side: Side, view: ViewName, stored: StoredAs) -> WrittenView:
    breast, picture = drawn(side, view)
    study = PhantomStudy(seed="places")
    return write_mg_view(folder / f"{side}-{view}.dcm", picture, breast=breast, view=view, study=study, stored=stored)


def analyse(*paths: Path) -> PipelineResult:
    selection = PIPELINE.select([from_file(path) for path in paths], ACCEPTANCE)
    assert isinstance(selection, Selection)
    return PIPELINE.run(selection, BrightestSpot(), analysed_at=AT)


@pytest.mark.parametrize("side", ["L", "R"])
@pytest.mark.parametrize(
    "stored",
    [
        StoredAs(),
        StoredAs(mirrored=True),
        StoredAs(photometric="MONOCHROME1"),
        StoredAs(photometric="MONOCHROME1", mirrored=True),
        StoredAs(voi="SIGMOID"),
    ],
    ids=["plain", "mirrored", "inverse", "inverse-mirrored", "sigmoid"],
)
@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_the_mark_lands_on_the_mass_in_stored_pixels(tmp_path, side, view, stored):
    written = write(tmp_path, side, view, stored)
    result = analyse(written.path)
    assert result.outcome is Outcome.FINDINGS
    side_name = {"L": "left", "R": "right"}[side]
    assert result.headline == f"Mammography: 1 mark ({side_name} {view}), exam score 0.88"
    (mark,) = [finding for finding in result.findings if finding.presence is Presence.PRESENT]
    x0, y0, x1, y1 = mark.region.bounds
    ((x, y, radius),) = written.lesions
    assert x0 < x < x1
    assert y0 < y < y1
    assert np.hypot((x0 + x1) / 2 - x, (y0 + y1) / 2 - y) < radius
    assert (x1 - x0, y1 - y0) == pytest.approx((120, 120), abs=1)


def test_the_mark_lands_on_the_mass_of_a_picture_stored_on_its_side(tmp_path):
    written = write(tmp_path, "L", "MLO", StoredAs())
    dataset = dcmread(written.path)
    pixels = dataset.pixel_array
    dataset.PixelData = np.ascontiguousarray(pixels.T).tobytes()
    dataset.Rows, dataset.Columns = pixels.T.shape
    dataset.PatientOrientation = ["FR", "A"]
    dataset.save_as(written.path)
    result = analyse(written.path)
    x0, y0, x1, y1 = result.findings[0].region.bounds
    ((x, y, radius),) = written.lesions
    assert np.hypot((x0 + x1) / 2 - y, (y0 + y1) / 2 - x) < radius
    assert result.heatmaps[0].base.shape == (1024, 768)
    assert result.heatmaps[0].patient_orientation == ("A", "F")


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_heatmap_lies_as_the_picture_is_stored(tmp_path, mirrored):
    written = write(tmp_path, "R", "MLO", StoredAs(mirrored=mirrored))
    (heatmap,) = analyse(written.path).heatmaps
    assert heatmap.base.shape == heatmap.overlay.shape == (1024, 768)
    assert heatmap.base.dtype == np.uint8
    assert heatmap.patient_orientation == (("A", "F") if mirrored else ("P", "F"))
    assert bool(heatmap.base[:, :100].mean() > heatmap.base[:, -100:].mean()) is mirrored
    scale = 1024 / 2400
    ((x, y, _),) = written.lesions
    row, column = np.unravel_index(np.argmax(heatmap.overlay), heatmap.overlay.shape)
    assert np.hypot(column - x * scale, row - y * scale) < 40
    ((mark,),) = [heatmap.marks]
    columns = [point[0] for point in mark.points]
    assert min(columns) < x * scale < max(columns)
    assert heatmap.pixel_spacing_mm == pytest.approx((0.1 / scale, 0.1 / scale))


def test_a_wrong_orientation_is_refused(tmp_path):
    written = write(tmp_path, "L", "MLO", StoredAs(changes={"PatientOrientation": ["P", "FR"]}))
    result = analyse(written.path)
    assert result.outcome is Outcome.NOT_ANALYSED
    assert [reason.code for reason in result.refusals] == ["orientation_disagrees"]
    assert result.heatmaps == ()
    assert result.triage is None
    assert result.headline == "Mammography: not analysed (orientation disagrees)"


def test_a_header_that_lies_about_polarity_is_refused(tmp_path):
    written = write(tmp_path, "L", "CC", StoredAs(changes={"PhotometricInterpretation": "MONOCHROME1"}))
    assert [reason.code for reason in analyse(written.path).refusals] == ["background_not_dark"]


def test_an_absent_orientation_is_refused(tmp_path):
    written = write(tmp_path, "L", "CC", StoredAs(changes={"PatientOrientation": None}))
    assert [reason.code for reason in analyse(written.path).refusals] == ["patient_orientation"]


def test_a_sliver_of_a_breast_is_refused(tmp_path):
    breast = replace(random_breast("L", 5), depth_mm=28.0, half_width_mm=30.0)
    picture = draw_view(breast, "CC", pitch_mm=0.1)
    study = PhantomStudy(seed="small")
    written = write_mg_view(tmp_path / "s.dcm", picture, breast=breast, view="CC", study=study)
    assert [reason.code for reason in analyse(written.path).refusals] == ["breast_area"]


def test_a_view_that_cannot_be_used_leaves_the_others(tmp_path):
    good = write(tmp_path, "L", "CC", StoredAs())
    bad = write(tmp_path, "R", "CC", StoredAs(changes={"PixelData": bytes(10)}))
    result = analyse(good.path, bad.path)
    assert result.outcome is Outcome.PARTLY_ANALYSED
    assert [reason.code for reason in result.refusals] == ["pixels_unreadable"]
    assert "pixels_unreadable" not in {flag.code for flag in result.flags}
    assert len(result.heatmaps) == 1
    assert result.headline == "Mammography: 1 mark, exam score 0.88, not all views"
    assert result.input_sop_instance_uids == (from_file(good.path).sop_instance_uid,)


def test_the_spot_view_and_the_implant_are_refused_by_header(tmp_path):
    spot = write(tmp_path, "L", "CC", StoredAs(spot=True))
    decision = PIPELINE.select([from_file(spot.path)], ACCEPTANCE)
    assert isinstance(decision, Refusal)
    assert {reason.code for reason in decision.reasons} == {"view_modifier", "magnification"}
    breast = replace(random_breast("R", 5), implant=True)
    picture, study = draw_view(breast, "CC", pitch_mm=0.2), PhantomStudy(seed="implant")
    implant = write_mg_view(tmp_path / "i.dcm", picture, breast=breast, view="CC", study=study)
    decision = PIPELINE.select([from_file(implant.path)], ACCEPTANCE)
    assert isinstance(decision, Refusal)
    assert "implant" in {reason.code for reason in decision.reasons}


def test_findings_carry_codes_and_the_breast_score_once(tmp_path):
    result = analyse(write(tmp_path, "R", "CC", StoredAs()).path, write(tmp_path, "R", "MLO", StoredAs()).path)
    assert result.headline == "Mammography: 2 marks (right breast), exam score 0.99"
    assert [finding.key for finding in result.findings] == ["mark-1", "mark-2"]
    assert {finding.finding.value for finding in result.findings} == {"129793001"}
    assert [[m.name.value for m in finding.measurements] for finding in result.findings] == [
        ["SCORE"],
        [],
    ]
    assert result.findings[0].laterality is not None
    assert result.findings[0].laterality.meaning == "Right"
    assert result.triage is not None
    assert result.triage.score == pytest.approx(1 - (1 - 0.880797) ** 2, abs=1e-4)


def test_the_same_input_gives_the_same_result(tmp_path):
    path = write(tmp_path, "L", "MLO", StoredAs()).path
    first, second = analyse(path), analyse(path)
    assert first.findings == second.findings
    assert first.values == second.values
    assert np.array_equal(first.heatmaps[0].overlay, second.heatmaps[0].overlay)
    assert np.array_equal(first.heatmaps[0].base, second.heatmaps[0].base)
