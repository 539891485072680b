# SPDX-License-Identifier: Apache-2.0
"""Counts the patches of lung that are unlike the package's own (gate G3), or have no settled pattern (gate G4).

Of an ensemble it says as well how sure the vote is, and how far its members agree.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.domain.reliability import Reliability
from service.domain.result import Reason
from service.pipelines.certainty import indeterminate
from service.pipelines.confidence import ConfidenceTally
from service.pipelines.conformal import prediction_sets
from service.pipelines.diffuse_lung.acceptance import Acceptance
from service.pipelines.diffuse_lung.gates import reason
from service.pipelines.familiarity import OUT_OF_DISTRIBUTION, unusual_items

_BETWEEN: Final = "the two likeliest patterns"


class PatchTally:
    """Counts batches of patches as they pass through the graph; says nothing of what the package does not declare."""

    def __init__(self, reliability: Reliability, graph: str) -> None:
        self._graph = graph
        self._limits = reliability.out_of_distribution
        self._disagreement = reliability.disagreement
        self._sets = reliability.sets_of("pattern")
        self._patches = self._strange = self._unsettled = 0
        self._confidence = ConfidenceTally()

    def add(self, outputs: Mapping[str, NDArray[Any]]) -> None:
        """Count a batch: probability (N, K), and (N,) for each output of a limit or of confidence."""
        probability = outputs["probability"]
        count = len(probability)
        self._patches += count
        self._strange += int(unusual_items(self._limits, self._graph, outputs, count=count).sum())
        unsettled = unusual_items(self._disagreement, self._graph, outputs, count=count)
        if self._sets is not None:
            wide = probability.astype(np.float64)
            sets = prediction_sets(wide, method=self._sets.method, quantile=self._sets.quantile)
            unsettled |= sets.sum(axis=1) != 1
        self._unsettled += int(unsettled.sum())
        self._confidence.add(outputs, count=count)

    @property
    def strange_share(self) -> float | None:
        """The share of patches outside the training distribution; None where no limit is declared."""
        return self._share(self._strange) if self._limits else None

    @property
    def unsettled_share(self) -> float | None:
        """The share of patches without exactly one pattern in their set, or with models that disagree."""
        return self._share(self._unsettled) if self._sets or self._disagreement else None

    def _share(self, count: int) -> float:
        return round(count / self._patches, 4) if self._patches else 0.0

    def refusals(self, acceptance: Acceptance) -> Iterator[Reason]:
        """Yield why the series is refused: too much of the lung is unlike anything that the package has seen."""
        share, most = self.strange_share, acceptance.largest_out_of_distribution_share
        if share is not None and share > most:
            yield reason(
                OUT_OF_DISTRIBUTION,
                f"{100 * share:.0f} % of {self._patches} lung patches are outside the training distribution of the "
                f"package, at most {100 * most:g} % is accepted; the series is read without the package",
            )

    def flags(self, acceptance: Acceptance) -> Iterator[Reason]:
        """Yield the flag that much of the lung has no settled pattern."""
        share, most = self.unsettled_share, acceptance.largest_indeterminate_share
        if share is not None and share > most:
            yield indeterminate(
                f"{100 * share:.0f} % of {self._patches} lung patches have no settled pattern, at most {100 * most:g} "
                "% is usual; shares by pattern are no ground for triage"
            )

    def as_values(self) -> dict[str, float]:
        """Return the shares for the record."""
        shares = {"out_of_distribution_share": self.strange_share, "indeterminate_share": self.unsettled_share}
        known = {name: share for name, share in shares.items() if share is not None}
        return {**known, **self._confidence.as_values()}

    def lines(self) -> tuple[str, ...]:
        """Return the shares for people."""
        strange, unsettled = self.strange_share, self.unsettled_share
        outside = () if strange is None else (f"Lung patches outside the training distribution: {100 * strange:.0f} %",)
        doubted = () if unsettled is None else (f"Lung patches without a settled pattern: {100 * unsettled:.0f} %",)
        return (*outside, *doubted, *self._confidence.lines(between=_BETWEEN))
