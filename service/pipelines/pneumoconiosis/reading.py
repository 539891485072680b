# SPDX-License-Identifier: Apache-2.0
"""Turns the network's zone logits into an ILO reading: 12-point profusion, shapes, categories. Pure arithmetic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PROFUSION = ("0/-", "0/0", "0/1", "1/0", "1/1", "1/2", "2/1", "2/2", "2/3", "3/2", "3/3", "3/+")
"""The ILO 12-point scale; a step is an index into it."""
SHAPES = ("p", "q", "r", "s", "t", "u")
AFFECTED = PROFUSION.index("0/1")
"""A zone counts towards the overall profusion from here on."""
ABNORMAL = PROFUSION.index("1/0")
"""Small opacities are called present from here on (ILO 2011: category 1 or more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneReading:
    """One zone: expected step on the 12-point scale (0 to 11), score that it is 1/0 or more, weight by lung area.

    `above` are the eleven probabilities of lying above each step but the last; they add up to the expected step.
    """

    name: str
    expected_step: float
    score: float
    shape_scores: tuple[float, ...]
    area_cm2: float
    above: tuple[float, ...] = ()

    @property
    def step(self) -> int:
        """The nearest step."""
        return nearest_step(self.expected_step)

    @property
    def profusion(self) -> str:
        """The step as it is written, for example "1/1"."""
        return PROFUSION[self.step]

    @property
    def abnormal(self) -> bool:
        """Whether profusion is 1/0 or more."""
        return self.step >= ABNORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmReading:
    """The whole film."""

    zones: tuple[ZoneReading, ...]
    expected_step: float
    score: float
    primary: str
    secondary: str

    @property
    def step(self) -> int:
        """The nearest step."""
        return nearest_step(self.expected_step)

    @property
    def profusion(self) -> str:
        """The overall profusion as it is written."""
        return PROFUSION[self.step]

    @property
    def category(self) -> int:
        """The major category, 0 to 3."""
        return int(self.profusion[0])

    @property
    def abnormal(self) -> bool:
        """Whether overall profusion is 1/0 or more."""
        return self.step >= ABNORMAL

    @property
    def above(self) -> tuple[float, ...]:
        """The eleven probabilities of lying above each step, averaged over the zones that the expected step is of."""
        return tuple(np.mean([zone.above for zone in counted_zones(self.zones)], axis=0).tolist())

    @property
    def bilateral(self) -> bool:
        """Whether both lungs have a zone of 1/0 or more; 0/1 is category 0, that is, no opacities there."""
        return {zone.name[0] for zone in self.zones if zone.abnormal} == {"R", "L"}


def nearest_step(expected: float) -> int:
    """Return the nearest of the twelve steps; a half goes up."""
    return int(np.clip(np.floor(expected + 0.5), 0, len(PROFUSION) - 1))


def read_zone(
    name: str, profusion_logits: NDArray[np.float32], shape_logits: NDArray[np.float32], *, area_cm2: float
) -> ZoneReading:
    """Read one zone: the expected step is the sum of the eleven probabilities of lying above each step."""
    above = _sigmoid(profusion_logits)
    return ZoneReading(
        name=name,
        expected_step=float(above.sum()),
        score=float(above[ABNORMAL - 1]),
        shape_scores=tuple(float(score) for score in _sigmoid(shape_logits)),
        area_cm2=area_cm2,
        above=tuple(above.tolist()),
    )


def read_film(zones: Sequence[ZoneReading]) -> FilmReading:
    """Read the film: overall profusion is the mean over affected zones (0/1 or more), over all if none is affected."""
    counted = counted_zones(zones)
    primary, secondary = _shapes(counted)
    return FilmReading(
        zones=tuple(zones),
        expected_step=float(np.mean([zone.expected_step for zone in counted])),
        score=film_score([zone.score for zone in zones]),
        primary=primary,
        secondary=secondary,
    )


def counted_zones(zones: Sequence[ZoneReading]) -> Sequence[ZoneReading]:
    """Return the zones that the overall reading is made of: the affected ones, or all if none is."""
    return [zone for zone in zones if zone.step >= AFFECTED] or zones


def film_score(scores: Sequence[float] | NDArray[np.float64]) -> float:
    """Return the film's score: the mean of the two highest zone scores, so that no pair of zones is averaged away."""
    return float(np.mean(sorted(scores, reverse=True)[:2]))


def _shapes(zones: Sequence[ZoneReading]) -> tuple[str, str]:
    """Return the leading shape and the second; the first letter twice when the second has less than half of it."""
    weights = np.array([zone.area_cm2 * zone.expected_step for zone in zones])
    mass = weights @ np.array([zone.shape_scores for zone in zones])
    first, second = np.argsort(-mass, kind="stable")[:2]
    return SHAPES[first], SHAPES[second if mass[second] >= 0.5 * mass[first] else first]


def zone_scores(profusion_logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the scores of zones (Z,) from their cumulative logits (Z, 11)."""
    return _sigmoid(profusion_logits)[:, ABNORMAL - 1]


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))))


def as_values(reading: FilmReading) -> Mapping[str, float | str]:
    """Return every number of the reading for the record."""
    zones = {f"zone_{zone.name}_expected_step": round(zone.expected_step, 6) for zone in reading.zones}
    scores = {f"zone_{zone.name}_score": round(zone.score, 6) for zone in reading.zones}
    return {
        "overall_expected_step": round(reading.expected_step, 6),
        "overall_score": round(reading.score, 6),
        "primary_shape": reading.primary,
        "secondary_shape": reading.secondary,
        **zones,
        **scores,
    }
