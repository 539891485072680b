# SPDX-License-Identifier: Apache-2.0
"""The committed demonstration package on phantom exams: masses are marked where they are, normal exams are not."""

from datetime import UTC, datetime

import numpy as np
import pytest
from mammography_instances import from_file

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


def analyse(written: tuple[WrittenView, ...], package: LoadedPackage) -> PipelineResult:
    selection = PIPELINE.select([from_file(view.path) for view in written], package.acceptance)
    assert isinstance(selection, Selection)
    return PIPELINE.run(selection, package, analysed_at=datetime(2026, 4, 1, tzinfo=UTC))


def is_hit(finding, written: tuple[WrittenView, ...]) -> bool:
    x0, y0, x1, y1 = finding.region.bounds
    (view,) = [view for view in written if from_file(view.path).sop_instance_uid == finding.region.sop_instance_uid]
    return any(np.hypot((x0 + x1) / 2 - x, (y0 + y1) / 2 - y) < radius for x, y, radius in view.masses)


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


def test_a_normal_exam_has_no_marks(tmp_path, package):
    written = write_mg_exam(tmp_path, study=PhantomStudy(seed="normal"), seed=14)
    result = analyse(written, package)
    assert result.outcome is Outcome.NO_FINDINGS
    assert {finding.presence for finding in result.findings} == {Presence.ABSENT}
    assert len(result.findings) == 4
    assert result.triage is not None
    assert not result.triage.above_operating_point
    assert result.headline.startswith("Mammography: no marks, exam score 0.")
    assert not result.headline.endswith("not all views")
    one = analyse(written[:1], package)
    assert one.headline.startswith("Mammography: no marks, exam score 0.")
    assert one.headline.endswith(", not all views"), "one view without a mark is no negative exam"


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
