# SPDX-License-Identifier: Apache-2.0
"""Large opacities after two rules that are kept apart: that of the ILO and that of the Japanese Pneumoconiosis Act.

ILO classification: A, longest dimensions above 10 mm that add up to 50 mm at most; B, more than that, up to the area of
the right upper zone; C, a larger area. Pneumoconiosis Act: A, diameters above 1 cm that add up to 5 cm at most; B, more
than that, up to a third of one lung field; C, a larger area. The Act names no side: the smaller lung field is taken,
which calls no C a B.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from service.domain.image import Box

LEAST_MM: Final = 10.0
"""An opacity is large above this, not at it: r and u end there."""
MOST_OF_A_MM: Final = 50.0


class LargeCategory(StrEnum):
    """The category of the large opacities of a film; "0" is none."""

    NONE = "0"
    A = "A"
    B = "B"
    C = "C"


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeOpacity:
    """One opacity: side "R" or "L", longest diameter and area at the detector plane, box on the film, the score."""

    side: str
    longest_mm: float
    area_cm2: float
    box: Box = (0.0, 0.0, 1.0, 1.0)
    score: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldAreas:
    """The areas that opacities are held against, cm2 at the detector plane."""

    right_upper_zone_cm2: float
    right_lung_cm2: float
    left_lung_cm2: float

    @property
    def third_of_a_lung_cm2(self) -> float:
        """A third of the smaller lung field."""
        return min(self.right_lung_cm2, self.left_lung_cm2) / 3


def large_only(opacities: Sequence[LargeOpacity]) -> tuple[LargeOpacity, ...]:
    """Return those whose longest diameter is above 10 mm."""
    return tuple(opacity for opacity in opacities if opacity.longest_mm > LEAST_MM)


def ilo_category(opacities: Sequence[LargeOpacity], areas: FieldAreas) -> LargeCategory:
    """Return the ILO category."""
    return _category(large_only(opacities), most_of_b_cm2=areas.right_upper_zone_cm2)


def japanese_category(opacities: Sequence[LargeOpacity], areas: FieldAreas) -> LargeCategory:
    """Return the category of the Japanese rule."""
    return _category(large_only(opacities), most_of_b_cm2=areas.third_of_a_lung_cm2)


def _category(large: Sequence[LargeOpacity], *, most_of_b_cm2: float) -> LargeCategory:
    if not large:
        return LargeCategory.NONE
    if sum(opacity.area_cm2 for opacity in large) > most_of_b_cm2:
        return LargeCategory.C
    if sum(opacity.longest_mm for opacity in large) > MOST_OF_A_MM:
        return LargeCategory.B
    return LargeCategory.A
