# SPDX-License-Identifier: Apache-2.0
"""The analyst of a process that has no child processes: a command, or a member whose role analyses nothing."""

from collections.abc import Sequence

from service.domain.errors import WorkerUnavailableError
from service.domain.result import PackageIdentity, Reason
from service.ports import AnalysisRequest, AnalysisSummary, EncodeRequest, RejectRequest, ResultObject


class NoAnalyst:
    """Analyses nothing: that is somebody else's work, and to be asked for it is a fault."""

    def __init__(self, who: str) -> None:
        self._who = who

    def analyse(self, request: AnalysisRequest) -> AnalysisSummary:
        """See `ports.Analyst`."""
        raise WorkerUnavailableError(f"{self._who} analyses nothing ({request.pipeline})")

    def runs(self, package: PackageIdentity) -> bool:  # noqa: ARG002 - the port's form
        """See `ports.Analyst`."""
        return False

    def shadow(self, request: AnalysisRequest, key: str) -> AnalysisSummary:
        """See `ports.Analyst`."""
        raise WorkerUnavailableError(f"{self._who} analyses nothing ({request.pipeline}, {key})")

    def refuse(self, request: AnalysisRequest, reasons: Sequence[Reason]) -> AnalysisSummary:
        """See `ports.Analyst`."""
        raise WorkerUnavailableError(f"{self._who} refuses nothing ({request.pipeline}, {len(reasons)} reasons)")

    def encode(self, request: EncodeRequest) -> tuple[ResultObject, ...]:
        """See `ports.Analyst`."""
        raise WorkerUnavailableError(f"{self._who} encodes nothing ({request.analysis.pipeline})")

    def reject(self, request: RejectRequest) -> ResultObject:
        """See `ports.Analyst`."""
        raise WorkerUnavailableError(f"{self._who} encodes nothing ({request.analysis.pipeline})")
