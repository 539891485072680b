# SPDX-License-Identifier: Apache-2.0
"""How much of a view's map lies within its marks: two answers of one graph, which a reader sees over each other."""

from collections.abc import Mapping

import numpy as np

from service.pipelines.mammography.findings import shown_marks
from service.pipelines.mammography.kinds import KindName
from service.pipelines.mammography.reading import ViewReading


def share_in_marks(reading: ViewReading, *, thresholds: Mapping[KindName, float]) -> float | None:
    """Return the share in [0, 1] of the map's sum within the marks shown; None without marks or without a map.

    The map is that of the detector, and so are the marks: not those of graphs beside it.
    """
    marks = [mark for mark in shown_marks(reading, thresholds) if mark.kind not in reading.added_kinds]
    total = float(reading.attention.sum())
    if not marks or total <= 0:
        return None
    rows, columns = reading.attention.shape
    height, width = reading.radiograph.pixels.shape
    inside = np.zeros((rows, columns), dtype=np.bool_)
    for mark in marks:
        x0, y0, x1, y1 = mark.box
        across, down = columns / width, rows / height
        inside[int(y0 * down) : int(np.ceil(y1 * down)), int(x0 * across) : int(np.ceil(x1 * across))] = True
    return float(reading.attention[inside].sum()) / total
