# SPDX-License-Identifier: Apache-2.0
"""One measured number beside a peer's, with the spread of the repeats."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A line of build/benchmarks.json.

    `ratio` is ours over the peer's (1 when there is no peer); `spread` is (largest - smallest) / median of our repeats.
    """

    name: str
    value: float
    unit: str
    against: str = ""
    ratio: float = 1.0
    spread: float = 0.0


def interleaved(runs: Mapping[str, Callable[[], float]], *, repeats: int) -> dict[str, list[float]]:
    """Run all in turn, `repeats` times after one that does not count, so that the machine's noise meets them alike."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            value = run()
            if repeat:
                found[name].append(value)
    return found


def spread(values: list[float]) -> float:
    """Return (largest - smallest) / median."""
    median = statistics.median(values)
    return (max(values) - min(values)) / median if median else 0.0


def compared(name: str, unit: str, found: Mapping[str, list[float]], *, ours: str) -> list[Measurement]:
    """Compare our median with each peer's."""
    mine = statistics.median(found[ours])
    return [
        Measurement(
            name=name,
            value=round(mine, 3),
            unit=unit,
            against=peer,
            ratio=round(mine / statistics.median(values), 3),
            spread=round(spread(found[ours]), 3),
        )
        for peer, values in found.items()
        if peer != ours
    ]


def alone(name: str, unit: str, values: list[float]) -> Measurement:
    """Return our own median, beside nobody's."""
    return Measurement(name=name, value=round(statistics.median(values), 3), unit=unit, spread=round(spread(values), 3))
