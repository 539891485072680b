# SPDX-License-Identifier: Apache-2.0
"""The real encoders, gate and records of a child process, called in this one; the analysis itself is made up."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydicom.dataset import Dataset

from harness.studies import result_of, source_dataset, uid
from service.bootstrap.child import Child
from service.bootstrap.messages import (
    ENCODE_REQUEST,
    OBJECT,
    OBJECTS,
    REASONS,
    REJECT_REQUEST,
    REQUEST,
    SUMMARY,
)
from service.domain.record import save_result
from service.domain.result import Outcome, PackageIdentity, Reason
from service.ports import AnalysisRequest, AnalysisSummary, EncodeRequest, RejectRequest, ResultObject


@dataclass
class InProcessAnalyst:
    """`ports.Analyst` in this process: every CT study has the same findings."""

    child: Child = field(default_factory=lambda: Child({}))
    encoded: list[EncodeRequest] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    outcome: Outcome = Outcome.FINDINGS

    def analyse(self, request: AnalysisRequest) -> AnalysisSummary:
        result = result_of("CT", request.instances, self.outcome, analysed_at=request.analysed_at)
        result = replace(result, package=request.package)
        save_result(result, request.folder)
        return AnalysisSummary(outcome=result.outcome, headline=result.headline)

    def runs(self, package: PackageIdentity) -> bool:  # noqa: ARG002 - the port's form
        return True

    def shadow(self, request: AnalysisRequest, key: str) -> AnalysisSummary:  # noqa: ARG002
        return self.analyse(request)

    def refuse(self, request: AnalysisRequest, reasons: Sequence[Reason]) -> AnalysisSummary:
        task = {
            "task": "refuse",
            "request": REQUEST.dump_python(request, mode="json"),
            "reasons": REASONS.dump_python(tuple(reasons), mode="json"),
        }
        return SUMMARY.validate_python(self._call(task)["summary"])

    def encode(self, request: EncodeRequest) -> tuple[ResultObject, ...]:
        self.encoded.append(request)
        task = {"task": "encode", "request": ENCODE_REQUEST.dump_python(request, mode="json")}
        return OBJECTS.validate_python(self._call(task)["objects"])

    def reject(self, request: RejectRequest) -> ResultObject:
        task = {"task": "reject", "request": REJECT_REQUEST.dump_python(request, mode="json")}
        return OBJECT.validate_python(self._call(task)["object"])

    def _call(self, task: dict[str, Any]) -> dict[str, Any]:
        reply = self.child(task)
        self.events += reply["events"]
        return reply


def slice_dataset(number: int, *, study: int = 1) -> Dataset:
    """A CT slice with pixels, of one of several studies."""
    dataset = source_dataset("CT", number)
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, name, uid(name, study, number if name == "SOPInstanceUID" else 0))
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.SamplesPerPixel, dataset.PixelRepresentation = 15, 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = bytes(2 * dataset.Rows * dataset.Columns)
    dataset["PixelData"].VR = "OW"
    return dataset
