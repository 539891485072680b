# SPDX-License-Identifier: Apache-2.0
"""The parent's side of analysis: requests go to a child process as JSON, summaries come back."""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter

from service.bootstrap.observation import WorkObserver
from service.domain.result import Reason
from service.inference.worker import WorkerPool
from service.ports import AnalysisRequest, AnalysisSummary, EncodeRequest, RejectRequest, ResultObject

REQUEST = TypeAdapter(AnalysisRequest)
SUMMARY = TypeAdapter(AnalysisSummary)
ENCODE_REQUEST = TypeAdapter(EncodeRequest)
REASONS = TypeAdapter(tuple[Reason, ...])
REJECT_REQUEST = TypeAdapter(RejectRequest)
OBJECT = TypeAdapter(ResultObject)
OBJECTS = TypeAdapter(tuple[ResultObject, ...])


class ChildAnalyst:
    """`ports.Analyst` over a pool of child processes; urgent studies go first when all children are busy."""

    def __init__(self, pool: WorkerPool, observe: WorkObserver) -> None:
        self._pool = pool
        self._observe = observe

    def analyse(self, request: AnalysisRequest) -> AnalysisSummary:
        """See `ports.Analyst`."""
        task = {"task": "analyse", "request": REQUEST.dump_python(request, mode="json")}
        return SUMMARY.validate_python(self._call(task, request)["summary"])

    def refuse(self, request: AnalysisRequest, reasons: Sequence[Reason]) -> AnalysisSummary:
        """See `ports.Analyst`."""
        task = {
            "task": "refuse",
            "request": REQUEST.dump_python(request, mode="json"),
            "reasons": REASONS.dump_python(tuple(reasons), mode="json"),
        }
        return SUMMARY.validate_python(self._call(task, request)["summary"])

    def encode(self, request: EncodeRequest) -> tuple[ResultObject, ...]:
        """See `ports.Analyst`."""
        task = {"task": "encode", "request": ENCODE_REQUEST.dump_python(request, mode="json")}
        return OBJECTS.validate_python(self._call(task, request.analysis)["objects"])

    def reject(self, request: RejectRequest) -> ResultObject:
        """See `ports.Analyst`."""
        task = {"task": "reject", "request": REJECT_REQUEST.dump_python(request, mode="json")}
        return OBJECT.validate_python(self._call(task, request.analysis)["object"])

    def _call(self, task: dict[str, Any], request: AnalysisRequest) -> dict[str, Any]:
        reply = self._pool.call(task, priority=request.priority)
        self._observe(reply.get("events", ()), request)
        return reply
