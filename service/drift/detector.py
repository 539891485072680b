# SPDX-License-Identifier: Apache-2.0
"""Adds up, study by study, the evidence that a channel has shifted, and says when all channels together are enough.

Each channel has a few bets against its normal score. A bet is a likelihood ratio whose mean is at most 1 while studies
are like the reference, so that the sum of all its products since some study (Shiryaev-Roberts) grows by at most 1 a
study on average: an e-detector (Shin, Ramdas and Rinaldo, 2024). Any weighted mean of such sums is one too, whatever
the channels have to do with one another. Waiting for it to pass N gives a false alarm once in N studies on average at
most. The channels that an alarm is about are chosen by Benjamini and Hochberg's procedure on evidence (e-BH, Wang and
Ramdas, 2022), whose first choice never comes before that moment.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from service.domain.drift import DriftKind, kind_of

Values = NDArray[np.float64]
SHIFTS: Final = (0.5, -0.5, 1.25, -1.25)
"""Shifts of the mean that are bet on, in standard deviations of the reference."""
WIDE: Final = 1.6
NARROW: Final = 0.6
"""Standard deviations that are bet on, of 1 as usual."""
TAIL: Final = 0.1
"""Share of the reference beyond the limit of a tail: its highest tenth, or its lowest."""
TAIL_BET: Final = 0.2
"""Share beyond it that is bet on: twice as many. Where one study in ten has disease and scores high, this is twice the
disease: a change of the mean too small for the other bets."""
_TAIL_SCORE: Final = float(ndtri(1 - TAIL))
BETS: Final = len(SHIFTS) + 4
SLACK_DEVIATIONS: Final = 2.0
"""How many standard errors of the reference's own mean and variance count as no shift."""
NO_EVIDENCE: Final = (-np.inf,) * BETS


def complete(evidence: Sequence[float]) -> tuple[float, ...]:
    """Return a channel's evidence with none for the bets that came to be after it was kept."""
    return (*evidence, *NO_EVIDENCE[len(evidence) :])


def log_ratios(scores: Values, studies: Values) -> Values:
    """Return the logarithm of each bet's likelihood ratio, (..., BETS).

    A reference of n studies does not know its own mean better than 1/sqrt(n): within SLACK_DEVIATIONS of that, every
    stream counts as usual, and the mean of each ratio stays at most 1 for all of these.

    Parameters
    ----------
    scores
        Normal scores, any shape.
    studies
        Studies in the reference of each, of the same shape.
    """
    slack = SLACK_DEVIATIONS / np.sqrt(studies)
    spread = SLACK_DEVIATIONS * np.sqrt(2 / studies)
    ratios = [np.sign(shift) * scores * (abs(shift) - slack) - (shift**2 - slack**2) / 2 for shift in SHIFTS]
    ratios += [_spread_ratio(scores, usual=1 + spread + slack**2, bet=WIDE**2)]
    ratios += [_spread_ratio(scores, usual=1 - spread, bet=NARROW**2)]
    usual_tail = TAIL + SLACK_DEVIATIONS * np.sqrt(TAIL * (1 - TAIL) / studies)
    ratios += [_tail_ratio(side * scores > _TAIL_SCORE, usual=usual_tail) for side in (1, -1)]
    return np.stack(ratios, axis=-1)


def _spread_ratio(scores: Values, *, usual: Values, bet: float) -> Values:
    """Return the log likelihood ratio of a variance `bet` against the nearest one that counts as usual."""
    return np.asarray(0.5 * np.log(usual / bet) + 0.5 * scores**2 * (1 / usual - 1 / bet))


def _tail_ratio(beyond: NDArray[np.bool_], *, usual: Values) -> Values:
    """Return the log likelihood ratio of TAIL_BET beyond the limit against the largest share that counts as usual."""
    return np.where(beyond, np.log(TAIL_BET / usual), np.log((1 - TAIL_BET) / (1 - usual)))


def add(evidence: Values, ratios: Values) -> Values:
    """Return the logarithm of each bet's evidence after one more study: (1 + before) times the ratio."""
    return np.asarray(np.logaddexp(0.0, evidence) + ratios)


def channel_evidence(evidence: Values) -> Values:
    """Return the logarithm of the mean over bets, the last axis."""
    return np.asarray(np.logaddexp.reduce(evidence, axis=-1) - np.log(evidence.shape[-1]))


def weights(channels: Sequence[str]) -> Values:
    """Return the share of each channel in the whole: kinds count alike, and channels of a kind alike within it."""
    kinds = [kind_of(channel) for channel in channels]
    count: Mapping[DriftKind, int] = {kind: kinds.count(kind) for kind in kinds}
    return np.array([1 / (len(count) * count[kind]) for kind in kinds], dtype=np.float64)


def chosen(log_evidence: Values, share: Values, *, studies_per_false_alarm: float) -> NDArray[Any]:
    """Return which channels the evidence is enough for, by e-BH; (..., channels), often none.

    Parameters
    ----------
    log_evidence
        Logarithm of each channel's evidence, (..., channels).
    share
        Shares of the channels, which add up to 1.
    """
    count = log_evidence.shape[-1]
    weighted = log_evidence + np.log(share * count)
    ordered = -np.sort(-weighted, axis=-1)
    needed = np.log(studies_per_false_alarm) + np.log(count / np.arange(1, count + 1))
    passed = ordered >= needed
    number = np.where(passed.any(axis=-1), count - np.argmax(passed[..., ::-1], axis=-1), 0)
    least = np.take_along_axis(ordered, np.maximum(number - 1, 0)[..., None], axis=-1)
    return np.asarray((number[..., None] > 0) & (weighted >= least))
