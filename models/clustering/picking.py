# SPDX-License-Identifier: Apache-2.0
"""Chooses which images to annotate next: some far from all that is known, some between groups, none twice."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.clustering.phenotypes import Grouping

Indices = list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """One image to annotate and why: "diverse" or "uncertain"; `value` is the distance, or the entropy in nats."""

    image: int
    reason: str
    value: float


def pick(grouping: Grouping, *, count: int, uncertain_share: float, labelled: Indices) -> tuple[Pick, ...]:
    """Return `count` images to annotate: uncertain ones first, then diverse ones; unusual images are not among them.

    Diverse: the image farthest from everything labelled or chosen so far, again and again (farthest-first: no image is
    then farther from a chosen one than twice the best possible). Uncertain: the highest entropy of memberships, at most
    one of each pair of groups in turn, so that not all lie on one border.

    Raises
    ------
    ValueError
        There are fewer images to choose from, or the share is not in [0, 1].
    """
    if not 0 <= uncertain_share <= 1:
        raise ValueError(f"uncertain share {uncertain_share}: it must be in [0, 1]")
    free = _free(grouping, labelled)
    if not 1 <= count <= len(free):
        raise ValueError(f"count {count}: it must be at least 1 and at most the {len(free)} images that are left")
    uncertain = _uncertain(grouping, free, count=round(count * uncertain_share))
    taken = [each.image for each in uncertain]
    left = [index for index in free if index not in set(taken)]
    return (*uncertain, *_diverse(grouping.points, left, known=labelled + taken, count=count - len(taken)))


def _free(grouping: Grouping, labelled: Indices) -> Indices:
    """Return what may be chosen: not labelled, not unusual, and each of several equal images once."""
    closed = {*labelled, *map(int, grouping.unusual)}
    _, first = np.unique(grouping.points, axis=0, return_index=True)
    return [int(index) for index in np.sort(first) if int(index) not in closed]


def entropies(memberships: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the entropy of each row in nats."""
    tiny = np.finfo(np.float64).tiny
    return np.asarray(-(memberships * np.log(np.maximum(memberships, tiny))).sum(axis=1))


def _uncertain(grouping: Grouping, free: Indices, *, count: int) -> tuple[Pick, ...]:
    entropy = entropies(grouping.memberships)
    borders: dict[tuple[int, ...], Indices] = {}
    for index in sorted(free, key=lambda index: (-entropy[index], index)):
        border = tuple(sorted(np.argsort(-grouping.memberships[index], kind="stable")[:2].tolist()))
        borders.setdefault(border, []).append(index)
    chosen: Indices = []
    while len(chosen) < count:
        heads = [queue.pop(0) for queue in borders.values() if queue]
        chosen += sorted(heads, key=lambda index: -entropy[index])
    return tuple(Pick(image=index, reason="uncertain", value=float(entropy[index])) for index in chosen[:count])


def _diverse(points: NDArray[np.float64], free: Indices, *, known: Indices, count: int) -> tuple[Pick, ...]:
    candidates = points[free]
    apart = np.full(len(free), np.inf)
    for index in known:
        apart = np.minimum(apart, np.linalg.norm(candidates - points[index], axis=1))
    if not known:
        apart = -np.linalg.norm(candidates - np.median(candidates, axis=0), axis=1)
    chosen: list[Pick] = []
    for _ in range(count):
        best = int(apart.argmax())
        chosen.append(Pick(image=free[best], reason="diverse", value=abs(float(apart[best]))))
        distances = np.linalg.norm(candidates - candidates[best], axis=1)
        apart = distances if not known and len(chosen) == 1 else np.minimum(apart, distances)
    return tuple(chosen)
