# SPDX-License-Identifier: Apache-2.0
"""How dense the breasts are, and how much the two sides of one view differ."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from service.pipelines.mammography.reading import ViewReading
from service.pipelines.mammography.views import SIDE_NAMES

_QUARTERS: Final = (0.25, 0.5, 0.75)
ASYMMETRY_POINTS: Final = 20.0
"""Difference of dense area between the sides, in percentage points, from which on it is said.

Of 150 phantom women, whose breasts differ at random only, one differs more on the cranio-caudal views and none on the
oblique ones.
"""


def band_of(share: float) -> str:
    """Return the quarter of the dense area, "a" (below 25 %) to "d" (75 % and more).

    These are measured quarters of area, not a radiologist's composition category.
    """
    return "abcd"[sum(share >= edge for edge in _QUARTERS)]


def breast_density(readings: Sequence[ViewReading]) -> dict[str, float]:
    """Return the dense share of each breast in [0, 1]: the mean over its views that could be measured."""
    shares: dict[str, list[float]] = {}
    for reading in readings:
        if reading.landmarks.dense_share is not None:
            shares.setdefault(reading.side, []).append(reading.landmarks.dense_share)
    return {side: sum(found) / len(found) for side, found in shares.items()}


def density_lines(readings: Sequence[ViewReading]) -> Iterator[str]:
    """Yield the density of the breasts, and where the sides of a view differ more than usual."""
    breasts = breast_density(readings)
    if breasts:
        shown = (f"{SIDE_NAMES[side]} {100 * share:.0f} % ({band_of(share)})" for side, share in breasts.items())
        yield f"Dense area, measured: {', '.join(shown)}"
    for view, points in asymmetries(readings).items():
        if abs(points) >= ASYMMETRY_POINTS:
            denser = SIDE_NAMES["R" if points > 0 else "L"]
            yield f"Asymmetry of dense area, {view}: {abs(points):.0f} percentage points more on the {denser}"


def asymmetries(readings: Sequence[ViewReading]) -> dict[str, float]:
    """Return by view how many percentage points more of the right breast's area is dense than of the left's."""
    shares = {(reading.view, reading.side): reading.landmarks.dense_share for reading in readings}
    found: dict[str, float] = {}
    for view in ("CC", "MLO"):
        right, left = shares.get((view, "R")), shares.get((view, "L"))
        if right is not None and left is not None:
            found[view] = 100 * (right - left)
    return found


def density_values(readings: Sequence[ViewReading]) -> dict[str, Any]:
    """Return the numbers for the record."""
    return {
        "density": {side: round(share, 4) for side, share in breast_density(readings).items()},
        "density_asymmetry_points": {view: round(points, 2) for view, points in asymmetries(readings).items()},
    }
