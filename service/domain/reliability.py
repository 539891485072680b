# SPDX-License-Identifier: Apache-2.0
"""What a package says of its own doubts: calibrated scores, sets that hold the truth, limits of what it has seen.

Every value is checked when it is made, so that a manifest with a wrong one is refused.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType
from typing import ClassVar, Final

import numpy as np

STRICT: Final = {"extra": "forbid", "strict": True}
"""What a manifest holds these types to."""
LEAST_SCORE: Final = 1e-6
"""Scores nearer than this to 0 or 1 have no finite logit: they count as this near."""
_ROUNDED: Final = 0.005
LEAST_POSITIVES: Final = 200
"""With fewer positives an isotonic curve follows single cases."""
SCORE_TARGETS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "pneumoconiosis": frozenset({"zone", "film"}),
        "mammography": frozenset({"mark", "distortion", "cluster", "exam"}),
        "diffuse_lung": frozenset({"study"}),
    }
)
"""By pipeline: the scores that can be calibrated."""
SET_TARGETS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "pneumoconiosis": frozenset({"zone", "film"}),
        "mammography": frozenset({"exam"}),
        "diffuse_lung": frozenset({"pattern"}),
    }
)
"""By pipeline: the answers for which there can be sets."""
GRAPHS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"pneumoconiosis": ("lungseg", "zones"), "mammography": ("detector",), "diffuse_lung": ("patterns",)}
)
"""By pipeline: the graphs whose distances it judges, that of the reading last: its members' disagreement counts too."""


class CalibrationMethod(StrEnum):
    """How a score becomes a probability; `parameters` that belong to it are in brackets.

    temperature: sigmoid(logit(score) / temperature) [temperature].
    platt: sigmoid(slope * logit(score) + intercept) [slope, intercept].
    isotonic: a rising curve through points, straight between them [scores, probabilities].
    """

    TEMPERATURE = "temperature"
    PLATT = "platt"
    ISOTONIC = "isotonic"


_PARAMETERS: Final = {
    CalibrationMethod.TEMPERATURE: {"temperature"},
    CalibrationMethod.PLATT: {"slope", "intercept"},
    CalibrationMethod.ISOTONIC: {"scores", "probabilities"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCalibration:
    """How one of a pipeline's scores becomes a probability; thresholds stay thresholds of the score itself.

    Parameters
    ----------
    target
        Which score: see SCORE_TARGETS.
    parameters
        Numbers, or lists of numbers, of the method.
    n, positives
        Cases that it was fitted to, and those of them that have the disease.
    prevalence
        Share of disease among them, in (0, 1).
    site_prevalence
        Share of disease where the package is used, in (0, 1); None where it is not known.
    """

    __pydantic_config__: ClassVar = STRICT
    target: str
    method: CalibrationMethod
    parameters: Mapping[str, float | tuple[float, ...]]
    n: int
    positives: int
    prevalence: float
    site_prevalence: float | None = None

    def __post_init__(self) -> None:
        wanted = _PARAMETERS[self.method]
        if set(self.parameters) != wanted:
            given = ", ".join(sorted(self.parameters)) or "nothing"
            raise ValueError(f"method {self.method} has parameters {', '.join(sorted(wanted))}, not {given}")
        _check_curve(self)
        if not 0 < self.positives < self.n:
            raise ValueError(f"{self.positives} of {self.n} cases are positive; both kinds are needed")
        if self.method is CalibrationMethod.ISOTONIC and self.positives < LEAST_POSITIVES:
            raise ValueError(f"isotonic needs {LEAST_POSITIVES} positives, not {self.positives}; use platt")
        shares = {"prevalence": self.prevalence, "site_prevalence": self.site_prevalence}
        for name, share in shares.items():
            if share is not None and not 0 < share < 1:
                raise ValueError(f"{name} is {share:g}; it must be above 0 and below 1")
        if abs(self.prevalence - self.positives / self.n) > _ROUNDED:
            raise ValueError(f"prevalence is {self.prevalence:g}, but {self.positives} of {self.n} cases are positive")

    def apply(self, score: float) -> float:
        """Return the probability, at the prevalence of the calibration, of a score in [0, 1]."""
        if self.method is CalibrationMethod.ISOTONIC:
            return float(np.interp(score, self._list("scores"), self._list("probabilities")))
        if self.method is CalibrationMethod.TEMPERATURE:
            return sigmoid(logit(score) / self._number("temperature"))
        return sigmoid(self._number("slope") * logit(score) + self._number("intercept"))

    def at_site(self, probability: float) -> float | None:
        """Return the probability at the site's prevalence; None where that is not known."""
        if self.site_prevalence is None:
            return None
        return shift_prior(probability, before=self.prevalence, after=self.site_prevalence)

    def _number(self, name: str) -> float:
        value = self.parameters[name]
        if isinstance(value, int | float):
            return float(value)
        raise ValueError(f"parameter {name} is a number, not a list")

    def _list(self, name: str) -> Sequence[float]:
        value = self.parameters[name]
        if isinstance(value, int | float):
            raise ValueError(f"parameter {name} is a list of numbers, not one")  # noqa: TRY004 - a manifest's rule
        return value


def _check_curve(entry: ScoreCalibration) -> None:
    """Hold a curve to the one property that all have: a higher score never means less."""
    if entry.method is CalibrationMethod.ISOTONIC:
        scores, probabilities = entry._list("scores"), entry._list("probabilities")
        if len(scores) != len(probabilities) or len(scores) < 2:
            raise ValueError("isotonic has as many scores as probabilities, two at least")
        if not all(math.isfinite(score) for score in scores) or any(a >= b for a, b in pairwise(scores)):
            raise ValueError("isotonic scores must rise and be finite")
        if any(a > b for a, b in pairwise((0.0, *probabilities, 1.0))):
            raise ValueError("isotonic probabilities must lie between 0 and 1 and never fall")
        return
    for name in _PARAMETERS[entry.method]:
        value = entry._number(name)
        if not math.isfinite(value) or (name != "intercept" and value <= 0):
            raise ValueError(f"{name} is {value:g}; it must be finite{'' if name == 'intercept' else ' and above 0'}")


def logit(score: float) -> float:
    """Return ln(score / (1 - score)); finite, see LEAST_SCORE."""
    bounded = min(max(score, LEAST_SCORE), 1 - LEAST_SCORE)
    return math.log(bounded / (1 - bounded))


def sigmoid(value: float) -> float:
    """Return 1 / (1 + exp(-value))."""
    return 1 / (1 + math.exp(-min(max(value, -60.0), 60.0)))


def shift_prior(probability: float, *, before: float, after: float) -> float:
    """Carry a probability from one prevalence to another: its odds change as the odds of the prevalence do.

    It holds where sick and healthy cases look alike in both places and only their numbers differ (Saerens 2002).
    """
    if probability in {0.0, 1.0}:
        return probability
    odds = probability / (1 - probability) * (after / (1 - after)) / (before / (1 - before))
    return odds / (1 + odds)


class SetMethod(StrEnum):
    """How a conformal set is made: see service.pipelines.conformal."""

    LAC = "lac"
    APS = "aps"
    ORDINAL = "ordinal"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformalSet:
    """Sets that hold the true answer in `level` of cases like the `n` that the quantile of their scores is of.

    `quantile` is that of the conformity scores, in [0, 1]: of the method's score, not a share.
    """

    __pydantic_config__: ClassVar = STRICT
    target: str
    method: SetMethod
    level: float
    quantile: float
    n: int

    def __post_init__(self) -> None:
        if not 0.5 <= self.level < 1:
            raise ValueError(f"level is {self.level:g}; it must be at least 0.5 and below 1")
        if not 0 <= self.quantile <= 1:
            raise ValueError(f"quantile is {self.quantile:g}; conformity scores lie between 0 and 1")
        if conformal_rank(self.n, self.level) > self.n:
            raise ValueError(f"n {self.n} is too few for sets of level {self.level:g}")


def conformal_rank(n: int, level: float) -> int:
    """Return which of n scores, in rising order and from 1, assures the level as their quantile."""
    return math.ceil(round((n + 1) * level, 9))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The largest value of a graph's output, one for each item of a batch, that is still usual.

    `threshold` is the `quantile` of the values of `n` cases that the graph was not trained on.
    """

    __pydantic_config__: ClassVar = STRICT
    graph: str
    output: str
    threshold: float
    quantile: float
    n: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.threshold) and self.threshold > 0):
            raise ValueError(f"threshold is {self.threshold:g}; it must be finite and above 0")
        if not 0.5 <= self.quantile < 1:
            raise ValueError(f"quantile is {self.quantile:g}; it must be at least 0.5 and below 1")
        if self.n * (1 - self.quantile) < 1 - 1e-9:
            raise ValueError(f"n {self.n} is too few for a quantile of {self.quantile:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """Everything of it that a package declares; nothing where it declares nothing."""

    calibration: tuple[ScoreCalibration, ...] = ()
    conformal: tuple[ConformalSet, ...] = ()
    out_of_distribution: tuple[Limit, ...] = ()
    disagreement: tuple[Limit, ...] = ()

    def calibration_of(self, target: str) -> ScoreCalibration | None:
        """Return the calibration of a score, if there is one."""
        return next((entry for entry in self.calibration if entry.target == target), None)

    def sets_of(self, target: str) -> ConformalSet | None:
        """Return the sets of an answer, if there are any."""
        return next((entry for entry in self.conformal if entry.target == target), None)


UNDECLARED: Final = Reliability()
