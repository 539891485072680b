# SPDX-License-Identifier: Apache-2.0
"""The committed demonstration package on phantom exams: masses are marked where they are, normal exams are not."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from mammography_instances import from_file
from pydicom import dcmread

from harness.shipped import shipped
from models.phantoms.dicom import PhantomStudy
from models.phantoms.mammogram.files import WrittenView, write_mg_exam
from service.domain.result import Outcome, PipelineResult, Presence
from service.domain.study import Selection
from service.inference.package import LoadedPackage, load_package
from service.pipelines.mammography import MammographyPipeline

FOLDER = shipped("mammography-demo")
PIPELINE = MammographyPipeline()


@pytest.fixture(scope="module")
def package() -> LoadedPackage:
    return load_package(FOLDER)


@pytest.fixture(scope="module")
def normal(tmp_path_factory: pytest.TempPathFactory) -> tuple[WrittenView, ...]:
    """An exam without a lesion; a phantom at 0.1 mm takes seconds."""
    return write_mg_exam(tmp_path_factory.mktemp("normal"), study=PhantomStudy(seed="normal"), seed=14)


def says(result: PipelineResult, answer: str) -> None:
    """The set of answers holds this one, and what a demonstration thinks the chance is stays in the record."""
    assert answer in result.values["exam_set"]
    assert 0 < result.values["exam_calibrated"] < 1
    assert not any(line.startswith("Calibrated") for line in result.summary), "a demonstration states no chance"


def analyse(written: tuple[WrittenView, ...], package: LoadedPackage) -> PipelineResult:
    selection = PIPELINE.select([from_file(view.path) for view in written], package.acceptance)
    assert isinstance(selection, Selection)
    return PIPELINE.run(selection, package, analysed_at=datetime(2026, 4, 1, tzinfo=UTC))


def is_hit(finding, written: tuple[WrittenView, ...]) -> bool:
    x0, y0, x1, y1 = finding.region.bounds
    (view,) = [view for view in written if from_file(view.path).sop_instance_uid == finding.region.sop_instance_uid]
    return any(np.hypot((x0 + x1) / 2 - x, (y0 + y1) / 2 - y) < radius for x, y, radius in view.lesions)


@pytest.mark.parametrize(("seed", "side"), [(9, "L"), (7, "R")])
def test_a_mass_is_marked_where_it_is(tmp_path, package, seed, side):
    written = write_mg_exam(tmp_path, study=PhantomStudy(seed=f"mass-{seed}"), seed=seed, mass_in=side)
    result = analyse(written, package)
    marks = [finding for finding in result.findings if finding.presence is Presence.PRESENT]
    assert result.outcome is Outcome.FINDINGS
    assert marks
    assert all(is_hit(mark, written) for mark in marks)
    assert result.triage is not None
    assert result.triage.above_operating_point
    assert len(result.headline) <= 64
    assert len(result.heatmaps) == 4
    says(result, "lesion")


def test_a_normal_exam_has_no_marks(normal, package):
    result = analyse(normal, package)
    says(result, "no lesion")
    assert result.outcome is Outcome.NO_FINDINGS
    assert {finding.presence for finding in result.findings} == {Presence.ABSENT}
    assert len(result.findings) == 8, "no mass and no distortion, on each of four views"
    assert result.triage is not None
    assert not result.triage.above_operating_point
    assert result.headline.startswith("Mammography: no marks, exam score 0.")
    assert not result.headline.endswith("not all views")
    one = analyse(normal[:1], package)
    assert one.headline.startswith("Mammography: no marks, exam score 0.")
    assert one.headline.endswith(", not all views"), "one view without a mark is no negative exam"


def test_the_package_has_a_set_of_answers_for_an_exam(package):
    (declared,) = package.reliability.conformal
    assert (declared.target, declared.level) == ("exam", 0.9)


def test_a_view_of_noise_is_refused_and_the_others_are_read(tmp_path, normal, package):
    dataset = dcmread(normal[0].path)
    pixels = dataset.pixel_array
    noise = np.random.default_rng(3).integers(800, 4095, pixels.shape, dtype=np.uint16)
    dataset.PixelData = np.where(pixels > 200, noise, pixels).tobytes()
    dataset.save_as(tmp_path / "noise.dcm")
    result = analyse((replace(normal[0], path=tmp_path / "noise.dcm"), *normal[1:]), package)
    assert result.outcome is Outcome.PARTLY_ANALYSED
    assert [reason.code for reason in result.refusals] == ["out_of_distribution"]
    assert len(result.values["views"]) == 3


def test_the_detector_is_the_one_that_every_recipe_starts_from():
    pytest.importorskip("torch", reason="needs the optional extra `train`")
    from models.recipes.mammography_start import folded_weights, read_start

    start = read_start(Path(__file__).parents[4] / "models" / "recipes" / "mammography_start.npz")
    found = folded_weights((FOLDER / "graphs" / "detector.onnx").read_bytes())
    assert found.keys() == start.keys()
    assert all(np.array_equal(weights, start[name]) for name, weights in found.items())


def test_a_distortion_is_marked_where_it_is_and_the_other_breast_is_clear(tmp_path, package):
    written = write_mg_exam(tmp_path, study=PhantomStudy(seed="strands"), seed=200, distortion_in="R")
    result = analyse(written, package)
    marks = [finding for finding in result.findings if finding.presence is Presence.PRESENT]
    assert {mark.finding.value for mark in marks} == {"129792006"}
    assert all(is_hit(mark, written) for mark in marks)
    right = {from_file(view.path).sop_instance_uid for view in written if view.side == "R"}
    assert {mark.region.sop_instance_uid for mark in marks} <= right
    raised = [line for heatmap in result.heatmaps for line in heatmap.lines if line.startswith("A distortion raises")]
    assert raised
    assert result.values["breasts"]["R"] > result.values["breasts"]["L"]


def test_the_map_adds_up_to_the_view_score(package):
    rng = np.random.default_rng(5)
    rows, columns = package.parameters["canvas"]
    biases = []
    for _ in range(3):
        image = rng.random((1, 2, rows, columns), dtype=np.float32).round(1)
        outputs = package.run("detector", {"image": image})
        biases.append(float(outputs["image_logit"][0] - outputs["raw_cam"].mean()))
    assert biases == pytest.approx([biases[0]] * 3, abs=1e-4)


def test_the_package_is_small_and_prohibited(package):
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 8_000_000
    assert package.identity.status == "demonstration"
    assert package.manifest.clinical_use == "prohibited"
