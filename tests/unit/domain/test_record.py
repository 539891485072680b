# SPDX-License-Identifier: Apache-2.0
"""A result survives the way through its record unchanged."""

import json
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.codes import Code, sct
from service.domain.errors import StorageError
from service.domain.record import RESULT_FILE, load_result, save_result
from service.domain.result import (
    AlgorithmRun,
    CompositeFinding,
    Evaluation,
    FeatureRelation,
    Finding,
    Heatmap,
    Mark,
    Measurement,
    OperatingPoint,
    Outcome,
    PackageIdentity,
    PackageStatus,
    PipelineResult,
    Presence,
    Reason,
    Region,
    RenderingIntent,
    RunKind,
    RunStatus,
    Triage,
)

PERCENT = Code("%", "UCUM", "Percent")


def full_result(**changes: Any) -> PipelineResult:
    values: dict[str, Any] = {
        "pipeline": "mammography",
        "study_instance_uid": "1.2.3",
        "outcome": Outcome.FINDINGS,
        "headline": "1 mass candidate, right breast",
        "package": PackageIdentity(
            name="p", version="0.1.0", sha256="ab" * 32, status=PackageStatus.DEMONSTRATION, title="T"
        ),
        "input_sop_instance_uids": ("1.2.3.4", "1.2.3.5"),
        "analysed_at": datetime(2026, 7, 1, 9, 30, 15, 123456, tzinfo=timezone(timedelta(hours=9))),
        "findings": (
            Finding(
                key="mark-1",
                label="Mass candidate",
                finding=sct("129793001"),
                presence=Presence.PRESENT,
                region=Region.box("1.2.3.4", x0=1.5, y0=2.0, x1=30.0, y1=40.0, frame_number=2),
                laterality=sct("24028007"),
                score=0.1 + 0.2,
                measurements=(Measurement(name=sct("129793001"), value=12.5, unit=PERCENT),),
                evaluations=(Evaluation(name=sct("129793001"), value=sct("52101004")),),
            ),
        ),
        "heatmaps": (
            Heatmap(
                key="h",
                source_sop_instance_uid="1.2.3.4",
                base=np.arange(12, dtype=np.uint8).reshape(3, 4),
                overlay=np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4),
                legend="score",
                patient_orientation=("L", "F"),
                position_mm=(1.0, -2.5, 3.25),
                orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
                marks=(Mark(points=((0.0, 0.5), (1.0, 1.0)), caption="m"),),
                lines=("a", "b"),
            ),
        ),
        "flags": (Reason(code="low_contrast", message="所見 is text too"),),
        "triage": Triage(score=0.9, operating_point="high", threshold=0.5, above_operating_point=True),
        "summary": ("one", "two"),
        "candidates": (
            Finding(
                key="candidate-1",
                label="Mass candidate",
                finding=sct("129793001"),
                presence=Presence.PRESENT,
                region=Region.box("1.2.3.5", x0=1.0, y0=2.0, x1=3.0, y1=4.0),
                peak=(2.5, 3.25),
                rendering=RenderingIntent.OPTIONAL,
            ),
        ),
        "composites": (
            CompositeFinding(
                key="mass-1",
                label="Mass on two views",
                finding=sct("129788004"),
                relation=FeatureRelation.SPATIAL,
                members=("mark-1", "candidate-1"),
                score=0.75,
            ),
        ),
        "runs": (
            AlgorithmRun(
                kind=RunKind.DETECTION,
                subject=sct("129793001"),
                status=RunStatus.FAILED,
                sop_instance_uids=("1.2.3.4",),
            ),
        ),
        "mark_points": (OperatingPoint(name="display", threshold=0.5),),
        "values": {"gates": {"contrast": 0.25, "views": ["RCC", "RMLO"]}, "nothing": None},
    }
    return PipelineResult(**{**values, **changes})


def assert_same(left: Any, right: Any) -> None:
    assert type(left) is type(right)
    if isinstance(left, np.ndarray):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    elif is_dataclass(left):
        for field in fields(left):
            assert_same(getattr(left, field.name), getattr(right, field.name))
    elif isinstance(left, tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    elif not isinstance(left, datetime):
        assert left == right


def test_every_field_survives(tmp_path: Path) -> None:
    result = full_result()
    save_result(result, tmp_path / "new" / "folder")
    loaded = load_result(tmp_path / "new" / "folder")
    assert_same(loaded, result)
    assert loaded.analysed_at == result.analysed_at
    assert loaded.analysed_at.utcoffset() == result.analysed_at.utcoffset()


def test_result_without_package_arrays_or_findings_survives(tmp_path: Path) -> None:
    result = full_result(
        outcome=Outcome.NOT_ANALYSED,
        package=None,
        findings=(),
        heatmaps=(),
        triage=None,
        refusals=(Reason(code="lateral", message="lateral view"),),
    )
    save_result(result, tmp_path)
    assert_same(load_result(tmp_path), result)


def test_saving_again_replaces_the_record(tmp_path: Path) -> None:
    save_result(full_result(), tmp_path)
    save_result(full_result(headline="second", heatmaps=()), tmp_path)
    assert load_result(tmp_path).headline == "second"
    assert load_result(tmp_path).heatmaps == ()


def test_json_is_for_people(tmp_path: Path) -> None:
    save_result(full_result(), tmp_path)
    text = (tmp_path / RESULT_FILE).read_text(encoding="utf-8")
    assert '"headline": "1 mass candidate, right breast"' in text
    assert "所見" in text
    assert json.loads(text)["result"]["heatmaps"][0]["base"]["shape"] == [3, 4]


def test_numpy_scalars_become_numbers(tmp_path: Path) -> None:
    save_result(full_result(values={"score": np.float32(0.5), "count": np.int64(3)}), tmp_path)
    assert load_result(tmp_path).values == {"score": 0.5, "count": 3}


def test_other_objects_in_values_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="values' takes JSON types only"):
        save_result(full_result(values={"path": tmp_path}), tmp_path)
    assert not (tmp_path / RESULT_FILE).exists()


def test_unknown_format_is_refused(tmp_path: Path) -> None:
    save_result(full_result(), tmp_path)
    path = tmp_path / RESULT_FILE
    path.write_text(path.read_text(encoding="utf-8").replace('"format": 1', '"format": 99'), encoding="utf-8")
    with pytest.raises(StorageError, match="'format' value 99"):
        load_result(tmp_path)


@given(
    score=st.floats(allow_nan=False),
    moment=st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds it
    headline=st.text(st.characters(codec="utf-8"), max_size=20),
)
def test_any_number_moment_and_text_survives(
    tmp_path_factory: pytest.TempPathFactory, score: float, moment: datetime, headline: str
) -> None:
    folder = tmp_path_factory.mktemp("record")
    triage = Triage(score=score, operating_point="x", threshold=0.5, above_operating_point=False)
    save_result(full_result(triage=triage, analysed_at=moment, headline=headline), folder)
    loaded = load_result(folder)
    assert (loaded.triage, loaded.analysed_at, loaded.headline) == (triage, moment, headline)
