# SPDX-License-Identifier: Apache-2.0
"""What a shadow package says of a study that an active one has analysed: kept and compared, and told to nobody."""

from dataclasses import dataclass
from enum import StrEnum

from service.domain.result import PackageIdentity


class ShadowState(StrEnum):
    """Where the run of a shadow package stands; all but `PENDING` are final."""

    PENDING = "pending"
    COMPARED = "compared"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a package says of a study, as far as two packages are compared; None where it gives no triage score."""

    outcome: str
    score: float | None = None
    above_operating_point: bool | None = None

    def agrees_with(self, other: "Verdict") -> bool:
        """Whether both would have had the same consequence: the same outcome, on the same side of triage."""
        same_side = self.above_operating_point == other.above_operating_point
        return self.outcome == other.outcome and same_side

    def difference_from(self, other: "Verdict") -> float | None:
        """Return the absolute difference of the scores; None where one of them has none."""
        if self.score is None or other.score is None:
            return None
        return abs(self.score - other.score)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowRun:
    """A shadow package on the study of one job; `active` is what the active package said."""

    id: int
    job_id: int
    package: PackageIdentity
    state: ShadowState
    active: Verdict
    tries: int
    attempt: int
    task_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowSummary:
    """How a shadow package compares over all its runs; `score_difference` and `seconds` are means, None of nothing."""

    pipeline: str
    package: str
    version: str
    pending: int
    compared: int
    disagreed: int
    failed: int
    score_difference: float | None
    seconds: float | None
