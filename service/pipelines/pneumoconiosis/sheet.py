# SPDX-License-Identifier: Apache-2.0
"""A film's reading in the order of the ILO reading sheet: what was read, what was not, and what it rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.pipelines.pneumoconiosis.contributions import Contributions
from service.pipelines.pneumoconiosis.japanese_type import TypeCandidate, type_candidate
from service.pipelines.pneumoconiosis.large_opacities import (
    FieldAreas,
    LargeCategory,
    LargeOpacity,
    ilo_category,
    japanese_category,
    large_only,
)
from service.pipelines.pneumoconiosis.pleura import FINDINGS, PleuralReading
from service.pipelines.pneumoconiosis.reading import FilmReading


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmQuality:
    """What bears on the technical quality and can be measured; the grade itself is a reader's.

    `pixel_spacing_mm` is the larger of the stored film's two; the other numbers are those of the gates.
    """

    pixel_spacing_mm: float
    grey_range: float
    saturated_share: float
    lung_darkness: float
    lung_at_edge_mm: float
    cardiothoracic_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeOpacities:
    """The large opacities of a film, with the categories of both rules."""

    opacities: tuple[LargeOpacity, ...]
    ilo: LargeCategory
    japanese: LargeCategory

    @classmethod
    def of(cls, opacities: Sequence[LargeOpacity], areas: FieldAreas) -> "LargeOpacities":
        """Return the categories of what a detector found."""
        return cls(
            opacities=large_only(opacities),
            ilo=ilo_category(opacities, areas),
            japanese=japanese_category(opacities, areas),
        )

    @property
    def sum_of_longest_mm(self) -> float:
        """The longest diameters, added up."""
        return sum(opacity.longest_mm for opacity in self.opacities)

    @property
    def area_cm2(self) -> float:
        """The areas, added up."""
        return sum(opacity.area_cm2 for opacity in self.opacities)


@dataclass(frozen=True, slots=True, kw_only=True)
class IloSheet:
    """A filled-in sheet; `large` and `pleura` are None where the package reads none, `large_unread` says why."""

    quality: FilmQuality
    reading: FilmReading
    contributions: Contributions
    candidate: TypeCandidate
    large: LargeOpacities | None = None
    pleura: PleuralReading | None = None
    large_unread: str = ""

    @property
    def is_abnormal(self) -> bool:
        """Whether there is something to report: small opacities of 1/0 or more, a large opacity, or the pleura."""
        return (
            self.reading.abnormal
            or bool(self.large and self.large.opacities)
            or bool(self.pleura and self.pleura.sides)
        )


def fill_in(
    reading: FilmReading,
    contributions: Contributions,
    *,
    quality: FilmQuality,
    large: LargeOpacities | None = None,
    pleura: PleuralReading | None = None,
    large_unread: str = "",
) -> IloSheet:
    """Return the sheet with the candidate type that follows from it."""
    return IloSheet(
        quality=quality,
        reading=reading,
        contributions=contributions,
        candidate=type_candidate(reading, large.japanese if large else None),
        large=large,
        pleura=pleura,
        large_unread=large_unread,
    )


def as_values(sheet: IloSheet) -> Mapping[str, Any]:
    """Return for the record what the reading itself does not hold; JSON types."""
    large = sheet.large
    return {
        "jpn_pr_candidate": sheet.candidate.type.value if sheet.candidate.type else None,
        "large_opacities_ilo": large.ilo.value if large else None,
        "large_opacities_japan": large.japanese.value if large else None,
        "large_opacities_longest_mm": [round(entry.longest_mm, 1) for entry in large.opacities] if large else None,
        "large_opacities_cm2": round(large.area_cm2, 2) if large else None,
        **_pleural_values(sheet.pleura),
        "cardiothoracic_ratio": round(sheet.quality.cardiothoracic_ratio, 4),
    }


def _pleural_values(pleura: PleuralReading | None) -> Mapping[str, Any]:
    """Return the sides of each finding that is read, and every score; None in place of the sides where none is."""
    if pleura is None:
        return {"pleural_sides": None}
    read = {f"pleura_{name}_sides": list(pleura.sides_of(name)) for name in FINDINGS if name in pleura.thresholds}
    scores = {
        f"pleura_{name}_{side}_score": round(score, 6)
        for side, found in pleura.scores.items()
        for name, score in found.items()
    }
    return {"pleural_sides": list(pleura.sides), **read, **scores}
