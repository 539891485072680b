# SPDX-License-Identifier: Apache-2.0
"""What detectors say, as marks in pixels of the upright picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.domain.image import Affine, Box
from service.pipelines.mammography.kinds import KindName


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedMark:
    """A peak of a detector: its score, its box in pixels of the upright picture, and what it is of.

    `malignancy` is the score of a second look in [0, 1], where there was one.
    """

    score: float
    box: Box
    kind: KindName = "mass"
    malignancy: float | None = None


def decoded(
    rows: NDArray[np.float32], to_radiograph: Affine, *, shape: tuple[int, ...], kinds: Sequence[KindName]
) -> Iterator[DetectedMark]:
    """Yield a graph's marks in descending order; one whose centre lies in the box of a higher one is the same.

    Parameters
    ----------
    rows
        (n, 6): x0, y0, x1, y1 in pixels that `to_radiograph` maps, score, and channel, which is a place in `kinds`.
    shape
        (rows, columns) of the radiograph.
    """
    kept: list[NDArray[np.float32]] = []
    for row in rows[np.argsort(-rows[:, 4], kind="stable")]:
        if row[4] <= 0 or any(_inside(row, other) for other in kept):
            continue
        kept.append(row)
        x0, y0, x1, y1 = (float(edge) for edge in row[:4])
        box = clipped(to_radiograph.box((x0, y0, x1, y1)), shape)
        if box[2] - box[0] >= 1 and box[3] - box[1] >= 1:
            yield DetectedMark(score=float(row[4]), box=box, kind=kinds[int(row[5])])


def _inside(row: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    x, y = (row[0] + row[2]) / 2, (row[1] + row[3]) / 2
    return bool(other[0] <= x <= other[2] and other[1] <= y <= other[3])


def clipped(box: Box, shape: tuple[int, ...]) -> Box:
    """Return the part of a box that lies on a picture of (rows, columns)."""
    rows, columns = shape
    x0, y0, x1, y1 = box
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(columns)), min(y1, float(rows))
