# SPDX-License-Identifier: Apache-2.0
"""How scores of views become scores of breasts and of the exam."""

import math
from collections.abc import Iterable, Mapping


def sigmoid(logit: float) -> float:
    """Return the score in (0, 1) of a logit."""
    return 1 / (1 + math.exp(-min(max(logit, -60.0), 60.0)))


def noisy_or(scores: Iterable[float]) -> float:
    """Return the chance that at least one of independent signs is true."""
    return 1 - math.prod(1 - score for score in scores)


def breast_scores(views: Iterable[tuple[str, str, float]]) -> dict[str, float]:
    """Return the noisy-or over views by side, from (side, view, score); repeats of a view count once, the highest."""
    best: dict[tuple[str, str], float] = {}
    for side, view, score in views:
        best[side, view] = max(score, best.get((side, view), 0.0))
    sides = sorted({side for side, _ in best}, reverse=True)
    return {side: noisy_or(score for (owner, _), score in best.items() if owner == side) for side in sides}


def exam_score(breasts: Mapping[str, float]) -> float:
    """Return the highest breast score."""
    return max(breasts.values())
