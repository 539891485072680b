# SPDX-License-Identifier: Apache-2.0
"""What each zone adds to the film's score: exact Shapley values over the six zones.

A zone is taken away by its own low-pass picture inside its mask: its brightness stays, its fine structure goes. The
score of a film follows from the scores of its zones, and a zone's score from its own crop alone (grey values are
normalised before the crops are cut). The scores of all 64 coalitions therefore follow, exactly, from twelve zone
readings: six that the reading needs anyway, and six of the smoothed crops.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.imaging.shapley import Coalitions, in_mask_low_pass, shapley_values
from service.pipelines.pneumoconiosis.lungs import FloatImage, ZoneCrop
from service.pipelines.pneumoconiosis.reading import film_score

SMOOTHED_MM: Final = 10.0
"""Standard deviation of the low-pass, as large as the largest of the small opacities; a package may say another."""

ReadScores = Callable[[FloatImage], NDArray[np.float64]]
"""From zone tensors (Z, 2, size, size) to the zones' scores (Z,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributions:
    """Shares of the film's score by zone, in the score's unit: they add up to `score` - `baseline`.

    `baseline` is the score with every zone smoothed; `residual` is how far the shares miss the difference, beside
    rounding 0.
    """

    by_zone: Mapping[str, float]
    score: float
    baseline: float
    residual: float


def contributions(
    crops: Sequence[ZoneCrop], scores: Sequence[float], *, read_scores: ReadScores, sigma_px: float
) -> Contributions:
    """Return what each zone contributes to the film's score.

    Parameters
    ----------
    scores
        The zones' scores as they were read, in the order of `crops`.
    sigma_px
        Standard deviation of the low-pass in pixels of the crops.

    Raises
    ------
    ValueError
        There is no zone.
    """
    smoothed = read_scores(np.stack([smoothed_crop(crop.tensor, sigma_px=sigma_px) for crop in crops]))
    there, gone = np.asarray(scores, dtype=np.float64), np.asarray(smoothed, dtype=np.float64)

    def score(coalitions: Coalitions) -> NDArray[Any]:
        return np.array([film_score(zones) for zones in np.where(coalitions, there, gone)])

    found = shapley_values(score, len(crops))
    missed = abs(float(found.values.sum()) - (film_score(there) - film_score(gone)))
    return Contributions(
        by_zone={crop.name: float(value) for crop, value in zip(crops, found.values, strict=True)},
        score=found.full,
        baseline=found.baseline,
        residual=max(float(found.residual), missed),
    )


def smoothed_crop(tensor: FloatImage, *, sigma_px: float) -> FloatImage:
    """Return a crop (2, size, size) whose picture is smoothed inside the zone; the mask stays."""
    inside = tensor[1] > 0.5
    picture = in_mask_low_pass(tensor[0], inside, sigma_px=sigma_px)
    return np.stack([picture, tensor[1]])


def as_values(found: Contributions) -> dict[str, float]:
    """Return the numbers for the record."""
    zones = {f"zone_{name}_contribution": round(value, 6) for name, value in found.by_zone.items()}
    baseline, residual = round(found.baseline, 6), round(found.residual, 12)
    return {**zones, "contribution_baseline": baseline, "contribution_residual": residual}
