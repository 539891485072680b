# SPDX-License-Identifier: Apache-2.0
"""Records of golden studies: what must be equal, and by how much numbers may differ."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.studies import result_of, source_dataset, stored
from service.bootstrap.golden_record import differences, golden_record, to_json
from service.domain.result import Outcome, PackageIdentity, PackageStatus, PipelineResult


@pytest.fixture
def result(tmp_path: Path) -> PipelineResult:
    return result_of("CR", (stored(source_dataset("CR"), tmp_path),), Outcome.FINDINGS)


def _found(changed: PipelineResult, result: PipelineResult, *, tolerance: float = 0.02) -> list[str]:
    expected = json.loads(to_json(golden_record(result)))
    return list(differences(golden_record(changed)["result"], expected["result"], tolerance=tolerance))


def test_a_record_is_equal_to_itself_after_it_was_written(result: PipelineResult) -> None:
    assert _found(result, result, tolerance=1e-9) == []


def test_neither_the_package_nor_the_time_counts(result: PipelineResult) -> None:
    identity = PackageIdentity(name="x", version="9.9.9", sha256="f" * 64, status=PackageStatus.APPROVED)
    assert _found(replace(result, package=identity, analysed_at=datetime(1999, 1, 1, tzinfo=UTC)), result) == []


def test_a_score_that_drifts_is_named(result: PipelineResult) -> None:
    finding = result.findings[0]
    score = finding.score or 0.5
    drifted = replace(result, findings=(replace(finding, score=score + 0.05), *result.findings[1:]))
    base = replace(result, findings=(replace(finding, score=score), *result.findings[1:]))
    (sentence,) = _found(drifted, base)
    assert sentence.startswith("result.findings.0.score is ")


def test_a_picture_that_moves_is_seen(result: PipelineResult) -> None:
    """Mean, deviation and maximum stay; where the map is hot does not."""
    heatmap = result.heatmaps[0]
    rows, columns = heatmap.overlay.shape
    hot = np.zeros_like(heatmap.overlay)
    hot[: rows // 4, : columns // 4] = 1
    one = replace(result, heatmaps=(replace(heatmap, overlay=hot),))
    other = replace(result, heatmaps=(replace(heatmap, overlay=hot[::-1, ::-1].copy()),))
    assert any("overlay.grid" in sentence for sentence in _found(other, one))


CASES: list[tuple[Any, Any, bool]] = [
    (0.51, 0.50, True),
    (0.53, 0.50, False),
    (1010, 1000, True),
    (1030, 1000, False),
    (True, 1, False),
    (None, 0.0, False),
    ("score 0.83", "score 0.84", True),
    ("score 0.83", "score 0.93", False),
    ("2 marks, exam score 0.83", "3 marks, exam score 0.83", False),
    ("left breast", "right breast", False),
    ([1.0], [1.0, 2.0], False),
    ({"a": 1}, {"b": 1}, False),
    (float("nan"), 0.5, False),
]


@pytest.mark.parametrize(("found", "expected", "alike"), CASES)
def test_what_is_alike(found: Any, expected: Any, alike: bool) -> None:
    assert (list(differences(found, expected, tolerance=0.02)) == []) is alike
