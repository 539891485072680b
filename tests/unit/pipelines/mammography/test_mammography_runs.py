# SPDX-License-Identifier: Apache-2.0
"""A mammography result says how each algorithm ended on which views, and which marks are candidates only."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from mammography_instances import ACCEPTANCE, BrightestSpot, from_file

from models.phantoms.dicom import PhantomStudy
from models.phantoms.mammogram.breast import ViewName, random_breast
from models.phantoms.mammogram.files import StoredAs, write_mg_view
from models.phantoms.mammogram.view import draw_view
from service.domain.instance import Instance
from service.domain.result import Outcome, PipelineResult, RenderingIntent, RunKind, RunStatus
from service.domain.study import Selection
from service.pipelines.mammography import MammographyPipeline

PIPELINE = MammographyPipeline()
DONE, LOST = RunStatus.SUCCEEDED, RunStatus.FAILED
DETECTION, ANALYSIS = RunKind.DETECTION, RunKind.ANALYSIS


class SpotWithFloor(BrightestSpot):
    """Its second mark lies 16 mm below the first and scores 0.1."""

    operating_points: Mapping[str, float] = {"display": 0.5, "triage": 0.5, "candidate": 0.1}

    def run(self, graph: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = super().run(graph, inputs)
        outputs["marks"][0, 1, :4] = outputs["marks"][0, 0, :4] + np.array([0, 40, 0, 40])
        return outputs


def view(folder: Path, name: ViewName) -> Instance:
    breast, study = random_breast("L", 5), PhantomStudy(seed="runs")
    picture = draw_view(breast, name, pitch_mm=0.4)
    path = folder / f"{name}.dcm"
    write_mg_view(path, picture, breast=breast, view=name, study=study, stored=StoredAs())
    return from_file(path)


def turned(instance: Instance) -> Instance:
    """Claim that the chest wall is where the air is."""
    dataset = pydicom.dcmread(instance.path)
    row, column = dataset.PatientOrientation
    dataset.PatientOrientation = ["P" if row == "A" else "A", column]
    pydicom.dcmwrite(instance.path, dataset)
    return instance


def run(instances: list[Instance], package: BrightestSpot) -> PipelineResult:
    return PIPELINE.run(Selection(instances=tuple(instances)), package, analysed_at=datetime(2026, 4, 1, tzinfo=UTC))


def ended(result: PipelineResult) -> list[tuple[RunKind, str, RunStatus, tuple[str, ...]]]:
    return [(each.kind, each.subject.value, each.status, each.sop_instance_uids) for each in result.runs]


@pytest.fixture
def views(tmp_path: Path) -> tuple[Instance, Instance]:
    return view(tmp_path, "CC"), view(tmp_path, "MLO")


def test_everything_succeeds_on_every_view(views: tuple[Instance, Instance]) -> None:
    result = run(list(views), BrightestSpot())
    both = tuple(sorted(each.sop_instance_uid for each in views))
    assert ended(result) == [(DETECTION, "129793001", DONE, both), (ANALYSIS, "111234", DONE, both)]


def test_exam_score_fails_with_a_view(views: tuple[Instance, Instance]) -> None:
    good, bad = views[0], turned(views[1])
    result = run([good, bad], BrightestSpot())
    assert result.outcome is Outcome.PARTLY_ANALYSED
    assert ended(result) == [
        (DETECTION, "129793001", DONE, (good.sop_instance_uid,)),
        (DETECTION, "129793001", LOST, (bad.sop_instance_uid,)),
        (ANALYSIS, "111234", LOST, (good.sop_instance_uid,)),
    ]


def test_exam_score_fails_where_a_view_was_refused_by_its_header(views: tuple[Instance, Instance]) -> None:
    good = views[0]
    implant = replace(views[1], attributes={**views[1].attributes, "BreastImplantPresent": "YES"})
    selection = PIPELINE.select([good, implant], {**ACCEPTANCE, "pixel_spacing_mm": [0.05, 0.5]})
    assert isinstance(selection, Selection)
    assert selection.instances == (good,)
    result = PIPELINE.run(selection, BrightestSpot(), analysed_at=datetime(2026, 4, 1, tzinfo=UTC))
    uid = (good.sop_instance_uid,)
    assert ended(result) == [(DETECTION, "129793001", DONE, uid), (ANALYSIS, "111234", LOST, uid)]


def test_nothing_succeeds_where_no_view_can_be_used(views: tuple[Instance, Instance]) -> None:
    bad = turned(views[0])
    result = run([bad], BrightestSpot())
    assert result.outcome is Outcome.NOT_ANALYSED
    assert ended(result) == [(DETECTION, "129793001", LOST, (bad.sop_instance_uid,))]


def test_marks_between_floor_and_display_threshold_are_candidates(views: tuple[Instance, Instance]) -> None:
    with_floor, without = run([views[0]], SpotWithFloor()), run([views[0]], BrightestSpot())
    assert [(each.key, each.rendering) for each in with_floor.candidates] == [("candidate-1", RenderingIntent.OPTIONAL)]
    assert with_floor.candidates[0].score == pytest.approx(0.1)
    assert [point.name for point in with_floor.mark_points] == ["display", "candidate"]
    assert without.candidates == ()
    assert [point.name for point in without.mark_points] == ["display"]
    assert [each.key for each in with_floor.findings] == [each.key for each in without.findings]
    assert {each.rendering for each in with_floor.findings} == {RenderingIntent.REQUIRED}
