# SPDX-License-Identifier: Apache-2.0
"""Turns a value into how unusual it is: a conformal rank among the reference, as a normal score."""

import hashlib
from statistics import NormalDist
from typing import Final

from service.domain.drift import ReferenceChannel
from service.drift.reference import place

_NORMAL: Final = NormalDist()
_NEAREST: Final = 1e-6
"""Ranks nearer to 0 or 1 than this count as this near."""


def normal_score(channel: ReferenceChannel, value: float | str, *, key: str) -> float:
    """Return the normal score of a value: standard normal for studies like those of the reference.

    Ties, which bins make of near values, are broken at random as the theory wants it, but by the study's key, so that
    the same study always has the same score. Words are ranked by how rare they are, one never seen last.

    Parameters
    ----------
    key
        Names the study; no two have the same.
    """
    own = place(channel, value)
    below, equal = _counts(channel, own)
    rank = (below + draw(key, channel.channel) * (equal + 1)) / (channel.studies + 1)
    return _NORMAL.inv_cdf(min(max(rank, _NEAREST), 1 - _NEAREST))


def _counts(channel: ReferenceChannel, own: int) -> tuple[int, int]:
    """Return how many studies of the reference lie in bins before this one, and in it."""
    if not channel.categories:
        return sum(channel.counts[:own]), channel.counts[own]
    count = channel.counts[own]
    before = sum(
        other for index, other in enumerate(channel.counts) if other > count or (other == count and index < own)
    )
    return before, count


def draw(key: str, channel: str) -> float:
    """Return a number in (0, 1) that looks random and is always the same for a study and a channel."""
    digest = hashlib.sha256(f"{key}/{channel}".encode()).digest()
    return (int.from_bytes(digest[:6], "big") + 0.5) / (1 << 48)
