# SPDX-License-Identifier: Apache-2.0
"""How sure the votes of an ensemble are, and how far its members agree, over the items of one study.

A graph of one network has no such outputs, and nothing is said.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MARGIN: Final = "margin"
DIVERGENCE: Final = "divergence"
OUTPUTS: Final = (MARGIN, DIVERGENCE)
"""Outputs (N,) of a graph: the distance between the likeliest answers, and the Jensen-Shannon divergence in nats."""


class ConfidenceTally:
    """Averages what a graph says of its confidence over all items of all batches."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._items = 0

    def add(self, outputs: Mapping[str, NDArray[Any]], *, count: int) -> None:
        """Take a batch of `count` items."""
        self._items += count
        for name in OUTPUTS:
            if name in outputs:
                self._sums[name] = self._sums.get(name, 0.0) + float(outputs[name].sum(dtype=np.float64))

    @property
    def means(self) -> Mapping[str, float]:
        """The mean of each output that the graph has."""
        return {name: round(total / self._items, 4) for name, total in self._sums.items() if self._items}

    def as_values(self) -> dict[str, float]:
        """Return the means for the record."""
        return {f"mean_{name}": mean for name, mean in self.means.items()}

    def lines(self, *, between: str) -> Iterator[str]:
        """Yield the means for people.

        Parameters
        ----------
        between
            What the margin is the distance of, for example "the two likeliest patterns".
        """
        means = self.means
        if MARGIN in means:
            yield f"Confidence: mean margin {means[MARGIN]:.2f} between {between}"
        if DIVERGENCE in means:
            yield f"Disagreement of the models: mean divergence {means[DIVERGENCE]:.2f} nats"
