# SPDX-License-Identifier: Apache-2.0
"""The pleura by side: thickening, plaque, calcification and the costophrenic angle, from the map of a graph.

Diffuse thickening is told only where the costophrenic angle of the same side is obliterated too: so the ILO
classification of 2011 defines it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
FINDINGS: Final = ("thickening", "plaque", "calcification", "angle")
"""In the order of the map's channels; `angle` is an obliterated costophrenic angle."""
AROUND_MM: Final = 15.0
"""So far from a lung's outline its pleura is looked for: a thickened one is no longer inside the outline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PleuralReading:
    """What was read: `scores` by side and finding, `thresholds` of the findings that count.

    `unread` holds the findings that the package does not read and why: the rest of FINDINGS.
    """

    scores: Mapping[str, Mapping[str, float]]
    thresholds: Mapping[str, float]
    unread: Mapping[str, str]

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides, "R" before "L", on which any finding is."""
        return tuple(side for side in self.scores if any(side in self.sides_of(name) for name in self.thresholds))

    def sides_of(self, finding: str) -> tuple[str, ...]:
        """Return the sides on which a finding is, none for one that is not read."""
        return tuple(side for side in self.scores if self._is_there(finding, side))

    def _is_there(self, finding: str, side: str) -> bool:
        if finding == "thickening" and not self._is_there("angle", side):
            return False
        return finding in self.thresholds and self.scores[side][finding] >= self.thresholds[finding]


def side_scores(
    maps: NDArray[np.float32], right: Mask, left: Mask, *, pixel_mm: float, least_mm2: float
) -> dict[str, dict[str, float]]:
    """Return by side and finding the highest score that `least_mm2` of the lung and its surroundings reach.

    Parameters
    ----------
    maps
        Scores in [0, 1] (findings, rows, columns), in the order of FINDINGS.
    right, left
        The lungs (rows, columns).
    """
    count = max(1, ceil(least_mm2 / pixel_mm**2))
    around = _around(right, left, pixel_mm=pixel_mm)
    return {
        side: {name: _reached(found[region], count) for name, found in zip(FINDINGS, maps, strict=True)}
        for side, region in around.items()
    }


def _around(right: Mask, left: Mask, *, pixel_mm: float) -> dict[str, Mask]:
    """Return each lung with what lies around it and nearer to it than to the other."""
    away = [ndimage.distance_transform_edt(~lung) * pixel_mm for lung in (right, left)]
    return {side: (own <= AROUND_MM) & (own < other) for side, own, other in (("R", *away), ("L", *reversed(away)))}


def _reached(scores: NDArray[np.float32], count: int) -> float:
    """Return the count-th highest score; 0 where there are not so many."""
    if scores.size < count:
        return 0.0
    return float(np.partition(scores, scores.size - count)[scores.size - count])
