# SPDX-License-Identifier: Apache-2.0
"""Conformal sets of the profusion: which steps of the 12-point scale cannot be excluded, by zone and for the film."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from service.domain.reliability import ConformalSet, Reliability
from service.domain.result import Reason
from service.pipelines.certainty import indeterminate
from service.pipelines.conformal import prediction_sets, step_probabilities
from service.pipelines.pneumoconiosis.reading import ABNORMAL, PROFUSION, FilmReading


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRange:
    """The lowest and highest step of a set, and the share of such sets that hold the true step."""

    low: int
    high: int
    level: float

    def __str__(self) -> str:
        return f"{PROFUSION[self.low]} to {PROFUSION[self.high]}"

    @property
    def is_indeterminate(self) -> bool:
        """Whether it holds steps on both sides of where small opacities are called present."""
        return self.low < ABNORMAL <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfusionSets:
    """What the package's declarations make of one film; nothing where it declares no sets."""

    film: StepRange | None = None
    zones: Mapping[str, StepRange]

    def flags(self) -> tuple[Reason, ...]:
        """Flag a film whose set says both that opacities are present and that they are not."""
        if self.film is None or not self.film.is_indeterminate:
            return ()
        return (
            indeterminate(
                f"the {100 * self.film.level:g} % set of the overall profusion, {self.film}, lies on both sides of "
                f"{PROFUSION[ABNORMAL]}; the score is no ground for triage"
            ),
        )

    def lines(self, reading: FilmReading) -> tuple[str, ...]:
        """Return the sets for people."""
        film = (
            ()
            if self.film is None
            else (f"Profusion {reading.profusion}, {100 * self.film.level:g} % set {self.film}",)
        )
        sides = (("R", "Right"), ("L", "Left")) if self.zones else ()
        return (*film, *(_side_line(self.zones, letter, name) for letter, name in sides))

    def as_values(self) -> dict[str, list[str]]:
        """Return lowest and highest step for the record."""
        film = {} if self.film is None else {"overall_set": _written(self.film)}
        return {**film, **{f"zone_{name}_set": _written(found) for name, found in self.zones.items()}}


def _side_line(zones: Mapping[str, StepRange], letter: str, name: str) -> str:
    level = next(iter(zones.values())).level
    shown = ", ".join(str(zones.get(letter + height, "-")) for height in "UML")
    return f"{name} upper, middle, lower, {100 * level:g} % sets: {shown}"


def _written(found: StepRange) -> list[str]:
    return [PROFUSION[found.low], PROFUSION[found.high]]


def profusion_sets(reading: FilmReading, reliability: Reliability) -> ProfusionSets:
    """Return the sets of a reading, as far as the package declares them."""
    film, zone = reliability.sets_of("film"), reliability.sets_of("zone")
    names = [each.name for each in reading.zones] if zone else []
    found = _ranges(zone, [each.above for each in reading.zones]) if zone else []
    return ProfusionSets(
        film=_ranges(film, [reading.above])[0] if film else None, zones=dict(zip(names, found, strict=True))
    )


def _ranges(sets: ConformalSet, above: Sequence[Sequence[float]]) -> list[StepRange]:
    steps = step_probabilities(np.asarray(above, dtype=np.float64))
    members = prediction_sets(steps, method=sets.method, quantile=sets.quantile)
    return [_range(row, level=sets.level, fallback=int(steps[index].argmax())) for index, row in enumerate(members)]


def _range(members: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], *, level: float, fallback: int) -> StepRange:
    """Return the range around a set; LAC's may be empty, and then stands for the most probable step."""
    places = np.flatnonzero(members) if members.any() else np.array([fallback])
    return StepRange(low=int(places[0]), high=int(places[-1]), level=level)
