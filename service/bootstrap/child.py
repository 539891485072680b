# SPDX-License-Identifier: Apache-2.0
"""What runs in the child process: it loads the packages once, then analyses and encodes on request."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from service.bootstrap.encoding import EncodingJob, Written, objects_folder
from service.bootstrap.messages import (
    CHOICES,
    ENCODE_REQUEST,
    OBJECT,
    OBJECTS,
    REASONS,
    REJECT_REQUEST,
    REPORTS,
    REQUEST,
    SUMMARY,
)
from service.bootstrap.observation import to_json
from service.bootstrap.packages import PackageChoice, golden_reports, load_choices
from service.bootstrap.prior import selection_of
from service.bootstrap.refusal import refusal_of
from service.domain.companion import with_companion
from service.domain.errors import PackageError
from service.domain.event import Event, ObjectHeld, SourceItemsLeftOut
from service.domain.population import with_decile
from service.domain.profile import DEFAULT_PROFILE
from service.domain.record import load_result, save_result
from service.domain.result import Outcome, PipelineResult
from service.inference.package import LoadedPackage
from service.pipelines import PIPELINES
from service.pipelines.monitored import monitored
from service.ports import AnalysisRequest, AnalysisSummary, ResultContext, ResultObject
from service.results.gate import Gate, check_object
from service.results.report.predecessors import with_series
from service.results.report.rejection_note import encode_rejection_note
from service.storage.flush import flush_folder

Reply = dict[str, Any]
Handler = Callable[[dict[str, Any]], Reply]


def start(initial: Mapping[str, Any]) -> Handler:
    """Load and verify the packages named in `initial`, and return the function that answers requests."""
    return Child(CHOICES.validate_python(initial["packages"]))


class Child:
    """Answers requests with JSON types; warm packages by pipeline name, or by the key of a shadow."""

    def __init__(self, choices: Mapping[str, PackageChoice]) -> None:
        self._events: list[Event] = []
        self._loaded, self._reports = load_choices(choices, self._events.append)
        self._tasks: dict[str, Handler] = {
            "packages": self._packages,
            "golden": self._golden,
            "analyse": self._analyse,
            "refuse": self._refuse,
            "encode": self._encode,
            "reject": self._reject,
        }

    def __call__(self, task: dict[str, Any]) -> Reply:
        """Run one task; the reply carries the events that happened on the way."""
        self._events.clear()
        reply = self._tasks[task["task"]](task)
        return {**reply, "events": [to_json(event) for event in self._events]}

    def report(self) -> Reply:
        """Return what became of each package at the start."""
        return {"packages": REPORTS.dump_python(self._reports, mode="json")}

    def _packages(self, task: dict[str, Any]) -> Reply:  # noqa: ARG002 - one signature for all tasks
        return self.report()

    def _golden(self, task: dict[str, Any]) -> Reply:  # noqa: ARG002
        """Have every package reproduce its golden outputs once more."""
        return {"packages": REPORTS.dump_python(golden_reports(self._loaded), mode="json")}

    def _analyse(self, task: dict[str, Any]) -> Reply:
        request = REQUEST.validate_python(task["request"])
        package = self._package(task.get("package", request.pipeline))
        result = PIPELINES[request.pipeline].run(selection_of(request), package, analysed_at=request.analysed_at)
        return self._keep(with_context(result, request), request)

    def _package(self, key: str) -> LoadedPackage:
        package = self._loaded.get(key)
        if package is None:
            report = self._reports.get(key)
            raise PackageError(report.error if report else f"no package is configured for '{key}'")
        return package

    def _refuse(self, task: dict[str, Any]) -> Reply:
        request = REQUEST.validate_python(task["request"])
        reasons = REASONS.validate_python(task["reasons"])
        return self._keep(refusal_of(request, reasons), request)

    @staticmethod
    def _keep(result: PipelineResult, request: AnalysisRequest) -> Reply:
        save_result(result, request.folder)
        flush_folder(request.folder)  # the ledger must not name what a power cut could take away
        return {"summary": _summary(result, request)}

    def _encode(self, task: dict[str, Any]) -> Reply:
        request = ENCODE_REQUEST.validate_python(task["request"])
        job = EncodingJob(request)
        with Gate() as gate:
            begun = [(item, gate.begin(item.encoded.path)) for item in job.written()]
            objects = [self._checked(item, problems()) for item, problems in begun]
        for folder in {item.path.parent for item in objects} | {request.analysis.folder}:
            flush_folder(folder)
        self._events += [ObjectHeld(study_key="", kind=kind, reason="encoder") for kind, _ in job.failures]
        sequences = job.left_out()
        self._events += [SourceItemsLeftOut(study_key="", sequences=sequences)] if sequences else []
        made = (*objects, *job.failed())
        return {"objects": OBJECTS.dump_python(made, mode="json")}

    def _checked(self, item: Written, problems: tuple[str, ...]) -> ResultObject:
        """Return an object as the ledger keeps it; one that failed stays in the folder, beside a file that says why.

        The reasons may quote header values: the ledger and the log get them without.
        """
        if problems:
            item.encoded.path.with_suffix(".held.txt").write_text("\n".join(problems) + "\n", encoding="utf-8")
            self._events.append(ObjectHeld(study_key="", kind=item.encoded.kind, reason="gate"))
        return item.as_result_object(problems)

    def _reject(self, task: dict[str, Any]) -> Reply:
        request = REJECT_REQUEST.validate_python(task["request"])
        rejected = tuple(map(with_series, request.rejected))
        folder = objects_folder(request.analysis.folder)
        encoded = encode_rejection_note(
            load_result(request.analysis.folder),
            ResultContext(sources=request.analysis.instances, revision=1, priority=request.analysis.priority),
            folder,
            sop_instance_uid=request.sop_instance_uid,
            rejected=rejected,
        )
        note = self._checked(Written(encoded=encoded, profile=DEFAULT_PROFILE), check_object(encoded.path))
        flush_folder(folder)
        return {"object": OBJECT.dump_python(note, mode="json")}


def with_context(result: PipelineResult, request: AnalysisRequest) -> PipelineResult:
    """Return the result with what the node knows beside the images: other studies, the site's own, and caveats."""
    ranked = with_decile(result, request.population)
    return with_caveats(with_companion(ranked, request.companion), request)


def with_caveats(result: PipelineResult, request: AnalysisRequest) -> PipelineResult:
    """Return the result with what the node has to add; a study that was not analysed claims nothing to be doubted."""
    if result.outcome is Outcome.NOT_ANALYSED:
        return result
    return replace(result, flags=(*result.flags, *request.caveats))


def _summary(result: PipelineResult, request: AnalysisRequest) -> Any:
    summary = AnalysisSummary(
        outcome=result.outcome,
        headline=result.headline,
        refusals=result.refusals,
        flags=result.flags,
        triage=result.triage,
        monitored=monitored(result, request.instances) if request.instances else None,
    )
    return SUMMARY.dump_python(summary, mode="json")
