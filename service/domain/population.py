# SPDX-License-Identifier: Apache-2.0
"""Where a study's score stands among those that the site has seen: a rank in tenths, and no probability."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from service.domain.result import Outcome, PipelineResult

LEAST_EXAMS: Final = 200
"""Exams below which a tenth holds fewer than twenty and says nothing."""
MOST_EXAMS: Final = 5_000
"""Latest exams that count: enough for tenths, and a change of the site is forgotten in the end."""
WHOLE: Final = (Outcome.FINDINGS, Outcome.NO_FINDINGS)
"""Outcomes whose score is of the whole exam; only these count, and only these are ranked."""
RANKED: Final[Mapping[str, str]] = MappingProxyType({"mammography": "Exam score"})
"""Pipelines whose score is ranked, and what reports call it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """The scores of the site's earlier exams of one package: their number and the nine values between tenths."""

    exams: int
    cuts: tuple[float, ...]

    def decile(self, score: float) -> int:
        """Return 1 for the tenth with the lowest scores, up to 10; of equal scores the lower tenth."""
        return 1 + sum(score > cut for cut in self.cuts)


def population(scores: Sequence[float]) -> Population | None:
    """Return the population of these scores; None while they are too few."""
    if len(scores) < LEAST_EXAMS:
        return None
    ordered = sorted(scores)
    cuts = tuple(ordered[-(-len(ordered) * tenth // 10) - 1] for tenth in range(1, 10))
    return Population(exams=len(ordered), cuts=cuts)


def with_decile(result: PipelineResult, among: Population | None) -> PipelineResult:
    """Return the result with its place in the population, where it has a score of the whole exam."""
    name = RANKED.get(result.pipeline)
    if among is None or name is None or result.triage is None or result.outcome not in WHOLE:
        return result
    decile = among.decile(result.triage.score)
    line = f"{name} in decile {decile} of {among.exams} exams at this site: a rank, no probability"
    return replace(
        result,
        summary=(*result.summary, line),
        values={**result.values, "decile": decile, "decile_exams": among.exams},
    )
