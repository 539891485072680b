# SPDX-License-Identifier: Apache-2.0
"""Marks of several kinds: clusters at 0.1 mm and a second look, and how kinds reach findings, pictures and reports."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mammography_instances import BrightestSpot, from_file
from pydicom import dcmread

from harness.studies import context_of
from models.phantoms.dicom import PhantomStudy
from models.phantoms.mammogram.breast import Lesion, random_breast
from models.phantoms.mammogram.files import StoredAs, write_mg_view
from models.phantoms.mammogram.view import draw_view
from service.domain.errors import PackageError
from service.domain.image import IDENTITY, Radiograph
from service.domain.reliability import CalibrationMethod, Reliability, ScoreCalibration
from service.domain.result import Finding, Outcome, PackageStatus, PipelineResult, Presence, RunKind
from service.domain.study import Selection
from service.pipelines.mammography import MammographyPipeline
from service.pipelines.mammography.anatomy import BreastPicture
from service.pipelines.mammography.fine import fine_view, patch_around
from service.pipelines.mammography.kinds import KINDS, declared_kinds, display_thresholds
from service.pipelines.mammography.marks import decoded
from service.pipelines.mammography.scores import sigmoid
from service.results.report.context_groups import is_member
from service.results.report.mammography_cad import encode_mammography_cad
from service.results.words.wording import JAPANESE

PIPELINE = MammographyPipeline()
LESION = Lesion(depth_mm=42, lateral_mm=16, superior_mm=18, radius_mm=8, density_per_cm=3.0, seed=1)
"""So bright that all of it is white at either spacing."""


class Finer(BrightestSpot):
    """Looks for distortions too, marks the brightest 6 mm at 0.1 mm as a cluster, and looks twice at two marks."""

    parameters: Mapping[str, Any] = {
        **BrightestSpot.parameters,
        "detector_classes": ["mass", "distortion"],
        "calcifications": {"pixel_spacing_mm": 0.1},
        "second_look": {"pixel_spacing_mm": 0.1, "patch_px": 64, "marks": 2},
    }
    operating_points: Mapping[str, float] = {"display": 0.5, "display-cluster": 0.3, "triage": 0.5}

    def __init__(self, *, cluster: float = 0.4, channel: int = 0, mass: float = 0.9) -> None:
        self.cluster, self.channel, self.mass = cluster, channel, mass
        self.patches = np.zeros(0)
        self.white = 0.0

    def run(self, graph: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if graph == "second_look":
            self.patches = inputs["patches"]
            return {"malignancy_logit": np.linspace(2.0, -2.0, len(self.patches)).astype(np.float32)}
        if graph == "calcifications":
            (image,) = inputs["image"]
            self.white = float((image[0] > 0.999).mean())
            assert image.dtype == np.float32
            assert not any(size % 16 for size in image.shape[1:])
            middle = image.shape[2] // 2
            assert image[1, :, :middle].mean() > image[1, :, middle:].mean(), "the chest wall is on the left"
            rows, columns = np.nonzero(image[0] > 0.999)
            row, column = np.median(rows), np.median(columns)
            mark = [[column - 30, row - 30, column + 30, row + 30, self.cluster, 0]]
            return {"marks": np.array([mark], np.float32)}
        outputs = super().run(graph, inputs)
        outputs["marks"][:, 0, 4:] = self.mass, self.channel
        return outputs


def write(folder: Path, side="L", view="CC", stored: StoredAs | None = None) -> Path:
    breast = replace(random_breast(side, 5), lesions=(LESION,), gland=0.02, depth_mm=90.0, distractors=0)
    picture = draw_view(breast, view, pitch_mm=0.4)
    path = folder / f"{side}-{view}.dcm"
    study = PhantomStudy(seed="kinds")
    return write_mg_view(path, picture, breast=breast, view=view, study=study, stored=stored or StoredAs()).path


def analyse(paths, package) -> PipelineResult:
    selection = Selection(instances=tuple(from_file(path) for path in paths))
    return PIPELINE.run(selection, package, analysed_at=datetime(2026, 4, 1, tzinfo=UTC))


def present(result: PipelineResult) -> dict[str, Finding]:
    return {each.finding.value: each for each in result.findings if each.presence is Presence.PRESENT}


@pytest.mark.parametrize(("side", "mirrored"), [("L", False), ("R", False), ("R", True)], ids=["L", "R", "turned"])
def test_a_cluster_is_marked_where_the_finer_graph_saw_it(tmp_path, side, mirrored):
    path = write(tmp_path, side, stored=StoredAs(mirrored=mirrored))
    found = present(analyse([path], Finer()))
    assert set(found) == {"129793001", "129769006"}
    mass, cluster = found["129793001"], found["129769006"]
    assert np.hypot(*np.subtract(mass.center, cluster.center)) < 5, "pixels of 0.4 mm: the same bright spot"
    x0, y0, x1, y1 = cluster.region.bounds
    assert (x1 - x0, y1 - y0) == pytest.approx((15, 15), abs=0.1), "60 pixels of 0.1 mm"
    assert cluster.label == f"Calcification cluster candidate, {'left' if side == 'L' else 'right'} CC, score 0.40"


def test_the_second_look_sees_the_highest_marks_and_its_score_stands_beside_them(tmp_path):
    package = Finer()
    found = present(analyse([write(tmp_path)], package))
    assert package.patches.shape == (2, 1, 64, 64)
    assert package.patches.mean() > 0.9, "both marks lie on the white lesion"
    measured = [each.measurements[0] for each in (found["129793001"], found["129769006"])]
    assert {each.name.value for each in measured} == {"MALIGNANCY"}
    assert [each.value for each in measured] == pytest.approx([sigmoid(2), sigmoid(-2)], abs=1e-4)


def test_the_finer_picture_has_percentiles_of_its_own_where_the_package_gives_them(tmp_path):
    path, usual, other = write(tmp_path), Finer(), Finer()
    finer = {**Finer.parameters["calcifications"], "percentiles": [1, 60]}
    other.parameters = {**Finer.parameters, "calcifications": finer}
    analyse([path], usual)
    analyse([path], other)
    assert usual.white < 0.1
    assert other.white > 0.2, "two fifths of the breast lie above the 60th percentile"


def test_a_cluster_raises_the_view_score_and_the_picture_says_what_the_map_leaves_out(tmp_path):
    path = write(tmp_path)
    usual, raised = (analyse([path], Finer(cluster=cluster)) for cluster in (0.4, 0.95))
    assert usual.values["views"][0]["score"] == pytest.approx(sigmoid(2), abs=1e-4)
    assert raised.values["views"][0]["score"] == pytest.approx(0.95, abs=1e-4)
    said = "Calcifications raise the view score; the map explains 0.88 of it"
    assert said in raised.heatmaps[0].lines
    assert said not in usual.heatmaps[0].lines
    assert [mark.caption for mark in usual.heatmaps[0].marks] == ["mass 0.90 (0.88)", "calcifications 0.40 (0.12)"]
    assert raised.values["views"][0]["mark_kinds"] == ["cluster", "mass"]
    assert raised.values["display_thresholds"] == {"mass": 0.5, "distortion": 0.5, "cluster": 0.3}
    for line in (*usual.heatmaps[0].lines, *raised.heatmaps[0].lines, *(each.label for each in raised.findings)):
        assert JAPANESE.line(line) != line


def test_the_map_is_held_against_the_detectors_marks_alone(tmp_path):
    path = write(tmp_path)
    both, cluster = analyse([path], Finer()), analyse([path], Finer(mass=0.2))
    assert "map_share_in_marks" in both.values["views"][0]
    assert len(cluster.heatmaps[0].marks) == 1
    assert "map_share_in_marks" not in cluster.values["views"][0]
    assert "share_baseline" not in cluster.values["views"][0], "sectors explain the detector's score"


def test_a_channel_of_the_detector_is_a_kind(tmp_path):
    found = present(analyse([write(tmp_path)], Finer(channel=1, cluster=0.2)))
    assert set(found) == {"129792006"}
    assert found["129792006"].label == "Architectural distortion candidate, left CC, score 0.90"


def test_the_absence_of_every_kind_is_stated(tmp_path):
    result = analyse([write(tmp_path)], Finer(mass=0.2, cluster=0.2))
    assert result.outcome is Outcome.NO_FINDINGS
    assert {each.finding for each in result.findings} == {kind.single for kind in KINDS.values()}
    assert {each.presence for each in result.findings} == {Presence.ABSENT}
    detections = [run.subject for run in result.runs if run.kind is RunKind.DETECTION]
    assert detections == [KINDS[kind].single for kind in declared_kinds(Finer())]


def test_only_marks_of_one_kind_are_taken_for_one(tmp_path):
    result = analyse([write(tmp_path, view="CC"), write(tmp_path, view="MLO")], Finer())
    assert {each.key: each.finding.value for each in result.composites} == {
        "mass-1": "129788004",
        "cluster-2": "129769006",
    }
    for composite in result.composites:
        codes = {each.finding for each in result.findings if each.key in composite.members}
        assert len(codes) == 1
        assert len(composite.label) <= 64


def test_every_kind_has_codes_that_the_report_may_use_and_labels_that_fit():
    for kind in KINDS.values():
        assert is_member(kind.single, 6014)
        assert is_member(kind.composite, 6016)
        assert len(f"No {kind.candidate}, right MLO, score 0.00") <= 64
        assert len(f"{kind.pair} on both views, right, upper outer quadrant") <= 64


def test_the_mammography_report_carries_each_kind(tmp_path):
    paths = [write(tmp_path, view="CC"), write(tmp_path, view="MLO")]
    result = analyse(paths, Finer())
    context = context_of(*(from_file(path) for path in paths))
    (written,) = encode_mammography_cad(result, context, tmp_path)
    text = str(dcmread(written.path))
    for code in ("129793001", "129769006", "129788004"):
        assert code in text
    assert text.count("Detection Performed") == 3


def curve(target: str, intercept: float) -> ScoreCalibration:
    parameters = {"slope": 1.0, "intercept": intercept}
    return ScoreCalibration(
        target=target, method=CalibrationMethod.PLATT, parameters=parameters, n=1000, positives=500, prevalence=0.5
    )


@pytest.mark.parametrize("with_own", [True, False], ids=["own curve", "no curve"])
def test_the_curve_of_the_detectors_marks_says_nothing_of_clusters(tmp_path, with_own):
    package = Finer(mass=0.5, cluster=0.5)
    package.identity = replace(package.identity, status=PackageStatus.RESEARCH)
    package.reliability = Reliability(
        calibration=(curve("mark", -2.0), *([curve("cluster", -1.0)] if with_own else []))
    )
    found = present(analyse([write(tmp_path)], package))
    mass, cluster = found["129793001"], found["129769006"]
    assert (mass.score, mass.calibrated) == (pytest.approx(np.exp(-2) / (1 + np.exp(-2))), True)
    chance = np.exp(-1) / (1 + np.exp(-1)) if with_own else 0.5
    assert (cluster.score, cluster.calibrated) == (pytest.approx(chance), with_own)


class Strands(BrightestSpot):
    """A detector of masses, and a graph beside it that marks a distortion 20 pixels from the middle of the picture."""

    parameters: Mapping[str, Any] = {**BrightestSpot.parameters, "distortions": True}
    operating_points: Mapping[str, float] = {"display": 0.5, "display-distortion": 0.3, "triage": 0.5}

    def __init__(self, *, distortion: float) -> None:
        self.distortion = distortion
        self.picture = np.zeros(0)

    def run(self, graph: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        if graph == "detector":
            self.picture = inputs["image"]
            return super().run(graph, inputs)
        assert graph == "distortions"
        assert np.array_equal(inputs["image"], self.picture), "both see one picture"
        row, column = inputs["image"].shape[2] // 2, 60
        mark = [[column - 15, row - 15, column + 15, row + 15, self.distortion, 0]]
        return {"marks": np.array([mark], np.float32)}


def test_a_graph_of_its_own_marks_distortions_and_the_map_knows_nothing_of_them(tmp_path):
    path = write(tmp_path)
    usual, raised = (analyse([path], Strands(distortion=score)) for score in (0.4, 0.95))
    assert declared_kinds(Strands(distortion=0.4)) == ("mass", "distortion")
    found = present(usual)
    assert set(found) == {"129793001", "129792006"}
    x0, y0, x1, y1 = found["129792006"].region.bounds
    assert (x1 - x0, y1 - y0) == pytest.approx((30, 30), abs=0.1), "pixels of 0.4 mm"
    assert found["129792006"].label == "Architectural distortion candidate, left CC, score 0.40"
    assert usual.values["views"][0]["score"] == pytest.approx(sigmoid(2), abs=1e-4)
    assert raised.values["views"][0]["score"] == pytest.approx(0.95, abs=1e-4)
    said = "A distortion raises the view score; the map explains 0.88 of it"
    assert said in raised.heatmaps[0].lines
    assert said not in usual.heatmaps[0].lines
    assert JAPANESE.line(said) != said
    without = analyse([path], BrightestSpot())
    share = next(line for line in without.heatmaps[0].lines if line.startswith("Share of the map"))
    assert share in usual.heatmaps[0].lines, "of the detector's marks alone"


@pytest.mark.parametrize("kind", ["distortions", "calcifications"])
def test_a_score_below_the_threshold_is_not_told_as_a_finding(tmp_path, kind):
    package = Strands(distortion=0.95) if kind == "distortions" else Finer(cluster=0.95)
    package.operating_points = {"display": 0.97, "triage": 0.5}
    (heatmap,) = analyse([write(tmp_path)], package).heatmaps
    said = f"A place below the threshold of {kind} raises the view score; the map explains 0.88 of it"
    assert said in heatmap.lines
    assert not heatmap.marks
    assert JAPANESE.line(said) != said


def test_the_curve_of_the_detectors_marks_says_nothing_of_a_distortion_of_another_graph(tmp_path):
    package = Strands(distortion=0.4)
    package.identity = replace(package.identity, status=PackageStatus.RESEARCH)
    package.reliability = Reliability(calibration=(curve("mark", -2.0),))
    found = present(analyse([write(tmp_path)], package))
    assert found["129793001"].calibrated
    assert (found["129792006"].score, found["129792006"].calibrated) == (pytest.approx(0.4), False)


def test_two_graphs_for_one_kind_are_refused():
    package = Strands(distortion=0.4)
    package.parameters = {**Strands.parameters, "detector_classes": ["mass", "distortion"]}
    with pytest.raises(PackageError, match=r"detector_classes: distortion is a channel.*give one of them alone"):
        declared_kinds(package)


def test_an_older_package_has_masses_alone(tmp_path):
    package = BrightestSpot()
    assert declared_kinds(package) == ("mass",)
    assert display_thresholds(package) == {"mass": 0.5}
    result = analyse([write(tmp_path)], package)
    assert result.values["display_threshold"] == 0.5
    assert "mark_kinds" not in result.values["views"][0]
    assert [mark.caption for mark in result.heatmaps[0].marks] == ["0.90"]


def test_the_fine_picture_is_just_the_breast_and_maps_back():
    pixels = np.zeros((300, 200), np.float32)
    pixels[50:250, :120] = 0.5
    pixels[100:104, 40:44] = 1.0
    mask = np.zeros((75, 50), np.bool_)
    mask[13:62, :30] = True
    radiograph = Radiograph(
        sop_instance_uid="2.25.1", pixels=pixels, padding=np.zeros_like(mask), pixel_spacing_mm=(0.1, 0.1)
    )
    to_radiograph = replace(IDENTITY, a=4.0, e=4.0)
    breast = BreastPicture(grey=pixels[::4, ::4], mask=mask, to_radiograph=to_radiograph, mirrored=False)
    fine = fine_view(radiograph, breast, spacing_mm=0.1, percentiles=(0, 100))
    assert fine.tensor.shape == (2, 208, 128)
    row, column = np.argwhere(fine.tensor[0] == 1.0).mean(axis=0)
    assert fine.to_radiograph.apply((column + 0.5, row + 0.5)) == pytest.approx((42, 102))
    assert fine.patch((column + 0.5, row + 0.5), size=4).min() == 1.0
    with pytest.raises(ValueError, match="no pixel spacing"):
        fine_view(replace(radiograph, pixel_spacing_mm=None), breast, spacing_mm=0.1)
    with pytest.raises(ValueError, match="mask is empty"):
        fine_view(radiograph, replace(breast, mask=np.zeros_like(mask)), spacing_mm=0.1)


@pytest.mark.parametrize("centre", [(0, 0), (3.4, 9.6), (-40, 5), (10, 8)])
def test_a_patch_is_0_beyond_the_picture(centre):
    grey = np.arange(1, 161, dtype=np.float32).reshape(10, 16)
    padded = np.pad(grey, 64)
    left, top = (round(part - 3) + 64 for part in centre)
    assert np.array_equal(patch_around(grey, centre, size=6), padded[top : top + 6, left : left + 6])


def test_marks_within_a_higher_one_are_the_same_and_say_their_kind():
    rows = np.array([[0, 0, 10, 10, 0.4, 0], [1, 1, 9, 9, 0.8, 1], [30, 30, 40, 40, 0.5, 0], [0, 0, 9, 9, 0, 0]])
    found = list(decoded(rows.astype(np.float32), IDENTITY, shape=(50, 50), kinds=("mass", "distortion")))
    assert [(mark.kind, mark.score) for mark in found] == [("distortion", pytest.approx(0.8)), ("mass", 0.5)]
