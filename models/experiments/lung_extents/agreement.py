# SPDX-License-Identifier: Apache-2.0
"""Bias and limits of agreement of extents read against extents drawn (Bland and Altman 1986)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NORMAL_95 = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Percentage points, read minus drawn, over `pairs`: mean, limits that hold 95 % of a normal error, mean size."""

    pairs: int
    bias: float
    low: float
    high: float
    mean_error: float

    @classmethod
    def of(cls, read: NDArray[np.float64], drawn: NDArray[np.float64]) -> "Agreement":
        """Compare pairs; NaN where there are too few for a number (two for the limits)."""
        differences = (read - drawn).ravel()
        if not differences.size:
            return cls(pairs=0, bias=np.nan, low=np.nan, high=np.nan, mean_error=np.nan)
        bias = float(differences.mean())
        reach = _NORMAL_95 * float(differences.std(ddof=1)) if differences.size > 1 else np.nan
        return cls(
            pairs=differences.size,
            bias=bias,
            low=bias - reach,
            high=bias + reach,
            mean_error=float(np.abs(differences).mean()),
        )
