# SPDX-License-Identifier: Apache-2.0
"""How well distances tell strange images from usual ones: the rows that a model card shows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from service.domain.reliability import Limit

Distances = Mapping[str, NDArray[np.floating]]
"""By graph output, (N,), in the same order of cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """What becomes of one kind of images: AUC against usual ones by graph output, and the share above any limit."""

    name: str
    cases: int
    auc: Mapping[str, float]
    rejected: float


def above_limits(distances: Distances, limits: Sequence[Limit]) -> NDArray[np.bool_]:
    """Return which cases (N,) lie above one limit at least."""
    return np.asarray(np.any([np.asarray(distances[limit.output]) > limit.threshold for limit in limits], axis=0))


def rejections(usual: Distances, strange: Mapping[str, Distances], limits: Sequence[Limit]) -> tuple[Rejection, ...]:
    """Compare kinds of strange images, by name, with usual ones that neither training nor limits have seen.

    The first row is that of the usual images themselves, whose AUC is 0.5.
    """
    kinds = {"usual": usual, **strange}
    return tuple(_rejection(name, usual, distances, limits) for name, distances in kinds.items())


def _rejection(name: str, usual: Distances, strange: Distances, limits: Sequence[Limit]) -> Rejection:
    outputs = [limit.output for limit in limits]
    above = above_limits(strange, limits)
    auc = {output: _auc(np.asarray(usual[output]), np.asarray(strange[output])) for output in outputs}
    return Rejection(name=name, cases=len(above), auc=auc, rejected=float(above.mean()))


def _auc(usual: NDArray[np.floating], strange: NDArray[np.floating]) -> float:
    truth = np.repeat([0, 1], [len(usual), len(strange)])
    return float(roc_auc_score(truth, np.concatenate([usual, strange])))


def card_table(rows: Iterable[Rejection]) -> str:
    """Return the rows as a table in Markdown."""
    rows = list(rows)
    outputs = list(rows[0].auc)
    head = ["images", "cases", "refused", *(f"AUC of {output}" for output in outputs)]
    lines = [head, ["---"] * len(head), *(_cells(row, outputs) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cells(row: Rejection, outputs: Sequence[str]) -> list[str]:
    return [row.name, str(row.cases), f"{100 * row.rejected:.1f} %", *(f"{row.auc[output]:.3f}" for output in outputs)]


def metric_rows(rows: Iterable[Rejection]) -> list[dict[str, object]]:
    """Return the shares refused as rows of a manifest's training.metrics; they come after those under shift."""
    return [
        {
            "name": f"share refused by distance, {row.name}",
            "condition": "out-of-distribution",
            "value": round(row.rejected, 3),
            "cases": row.cases,
        }
        for row in rows
    ]


def uniform_noise(shape: Sequence[int], *, seed: int) -> NDArray[np.float32]:
    """Return images of uniform noise in [0, 1)."""
    return np.random.default_rng(seed).random(tuple(shape), dtype=np.float32)
