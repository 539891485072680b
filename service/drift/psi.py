# SPDX-License-Identifier: Apache-2.0
"""The population stability index: how far two distributions over the same bins are apart."""

from collections.abc import Sequence

import numpy as np


def psi(reference: Sequence[int], observed: Sequence[int]) -> float:
    """Return the index of counts against those of a reference: the sum of (q - p) ln(q / p) over the bins.

    Half a study is added to each bin, so that an empty one does not make it infinite. Even without any shift, n studies
    against m have about (bins - 1) (1/n + 1/m): 0.07 for 200 against 1000 in 12 bins.
    """
    usual, now = (_shares(np.asarray(counts, dtype=np.float64)) for counts in (reference, observed))
    return float(np.sum((now - usual) * np.log(now / usual)))


def _shares(
    counts: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * counts.size))
