# SPDX-License-Identifier: Apache-2.0
"""Lowers the zone reader's cuts until normal films of tuning are read as normal.

A film is as abnormal as the mean of its affected zones, so that one zone of six is enough to call it: what a network
believes of single zones is too much for films. One number on the logit scale, the same for every step and zone, puts
that right; the order of zones stays as it is.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.networks.zone_ensemble import ZoneReader
from models.recipes.pneumoconiosis_data import ZoneSet
from models.recipes.pneumoconiosis_evaluation import readings_of, zone_logits

CALLED_AT_MOST = 0.05
"""Share of the clear films of each tuning set that may be read as 1/0 or more. With none allowed, cuts fell so far that
phantoms of category 2 and 3 were read as normal."""
_STEPS = np.arange(0, 8.01, 0.05, dtype=np.float32)


def lower_cuts(network: ZoneReader, tuning: Sequence[ZoneSet]) -> float:
    """Lower all cuts by the least amount that is enough for every tuning set, in place, and return it.

    Raises
    ------
    ValueError
        No amount up to 8 is enough: the network does not tell normal films from others.
    """
    amount = max(enough(*zone_logits(network, data), data) for data in tuning)
    network.lower(amount)
    return amount


def enough(profusion: NDArray[np.float32], shape: NDArray[np.float32], data: ZoneSet) -> float:
    """Return the least amount that is enough for the zones of one set, from their logits (N, 11) and (N, 6).

    Raises
    ------
    ValueError
        See `lower_cuts`.
    """
    if not readings_of(profusion, shape, data).clear.any():
        return 0.0
    for amount in _STEPS:
        films = readings_of(profusion - amount, shape, data)
        if films.called[films.clear].mean() <= CALLED_AT_MOST:
            return round(float(amount), 2)
    raise ValueError(
        f"even with cuts lowered by {_STEPS[-1]:g} more than {100 * CALLED_AT_MOST:.0f} % of normal tuning films are "
        "read as 1/0 or more; train the zone reader longer"
    )
