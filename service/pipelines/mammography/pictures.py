# SPDX-License-Identifier: Apache-2.0
"""The heatmap of a view: the upright picture as it lies, the map of its score, and the detector's boxes."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from service.domain.image import Box
from service.domain.result import Heatmap, Mark
from service.imaging.resample import resample_box
from service.pipelines.mammography.agreement import share_in_marks
from service.pipelines.mammography.findings import Thresholds, shown_marks
from service.pipelines.mammography.kinds import KINDS, KindName
from service.pipelines.mammography.marks import DetectedMark
from service.pipelines.mammography.reading import ViewReading
from service.pipelines.mammography.sectors import sector_line
from service.pipelines.mammography.views import SIDE_NAMES

MAX_ROWS = 1024
LEGEND = "Colour: what raised the view score (class activation map). Boxes: detector marks. A map is no detection."

_RAISES: Mapping[KindName, str] = MappingProxyType(
    {"distortion": "A distortion raises", "cluster": "Calcifications raise"}
)
"""What graphs beside the detector mark."""
_PLURALS: Mapping[KindName, str] = MappingProxyType({"distortion": "distortions", "cluster": "calcifications"})


def heatmaps_of(readings: Sequence[ViewReading], *, thresholds: Thresholds) -> tuple[Heatmap, ...]:
    """Return one picture for each view, with unique keys such as "l-mlo" and "l-mlo-2"."""
    names = [f"{reading.side}-{reading.view}".lower() for reading in readings]
    counts = [names[: index + 1].count(name) for index, name in enumerate(names)]
    keys = [name if count == 1 else f"{name}-{count}" for name, count in zip(names, counts, strict=True)]
    return tuple(_heatmap(reading, key=key, thresholds=thresholds) for reading, key in zip(readings, keys, strict=True))


def _heatmap(reading: ViewReading, *, key: str, thresholds: Thresholds) -> Heatmap:
    radiograph = reading.radiograph
    rows, columns = radiograph.pixels.shape
    scale = min(1.0, MAX_ROWS / rows)
    shape = (max(1, round(rows * scale)), max(1, round(columns * scale)))
    base, _ = resample_box(radiograph.pixels, (0, 0, columns, rows), shape=shape)
    height, width = reading.attention.shape
    overlay, _ = resample_box(reading.attention, (0, 0, width, height), shape=shape)
    marks = shown_marks(reading, thresholds)
    spacing = radiograph.pixel_spacing_mm
    return Heatmap(
        key=key,
        source_sop_instance_uid=reading.instance.sop_instance_uid,
        base=np.rint(255 * base).astype(np.uint8),
        overlay=np.clip(overlay, 0, 1),
        legend=LEGEND,
        patient_orientation=radiograph.patient_orientation,
        pixel_spacing_mm=None if spacing is None else (spacing[0] * rows / shape[0], spacing[1] * columns / shape[1]),
        marks=tuple(Mark(points=_outline(mark.box, scale), caption=_caption(mark, thresholds)) for mark in marks),
        lines=(
            f"{SIDE_NAMES[reading.side].capitalize()} {reading.view}: view score {reading.score:.2f}",
            *_counted(marks, thresholds),
            *_raised(reading, thresholds),
            *_agreement(reading, thresholds),
            *([] if reading.sectors is None else [sector_line(reading.sectors)]),
        ),
    )


def _caption(mark: DetectedMark, thresholds: Thresholds) -> str:
    """Return the score, what it is of where the package looks for several kinds, and the score of a second look."""
    kind = f"{KINDS[mark.kind].caption} " if len(thresholds) > 1 else ""
    return f"{kind}{mark.score:.2f}" + ("" if mark.malignancy is None else f" ({mark.malignancy:.2f})")


def _counted(marks: Sequence[DetectedMark], thresholds: Thresholds) -> Iterator[str]:
    if len(thresholds) == 1:
        (threshold,) = thresholds.values()
        yield f"Marks with score {threshold:.2f} or more: {len(marks)}"
        return
    for kind, threshold in thresholds.items():
        count = sum(mark.kind == kind for mark in marks)
        yield f"{KINDS[kind].candidate}s with score {threshold:.2f} or more: {count}"
    if any(mark.malignancy is not None for mark in marks):
        yield "In brackets: malignancy score of a second look, no probability"


def _raised(reading: ViewReading, thresholds: Thresholds) -> Iterator[str]:
    """Say what the map cannot show, and where no box shows it either: who reads of a distortion looks for its box."""
    if reading.score > reading.map_score:
        highest = max((mark for mark in reading.marks if mark.kind in reading.added_kinds), key=lambda mark: mark.score)
        is_shown = highest.score >= thresholds[highest.kind]
        what = _RAISES[highest.kind] if is_shown else f"A place below the threshold of {_PLURALS[highest.kind]} raises"
        yield f"{what} the view score; the map explains {reading.map_score:.2f} of it"


def _agreement(reading: ViewReading, thresholds: Thresholds) -> Iterator[str]:
    share = share_in_marks(reading, thresholds=thresholds)
    if share is not None:
        yield f"Share of the map within the marks: {100 * share:.0f} %"


def _outline(box: Box, scale: float) -> tuple[tuple[float, float], ...]:
    x0, y0, x1, y1 = (edge * scale for edge in box)
    return (x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)
