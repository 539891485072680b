# SPDX-License-Identifier: Apache-2.0
"""Upper, middle and lower zones of the lungs after ICOERD, from landmarks where they are seen, and by which rule.

ICOERD cuts at the carina and at the inferior pulmonary veins (Kusaka et al., International Classification of HRCT for
Occupational and Environmental Respiratory Diseases, Springer 2005). The veins are not looked for: the lower cut lies at
a share of the way from the carina to the base of the lungs. Without a carina the lungs are cut into thirds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import numpy as np

ZONES: Final = ("U", "M", "L")
_CARINA_BETWEEN: Final = (0.15, 0.6)


class ZoneRule(StrEnum):
    """How the zones were cut."""

    CARINA = "carina"
    VOLUME_THIRDS = "equal_volume_thirds"
    AREA_THIRDS = "equal_area_thirds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Zoning:
    """The zone of each slice from the head down, 0 (upper) to 2 (lower), and the rule with its cuts (heights in mm)."""

    rule: ZoneRule
    zones: tuple[int, ...]
    carina_mm: float | None = None
    lower_cut_mm: float | None = None
    vein_share: float = 0.0

    @property
    def words(self) -> str:
        """The rule in one line."""
        if self.rule is ZoneRule.CARINA:
            return (
                f"Zones: cut at the carina and at {100 * self.vein_share:.0f} % of the way from it to the lung base, "
                "which stands for the inferior pulmonary veins"
            )
        kind = "volume" if self.rule is ZoneRule.VOLUME_THIRDS else "area of the slices"
        return f"Zones: equal thirds of lung {kind}; the carina was not found"

    def values(self) -> dict[str, Any]:
        """Return what the record keeps of it."""
        return {
            "rule": self.rule.value,
            "carina_mm": None if self.carina_mm is None else round(self.carina_mm, 2),
            "lower_cut_mm": None if self.lower_cut_mm is None else round(self.lower_cut_mm, 2),
        }


def cut_zones(
    heights: Sequence[float],
    areas: Sequence[float],
    *,
    carina_mm: float | None,
    vein_share: float,
    has_volumes: bool,
) -> Zoning:
    """Cut the lungs of slices that lie in order from the head down.

    Parameters
    ----------
    areas
        Lung area of each slice, in any unit.
    carina_mm
        Height of the carina; None when it was not seen. One outside the middle part of the lungs is not believed.
    vein_share
        Where, from carina (0) to base (1), the lower zone begins.
    has_volumes
        Whether the slices stand for a volume; it only names the rule.
    """
    lung = [height for height, area in zip(heights, areas, strict=True) if area > 0]
    if carina_mm is None or not lung or not _is_plausible(carina_mm, top=lung[0], base=lung[-1]):
        rule = ZoneRule.VOLUME_THIRDS if has_volumes else ZoneRule.AREA_THIRDS
        return Zoning(rule=rule, zones=volume_thirds(areas))
    lower_cut = carina_mm - vein_share * (carina_mm - lung[-1])
    zones = tuple(0 if height > carina_mm else 1 if height > lower_cut else 2 for height in heights)
    return Zoning(rule=ZoneRule.CARINA, zones=zones, carina_mm=carina_mm, lower_cut_mm=lower_cut, vein_share=vein_share)


def _is_plausible(carina_mm: float, *, top: float, base: float) -> bool:
    low, high = _CARINA_BETWEEN
    return top > base and low <= (top - carina_mm) / (top - base) <= high


def volume_thirds(areas: Sequence[float]) -> tuple[int, ...]:
    """Give each slice, from the head down, to the third of the lung that its middle lies in."""
    total = float(sum(areas))
    if total == 0:
        return (0,) * len(areas)
    middles = np.cumsum(areas) - np.asarray(areas) / 2
    return tuple(min(2, int(3 * middle / total)) for middle in middles)
