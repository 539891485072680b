# SPDX-License-Identifier: Apache-2.0
"""The numbers of an exam that are kept: every view, every breast, the exam, and what the views come to together."""

from collections.abc import Mapping, Sequence
from typing import Any

from service.domain.result import Triage
from service.pipelines.mammography.agreement import share_in_marks
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
    display: float,
) -> dict[str, Any]:
    """Return the record; JSON types only."""
    return {
        "views": [_view_values(reading, display=display) for reading in readings],
        "breasts": {side: round(score, 6) for side, score in breasts.items()},
        "exam": round(triage.score, 6),
        "display_threshold": display,
        "pairs": pair_values(pairs),
        **density_values(readings),
    }


def _view_values(reading: ViewReading, *, display: float) -> dict[str, Any]:
    share = share_in_marks(reading, threshold=display)
    return {
        "sop_instance_uid": reading.instance.sop_instance_uid,
        "side": reading.side,
        "view": reading.view,
        **({} if reading.conversion is None else {"conversion": reading.conversion.value}),
        "score": round(reading.score, 6),
        "area_cm2": round(reading.area_cm2, 2),
        "mark_scores": [round(mark.score, 6) for mark in reading.marks],
        "nipple_px": [round(part, 1) for part in reading.radiograph.to_source.apply(reading.nipple)],
        "pectoral_muscle_found": reading.landmarks.muscle is not None,
        **_density(reading),
        **({} if share is None else {"map_share_in_marks": round(share, 4)}),
        **sector_values(reading.sectors),
        **reading.distances,
    }


def _density(reading: ViewReading) -> dict[str, float]:
    measured = reading.landmarks
    if measured.dense_share is None:
        return {}
    return {"dense_share": round(measured.dense_share, 4), "dense_cm2": round(measured.dense_cm2, 2)}
