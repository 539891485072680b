# SPDX-License-Identifier: Apache-2.0
"""Gate G4 and calibration, for every pipeline: what a score means, and whether the answer is settled at all.

A package that declares neither has scores as they are. An unsettled answer is a flag: the score is shown, and triage
does not act on it (workflow/triage).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from service.domain.result import PackageStatus, Reason
from service.pipelines.familiarity import Distance
from service.ports import Package

INDETERMINATE: Final = "indeterminate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """A score as a probability, at the prevalence of the calibration cases and, where that is known, at the site's.

    `is_shown` is false for a demonstration, whose probabilities are for the record alone.
    """

    probability: float
    prevalence: float
    at_site: float | None
    site_prevalence: float | None
    is_shown: bool

    @property
    def best(self) -> float:
        """The number that a result states: the site's where its prevalence is known."""
        return self.probability if self.at_site is None else self.at_site

    @property
    def line(self) -> str:
        """The numbers for people."""
        line = f"Calibrated: {self.probability:.2f} at a prevalence of {100 * self.prevalence:.3g} %"
        if self.at_site is None or self.site_prevalence is None:
            return line
        return f"{line}, {self.at_site:.2f} at the site's {100 * self.site_prevalence:.3g} %"

    def as_values(self, name: str) -> dict[str, float]:
        """Return both numbers for the record."""
        site = {} if self.at_site is None else {f"{name}_calibrated_at_site": round(self.at_site, 6)}
        return {f"{name}_calibrated": round(self.probability, 6), **site}


def calibrate(package: Package, target: str, score: float) -> Calibrated | None:
    """Return what a score in [0, 1] means; None where the package declares no calibration of it."""
    calibration = package.reliability.calibration_of(target)
    if calibration is None:
        return None
    probability = calibration.apply(score)
    return Calibrated(
        probability=probability,
        prevalence=calibration.prevalence,
        at_site=calibration.at_site(probability),
        site_prevalence=calibration.site_prevalence,
        is_shown=package.identity.status is not PackageStatus.DEMONSTRATION,
    )


def stated_score(package: Package, target: str, score: float) -> tuple[float, bool]:
    """Return the score that a finding states, and whether it is calibrated: never for a demonstration."""
    found = calibrate(package, target, score)
    return (score, False) if found is None or not found.is_shown else (found.best, True)


def shown_lines(found: Calibrated | None) -> tuple[str, ...]:
    """Return the line of a calibrated score that may be shown."""
    return (found.line,) if found is not None and found.is_shown else ()


def disagreement_flags(distances: Sequence[Distance], *, name: str = "the image") -> tuple[Reason, ...]:
    """Flag an image on which the members of an ensemble disagree more than they usually do."""
    above = [distance for distance in distances if distance.is_unusual]
    return tuple(
        indeterminate(
            f"{name}: {each.limit.output} {each.value:.3g} of the models is above {each.limit.threshold:.3g}; they "
            "disagree, and the score is no ground for triage"
        )
        for each in above
    )


def indeterminate(message: str) -> Reason:
    """Return the flag that the answer is not settled."""
    return Reason(code=INDETERMINATE, message=message)
