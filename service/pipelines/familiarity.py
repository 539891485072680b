# SPDX-License-Identifier: Apache-2.0
"""Gate G3, for every pipeline: whether images are like those that the package was made with, by the graph's distances.

A package that declares no limits has no gate. The distances refuse nonsense and other kinds of images; a noisier
scanner often passes them, so that the gates on headers, pixels and anatomy, and monitoring, carry that load.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.domain.reliability import Limit
from service.domain.result import Reason

OUT_OF_DISTRIBUTION: Final = "out_of_distribution"
Outputs = Mapping[str, NDArray[Any]]
"""What a graph gives for a batch; each output with a limit is (N,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """What was measured for one limit: the mean over the items of a batch, which are the parts of one image."""

    limit: Limit
    value: float

    @property
    def is_unusual(self) -> bool:
        """Whether it is above the limit."""
        return self.value > self.limit.threshold


def measure(limits: Sequence[Limit], graph: str, outputs: Outputs) -> tuple[Distance, ...]:
    """Return the distances of one image, whose parts (crops) are the items of the batch, by the limits of a graph."""
    own = (limit for limit in limits if limit.graph == graph)
    return tuple(Distance(limit=limit, value=round(float(np.mean(outputs[limit.output])), 6)) for limit in own)


def refusals(distances: Sequence[Distance], *, name: str = "the image") -> tuple[Reason, ...]:
    """Return why an image is refused, every distance above its limit in one reason; nothing when all are usual."""
    above = [distance for distance in distances if distance.is_unusual]
    if not above:
        return ()
    shown = "; ".join(
        f"{each.limit.graph} {each.limit.output} {each.value:.4g} is above {each.limit.threshold:.4g}, which "
        f"{100 * each.limit.quantile:g} % of {each.limit.n} usual cases do not reach"
        for each in above
    )
    message = f"{name} is outside the training distribution of the package ({shown}); it is read without the package"
    return (Reason(code=OUT_OF_DISTRIBUTION, message=message),)


def as_values(distances: Sequence[Distance]) -> dict[str, float]:
    """Return the distances for the record, by graph and output."""
    return {f"{each.limit.graph}_{each.limit.output}": each.value for each in distances}


def unusual_items(limits: Sequence[Limit], graph: str, outputs: Outputs, *, count: int) -> NDArray[np.bool_]:
    """Return which of `count` items of a batch, each an image of its own, lie above a limit of the graph."""
    above = np.zeros(count, dtype=np.bool_)
    for limit in limits:
        if limit.graph == graph:
            above |= outputs[limit.output] > limit.threshold
    return above
