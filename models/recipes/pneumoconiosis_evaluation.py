# SPDX-License-Identifier: Apache-2.0
"""Reads whole films of a zone set as the pipeline does, and measures false alarms, discrimination and agreement."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats

from models.networks.zone_ensemble import ZoneReader
from models.recipes.pneumoconiosis_data import ZoneSet
from service.pipelines.pneumoconiosis.lungs import ZONES
from service.pipelines.pneumoconiosis.reading import ABNORMAL, AFFECTED, FilmReading, read_film, read_zone

_ZONE_CM2 = 50.0
"""Only weighs shapes against each other; zones of a film are of about one size."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class FilmReadings:
    """Every film of a set as read, and its truth: (films,) each.

    `score` is the film score, `step` the overall profusion on the 12-point scale, `truth` the mean level of affected
    zones (0/1 or more), 0 where there is none; `clear` says that there is no opacity at all, not even of a lower level.
    """

    score: NDArray[np.float64]
    step: NDArray[np.int64]
    truth: NDArray[np.float64]
    clear: NDArray[np.bool_]
    above: NDArray[np.float64]
    """(films, 11): probability of lying above each step of the scale."""

    @property
    def abnormal(self) -> NDArray[np.bool_]:
        """Whether the truth is 1/0 or more."""
        return self.truth >= ABNORMAL - 0.5

    @property
    def called(self) -> NDArray[np.bool_]:
        """Whether the reading is 1/0 or more."""
        return self.step >= ABNORMAL


def read_films(network: ZoneReader, data: ZoneSet) -> FilmReadings:
    """Read every film of the set."""
    return readings_of(*zone_logits(network, data), data)


def readings_of(profusion: NDArray[np.float32], shape: NDArray[np.float32], data: ZoneSet) -> FilmReadings:
    """Read every film from its zones' logits (N, 11) and (N, 6)."""
    readings, truths, clear = [], [], []
    for film in np.unique(data.films):
        own = np.flatnonzero(data.films == film)
        readings.append(_read(profusion[own], shape[own]))
        truths.append(_overall(data.levels.numpy()[own]))
        clear.append(not data.opacity_mm.numpy()[own].any())
    return FilmReadings(
        score=np.array([reading.score for reading in readings]),
        step=np.array([reading.step for reading in readings]),
        truth=np.array(truths),
        clear=np.array(clear),
        above=np.array([reading.above for reading in readings]),
    )


@torch.no_grad()
def zone_logits(network: ZoneReader, data: ZoneSet) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return profusion logits (N, 11) and shape logits (N, 6)."""
    parts = [network(part.float())[:2] for part in torch.split(data.tensors, 32)]
    profusion, shape = (torch.cat(column).numpy() for column in zip(*parts, strict=True))
    return profusion, shape


def _read(profusion: NDArray[np.float32], shape: NDArray[np.float32]) -> FilmReading:
    zones = zip(ZONES, profusion, shape, strict=True)
    return read_film([read_zone(name, steps, shapes, area_cm2=_ZONE_CM2) for name, steps, shapes in zones])


def _overall(levels: NDArray[np.int64]) -> float:
    affected = levels[levels >= AFFECTED]
    return float(affected.mean()) if affected.size else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A share of cases with its 95 % interval after Wilson (1927)."""

    count: int
    cases: int

    @property
    def value(self) -> float:
        """The share."""
        return self.count / self.cases

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound of the share."""
        bounds = stats.binomtest(self.count, self.cases).proportion_ci(method="wilson")
        return float(bounds.low), float(bounds.high)

    def __str__(self) -> str:
        low, high = self.interval
        share = f"{100 * self.value:.0f} %, 95 % interval {100 * low:.0f} to {100 * high:.0f}"
        return f"{self.count} of {self.cases} ({share})"


def rate(called: NDArray[np.bool_]) -> Rate:
    """Return the share of true values."""
    return Rate(count=int(called.sum()), cases=int(called.size))
