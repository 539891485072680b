# SPDX-License-Identifier: Apache-2.0
"""The numbers of an exam that are kept: every view, every breast, the exam, and what the views come to together."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.domain.result import Triage
from service.pipelines.mammography.agreement import share_in_marks
from service.pipelines.mammography.findings import Thresholds
from service.pipelines.mammography.marks import DetectedMark
from service.pipelines.mammography.pairs import Pair, pair_values
from service.pipelines.mammography.reading import ViewReading
from service.pipelines.mammography.sectors import sector_values
from service.pipelines.mammography.sides import density_values


def exam_values(
    readings: Sequence[ViewReading],
    breasts: Mapping[str, float],
    pairs: Sequence[Pair],
    *,
    triage: Triage,
    thresholds: Thresholds,
) -> dict[str, Any]:
    """Return the record; JSON types only."""
    return {
        "views": [_view_values(reading, thresholds) for reading in readings],
        "breasts": {side: round(score, 6) for side, score in breasts.items()},
        "exam": round(triage.score, 6),
        **_points(thresholds),
        "pairs": pair_values(pairs),
        **density_values(readings),
    }


def _points(thresholds: Thresholds) -> dict[str, Any]:
    """Return the one threshold, or those of several kinds by name."""
    if len(thresholds) == 1:
        return {"display_threshold": next(iter(thresholds.values()))}
    return {"display_thresholds": dict(thresholds)}


def _view_values(reading: ViewReading, thresholds: Thresholds) -> dict[str, Any]:
    share = share_in_marks(reading, thresholds=thresholds)
    return {
        "sop_instance_uid": reading.instance.sop_instance_uid,
        "side": reading.side,
        "view": reading.view,
        **({} if reading.conversion is None else {"conversion": reading.conversion.value}),
        "score": round(reading.score, 6),
        "area_cm2": round(reading.area_cm2, 2),
        **_marks(reading.marks, thresholds),
        "nipple_px": [round(part, 1) for part in reading.radiograph.to_source.apply(reading.nipple)],
        "pectoral_muscle_found": reading.landmarks.muscle is not None,
        **_density(reading),
        **({} if share is None else {"map_share_in_marks": round(share, 4)}),
        **sector_values(reading.sectors),
        **reading.distances,
    }


def _marks(marks: Sequence[DetectedMark], thresholds: Thresholds) -> dict[str, Any]:
    """Return the scores of the marks, their kinds where there are several, and those of second looks, in one order."""
    found: dict[str, Any] = {"mark_scores": [round(mark.score, 6) for mark in marks]}
    if len(thresholds) > 1:
        found["mark_kinds"] = [mark.kind for mark in marks]
    looked = [round(mark.malignancy, 6) for mark in marks if mark.malignancy is not None]
    return {**found, "mark_malignancies": looked} if looked else found


def _density(reading: ViewReading) -> dict[str, float]:
    measured = reading.landmarks
    if measured.dense_share is None:
        return {}
    return {"dense_share": round(measured.dense_share, 4), "dense_cm2": round(measured.dense_cm2, 2)}
