# SPDX-License-Identifier: Apache-2.0
"""Made-up studies for the watch over drift, and references of them."""

from collections.abc import Mapping

import numpy as np

from service.domain.drift import DriftReference, Monitored
from service.drift.reference import make_reference

NUMBERS = ("score", "noise", "fineness", "level", "contrast", "spacing_mm", "kvp", "zones_distance_deep")


def study(rng: np.random.Generator, *, moved: Mapping[str, float] | None = None, findings: float = 0.3) -> Monitored:
    """A study whose numbers are standard normal, some of them moved, and with findings in a share of cases."""
    numbers = {name: float(rng.normal() + (moved or {}).get(name, 0.0)) for name in NUMBERS}
    outcome = "findings" if rng.random() < findings else "no_findings"
    return Monitored(numbers=numbers, words={"manufacturer": "alpha", "outcome": outcome})


def reference(*, studies: int = 2000, seed: int = 1) -> DriftReference:
    rng = np.random.default_rng([seed, 99])
    return make_reference([study(rng) for _ in range(studies)], source="usual studies")
