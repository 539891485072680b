# SPDX-License-Identifier: Apache-2.0
"""The parent's side of analysis: requests go to a child process as JSON, summaries come back."""

from collections.abc import Sequence
from typing import Any

from service.bootstrap.messages import (
    ENCODE_REQUEST,
    OBJECT,
    OBJECTS,
    REASONS,
    REJECT_REQUEST,
    REQUEST,
    SUMMARY,
)
from service.bootstrap.observation import WorkObserver
from service.bootstrap.serving import Serving
from service.domain.result import PackageIdentity, Reason
from service.inference.worker import WorkerPool
from service.ports import AnalysisRequest, AnalysisSummary, EncodeRequest, RejectRequest, ResultObject


class ChildAnalyst:
    """`ports.Analyst` over pools of child processes; urgent studies go first when all children are busy."""

    def __init__(self, serving: Serving, observe: WorkObserver) -> None:
        self._serving = serving
        self._observe = observe

    def runs(self, package: PackageIdentity) -> bool:
        """See `ports.Analyst`."""
        return self._serving.runs(package)

    def analyse(self, request: AnalysisRequest) -> AnalysisSummary:
        """See `ports.Analyst`."""
        task = {"task": "analyse", "request": REQUEST.dump_python(request, mode="json")}
        pool = self._serving.pool(request.package)
        return SUMMARY.validate_python(self._call(pool, task, request)["summary"])

    def shadow(self, request: AnalysisRequest, key: str) -> AnalysisSummary:
        """See `ports.Analyst`."""
        task = {"task": "analyse", "request": REQUEST.dump_python(request, mode="json"), "package": key}
        pool = self._serving.shadow_pool()
        return SUMMARY.validate_python(self._call(pool, task, request)["summary"])

    def refuse(self, request: AnalysisRequest, reasons: Sequence[Reason]) -> AnalysisSummary:
        """See `ports.Analyst`."""
        task = {
            "task": "refuse",
            "request": REQUEST.dump_python(request, mode="json"),
            "reasons": REASONS.dump_python(tuple(reasons), mode="json"),
        }
        return SUMMARY.validate_python(self._call_any(task, request)["summary"])

    def encode(self, request: EncodeRequest) -> tuple[ResultObject, ...]:
        """See `ports.Analyst`."""
        task = {"task": "encode", "request": ENCODE_REQUEST.dump_python(request, mode="json")}
        return OBJECTS.validate_python(self._call_any(task, request.analysis)["objects"])

    def reject(self, request: RejectRequest) -> ResultObject:
        """See `ports.Analyst`."""
        task = {"task": "reject", "request": REJECT_REQUEST.dump_python(request, mode="json")}
        return OBJECT.validate_python(self._call_any(task, request.analysis)["object"])

    def _call_any(self, task: dict[str, Any], request: AnalysisRequest) -> dict[str, Any]:
        return self._call(self._serving.any_pool(), task, request)

    def _call(self, pool: WorkerPool, task: dict[str, Any], request: AnalysisRequest) -> dict[str, Any]:
        reply = pool.call(task, priority=request.priority)
        self._observe(reply.get("events", ()), request)
        return reply
