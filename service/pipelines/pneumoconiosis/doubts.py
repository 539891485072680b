# SPDX-License-Identifier: Apache-2.0
"""What the package says of how far a reading is to be believed; nothing where it is silent."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from service.domain.result import Finding, Reason
from service.pipelines import familiarity
from service.pipelines.certainty import calibrate, disagreement_flags, stated_score
from service.pipelines.confidence import ConfidenceTally
from service.pipelines.familiarity import Distance, Outputs
from service.pipelines.pneumoconiosis.profusion_sets import profusion_sets
from service.pipelines.pneumoconiosis.reading import FilmReading
from service.ports import Package

_BETWEEN: Final = "1/0 or more and less"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubts:
    """Flags for the result, numbers for the record, and lines for people."""

    flags: tuple[Reason, ...]
    values: dict[str, Any]
    lines: tuple[str, ...]


def doubts_of(reading: FilmReading, package: Package, *, outputs: Outputs, disagreement: Sequence[Distance]) -> Doubts:
    """Return what calibration, sets and the votes of several members say of a reading.

    Parameters
    ----------
    outputs
        Of the graph that read the zones.
    """
    votes = ConfidenceTally()
    votes.add(outputs, count=len(reading.zones))
    sets = profusion_sets(reading, package.reliability)
    return Doubts(
        flags=(*sets.flags(), *disagreement_flags(disagreement, name="the film")),
        values={
            **familiarity.as_values(disagreement),
            **votes.as_values(),
            **_calibrated(reading, package),
            **sets.as_values(),
        },
        lines=(*sets.lines(reading), *votes.lines(between=_BETWEEN)),
    )


def _calibrated(reading: FilmReading, package: Package) -> dict[str, float]:
    found = {"overall": calibrate(package, "film", reading.score)}
    found |= {f"zone_{zone.name}": calibrate(package, "zone", zone.score) for zone in reading.zones}
    return {key: value for name, entry in found.items() if entry for key, value in entry.as_values(name).items()}


def as_stated(finding: Finding, package: Package) -> Finding:
    """Return the finding of the film or a zone with its calibrated score, where there is one that may be shown."""
    if finding.score is None or finding.key.startswith("large-"):  # the score of a detector is neither of the two
        return finding
    score, calibrated = stated_score(package, "film" if finding.key == "film" else "zone", finding.score)
    return replace(finding, score=round(score, 6), calibrated=calibrated)
