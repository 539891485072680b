# SPDX-License-Identifier: Apache-2.0
"""Makes a reference of studies that count as usual, and places a value in it."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from service.domain.drift import (
    EVERYBODY,
    LEAST_REFERENCE,
    WORDS,
    DriftReference,
    GroupReference,
    Monitored,
    ReferenceChannel,
)

QUANTILES: Final = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)
"""Limits between bins: tenths, the outer ones cut once more, so that the tails are seen."""
LEAST_OF_A_WORD: Final = 5
"""Words that fewer studies have are counted as others: a rare one could point at somebody."""
MOST_WORDS: Final = 20
DIGITS: Final = 7
"""Significant digits of an edge, so that manifests stay readable."""


def make_reference(
    studies: Sequence[Monitored], *, source: str, confirmed_by: str = "", confirmed_at: float = 0.0
) -> DriftReference:
    """Return the reference of these studies, and of each manufacturer with enough of them.

    Raises
    ------
    ValueError
        No channel was measured in LEAST_REFERENCE of them.
    """
    counted = Counter(study.manufacturer for study in studies)
    makers = sorted(name for name, count in counted.items() if name != EVERYBODY and count >= LEAST_REFERENCE)
    # One manufacturer alone is everybody: the group of its own would say the same again.
    apart = makers if len(counted) > 1 else []
    overall = _group(studies, EVERYBODY)
    if overall is None:
        raise ValueError(f"{len(studies)} studies are too few for a reference; {LEAST_REFERENCE} are needed at least")
    own = [_group([study for study in studies if study.manufacturer == name], name) for name in apart]
    return DriftReference(
        source=source,
        groups=(overall, *filter(None, own)),
        confirmed_by=confirmed_by,
        confirmed_at=round(confirmed_at, 3),
    )


def _group(studies: Sequence[Monitored], manufacturer: str) -> GroupReference | None:
    names = sorted({name for study in studies for name in (*study.numbers, *study.words)})
    if manufacturer != EVERYBODY:
        names.remove("manufacturer")  # the group has one: its share is watched over all
    channels = [
        _channel(name, [value for study in studies if (value := study.get(name)) is not None]) for name in names
    ]
    kept = tuple(channel for channel in channels if channel is not None)
    return GroupReference(manufacturer=manufacturer, channels=kept) if kept else None


def _channel(name: str, values: Sequence[float | str]) -> ReferenceChannel | None:
    if len(values) < LEAST_REFERENCE:
        return None
    if name in WORDS:
        return _words(name, [str(value) for value in values])
    return _numbers(name, np.asarray(values, dtype=np.float64))


def _words(name: str, values: Iterable[str]) -> ReferenceChannel | None:
    counted = Counter(values)
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    common = [(word, count) for word, count in ordered if count >= LEAST_OF_A_WORD][:MOST_WORDS]
    if not common:
        return None
    others = counted.total() - sum(count for _, count in common)
    return ReferenceChannel(
        channel=name, categories=tuple(word for word, _ in common), counts=(*(count for _, count in common), others)
    )


def _numbers(name: str, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> ReferenceChannel:
    inner = np.quantile(values, QUANTILES, method="inverted_cdf")
    low, high = float(values.min()), float(values.max())
    margin = max(1e-6 * max(abs(low), abs(high)), 1e-9)
    edges = sorted({_rounded(edge) for edge in (low - margin, *inner.tolist(), high + margin)})
    counts = np.bincount([bisect_left(edges, value) for value in values.tolist()], minlength=len(edges) + 1)
    return ReferenceChannel(channel=name, edges=tuple(edges), counts=tuple(int(count) for count in counts))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def place(channel: ReferenceChannel, value: float | str) -> int:
    """Return the bin of a value."""
    if isinstance(value, str):
        known = channel.categories
        return known.index(value) if value in known else len(known)
    return bisect_left(channel.edges, value)
