# SPDX-License-Identifier: Apache-2.0
"""Conformal sets: which answers cannot be excluded, from probabilities of all of them. Pure arithmetic.

A new case is compared with calibration cases by a conformity score of the true answer; its set holds every answer whose
score would not be unusual. LAC (Sadinle 2019) scores 1 - p. APS (Romano 2020) scores the probability of what comes
before the answer, most probable first, and a random share of its own; as in MAPIE chance enters calibration alone, so
that the same case always has the same set, and sets are somewhat larger than they need be. The ordinal set goes from
the most probable step of a scale outwards, each time to the more probable neighbour, and scores what is reached with
the answer: it has no gap, and no chance in it. APS and ordinal sets are never empty.
"""

import numpy as np
from numpy.typing import NDArray

from service.domain.reliability import SetMethod

Probabilities = NDArray[np.float64]
_TINY = float(np.finfo(np.float64).eps)


def conformity_scores(
    probabilities: Probabilities, truth: NDArray[np.int64], shares: NDArray[np.float64], *, method: SetMethod
) -> NDArray[np.float64]:
    """Return the score (N,) of the true answers, in [0, 1].

    Parameters
    ----------
    probabilities
        (N, K), each row adding up to 1.
    truth
        (N,), the index of each true answer.
    shares
        (N,), uniform in [0, 1): for APS, the share of the true answer's own probability that does not count.
    """
    cases = np.arange(len(truth))
    own = probabilities[cases, truth]
    if method is SetMethod.LAC:
        return np.asarray(1 - own)
    order = _order(probabilities, method)
    rank = np.argmax(order == truth[:, None], axis=1)
    reached = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)[cases, rank]
    counted = reached - shares * own if method is SetMethod.APS else reached
    return np.asarray(np.clip(counted, 0, 1))


def prediction_sets(probabilities: Probabilities, *, method: SetMethod, quantile: float) -> NDArray[np.bool_]:
    """Return which answers (N, K) are in the sets; `quantile` is that of the calibration cases' scores."""
    if method is SetMethod.LAC:
        return probabilities >= 1 - quantile - _TINY
    order = _order(probabilities, method)
    ordered = np.take_along_axis(probabilities, order, axis=1)
    reached = np.cumsum(ordered, axis=1)
    needed = reached - ordered < quantile - _TINY if method is SetMethod.APS else reached <= quantile + _TINY
    needed[:, 0] = True
    sets = np.zeros(probabilities.shape, dtype=np.bool_)
    np.put_along_axis(sets, order, needed, axis=1)
    return sets


def _order(probabilities: Probabilities, method: SetMethod) -> NDArray[np.int64]:
    """Return the answers (N, K) in the order in which a set takes them in."""
    if method is SetMethod.APS:
        return np.flip(np.argsort(probabilities, axis=1), axis=1)
    return np.array([_outwards(row) for row in probabilities], dtype=np.int64).reshape(probabilities.shape)


def _outwards(probabilities: NDArray[np.float64]) -> list[int]:
    """Return the steps of a scale from the most probable one outwards."""
    low = high = int(np.argmax(probabilities))
    order = [low]
    while len(order) < len(probabilities):
        below = probabilities[low - 1] if low > 0 else -1.0
        above = probabilities[high + 1] if high + 1 < len(probabilities) else -1.0
        if above > below:
            high += 1
            order.append(high)
        else:
            low -= 1
            order.append(low)
    return order


def step_probabilities(above: NDArray[np.float64]) -> Probabilities:
    """Return probabilities (N, K + 1) of the steps of a scale from those (N, K) of lying above each but the last.

    A network's estimates may cross, which probabilities cannot: each counts for no more than the one before.
    """
    falling = np.minimum.accumulate(above, axis=1)
    edges = np.ones((len(above), 1))
    return -np.diff(np.concatenate([edges, falling, 0 * edges], axis=1), axis=1)
