# SPDX-License-Identifier: Apache-2.0
"""Which films are drawn: two designs that hold every profusion, shape and zone together."""

from dataclasses import dataclass
from typing import Final

from models.phantoms.chest_radiograph.opacities import PROFUSION, SHAPES, ZONES, Disease

MIXED, ALIKE = "mixed", "alike"
"""Designs: six profusions on one film, so that no zone can lean on its neighbours; one profusion on the whole film."""
_STEPS: Final = len(PROFUSION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One film to draw: its number, which is its body's too, its design and its opacities, all of one shape."""

    number: int
    design: str
    disease: Disease

    @property
    def shape(self) -> str:
        """The shape of every opacity."""
        return self.disease.primary


def all_studies() -> tuple[Study, ...]:
    """Return 72 mixed films, in which each of 12 x 6 x 6 combinations lies once, and 72 that are alike."""
    drawn = [(shape, level) for shape in SHAPES for level in range(_STEPS)]
    mixed = [_study(number, MIXED, _rising(level), shape) for number, (shape, level) in enumerate(drawn)]
    alike = [
        _study(len(drawn) + number, ALIKE, dict.fromkeys(ZONES, level), shape)
        for number, (shape, level) in enumerate(drawn)
    ]
    return *mixed, *alike


def paired_studies() -> tuple[Study, ...]:
    """Return twelve mixed films in which every two of profusion, shape and zone meet."""
    return tuple(_study(first, MIXED, _rising(first), SHAPES[first % len(SHAPES)]) for first in range(_STEPS))


def _rising(first: int) -> dict[str, int]:
    """Return a level for each zone, one up from zone to zone, round the scale: `first` from 0 to 11 meets them all."""
    return {zone: (first + index) % _STEPS for index, zone in enumerate(ZONES)}


def _study(number: int, design: str, levels: dict[str, int], shape: str) -> Study:
    return Study(number=number, design=design, disease=Disease(levels=levels, primary=shape, secondary=shape))
