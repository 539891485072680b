# SPDX-License-Identifier: Apache-2.0
"""What each sector of a view adds to its score: exact Shapley values over four sectors of the breast.

The sectors are cut at the nipple's row and half way between chest wall and nipple. A sector is taken away by its own
low-pass picture: its brightness stays, its detail goes. The graph is asked for all 16 coalitions; nothing is sampled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.domain.image import Point
from service.imaging.shapley import in_mask_low_pass, region_shapley
from service.pipelines.mammography.scores import sigmoid
from service.ports import Package

HALVES: Final[Mapping[str, tuple[str, str]]] = {"CC": ("outer", "inner"), "MLO": ("upper", "lower")}
"""What lies before and behind the nipple's row, where rows run inwards (CC) or to the foot (MLO)."""
SMOOTHED_MM: Final = 13.0
"""Standard deviation of the low-pass: the radius of the largest masses that the demonstration is made for."""
_BATCH: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SectorShares:
    """Shares of a view's score by sector; they add up to `score` - `baseline` but for `residual`, which is rounding."""

    by_sector: Mapping[str, float]
    score: float
    baseline: float
    residual: float


def sector_shares(
    tensor: NDArray[np.float32],
    nipple: Point,
    package: Package,
    *,
    graph: str,
    spacing_mm: float,
    halves: tuple[str, str],
) -> SectorShares:
    """Return what each sector contributes to the view's score.

    Parameters
    ----------
    tensor
        (2, rows, columns): the canvas, grey and breast mask.
    nipple
        (x, y) on the canvas.
    halves
        Names of what lies above and below the nipple's row on the canvas.
    """
    mask = tensor[1] > 0.5
    regions = _regions(mask, nipple)
    picture = in_mask_low_pass(tensor[0], mask, sigma_px=SMOOTHED_MM / spacing_mm)

    def score(images: NDArray[np.float32]) -> NDArray[np.float64]:
        outputs = package.run(graph, {"image": np.ascontiguousarray(images, dtype=np.float32)})
        return np.array([sigmoid(float(logit)) for logit in outputs["image_logit"]])

    found = region_shapley(tensor, np.stack([picture, tensor[1]]), regions, score=score, batch=_BATCH)
    return SectorShares(
        by_sector=dict(zip(_names(halves), map(float, found.values), strict=True)),
        score=found.full,
        baseline=found.baseline,
        residual=float(found.residual),
    )


def _regions(mask: NDArray[np.bool_], nipple: Point) -> NDArray[np.bool_]:
    """Return (4, rows, columns), in the order of `_names`."""
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    upper, back = rows + 0.5 < nipple[1], columns + 0.5 < nipple[0] / 2
    return np.stack([mask & above & behind for above in (upper, ~upper) for behind in (~back, back)])


def halves_of(view: str, *, rows_run_down: bool | None) -> tuple[str, str]:
    """Return the names of the two halves of a view, the one of the smaller rows first."""
    if rows_run_down is None:
        return "first half", "second half"
    first, second = HALVES[view]
    return (first, second) if rows_run_down else (second, first)


def _names(halves: tuple[str, str]) -> list[str]:
    return [f"{half} {depth}" for half in halves for depth in ("front", "back")]


def sector_line(shares: SectorShares) -> str:
    """Return the shares in one line, the largest first."""
    ordered = sorted(shares.by_sector.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{name} {value:+.2f}" for name, value in ordered)
    return f"Shares of the view score (exact Shapley): {shown}; without detail {shares.baseline:.2f}"


def sector_values(shares: SectorShares | None) -> dict[str, float]:
    """Return the numbers for the record; nothing where the view was not explained."""
    if shares is None:
        return {}
    named = {f"share_{name.replace(' ', '_')}": round(value, 6) for name, value in shares.by_sector.items()}
    return {**named, "share_baseline": round(shares.baseline, 6), "share_residual": round(shares.residual, 12)}
