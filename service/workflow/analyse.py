# SPDX-License-Identifier: Apache-2.0
"""Runs a job's analysis; whatever happens, the job ends with a result that says so."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from service.domain.entry import JobRecord, JobState, PriorJob
from service.domain.errors import (
    DicomStructureError,
    InputError,
    PackageError,
    PixelError,
    WorkerError,
    WorkerUnavailableError,
)
from service.domain.event import (
    AnalysisRefused,
    Event,
    PriorityRaised,
    StageFailed,
    StageFinished,
    StudyAnalysed,
)
from service.domain.fetch import FetchOutcome, fetch_flag
from service.domain.instance import Instance
from service.domain.result import Priority, Reason
from service.domain.self_test import is_self_test
from service.domain.study import Refusal
from service.ports.analyst import AnalysisRequest, AnalysisSummary, PriorAnalysis
from service.ports.ledger import LedgerTransaction
from service.workflow.context import FlowParts
from service.workflow.drift import count_study, standing_caveats
from service.workflow.population import population_of
from service.workflow.prior import answer_with, heard
from service.workflow.quarantine import MAX_CRASHES, Quarantine
from service.workflow.shadow import plan_shadows
from service.workflow.stages import ANALYSE, ENCODE, NOTIFY, task, task_id
from service.workflow.triage import raised_priority

MAX_STARTS = 20
"""An analysis that was begun this often without an end takes the whole node down with it, and is set aside."""
ANALYSIS_FAILED = Reason(
    code="analysis_failed",
    message="the analysis failed repeatedly on these images; read them without CAD, and report the study key",
)
FAULTS: dict[type[Exception], str] = {
    PixelError: "pixels_unreadable",
    DicomStructureError: "header_unusable",
    InputError: "input_unusable",
    PackageError: "package_unusable",
}
"""Faults that another try cannot mend, and the reason codes that they become; the first that fits counts."""


def analysis_request(parts: FlowParts, job: JobRecord, instances: tuple[Instance, ...]) -> AnalysisRequest:
    """Return what the analyst needs; the same at every try, so that the result's bytes are too."""
    return AnalysisRequest(
        job_key=job.key,
        pipeline=job.pipeline,
        package=job.package,
        study_instance_uid=job.study_instance_uid,
        instances=instances,
        flags=job.flags if job.state is JobState.QUEUED else (),
        folder=parts.store.result_folder(job.key),
        analysed_at=datetime.fromtimestamp(job.created_at, tz=UTC).astimezone(),  # DICOM times are the place's
        priority=job.priority,
    )


class AnalyseJob:
    """The task that analyses a job."""

    def __init__(self, parts: FlowParts, *, stopping: Callable[[], bool]) -> None:
        self._parts = parts
        self._quarantine = Quarantine(parts)
        self._stopping = stopping

    def __call__(self, job_id: int, own_task_id: str) -> None:
        """Analyse the job, unless another task has it or a later revision took over."""
        started = self._parts.clock.monotonic()
        begun = self._begin(job_id, own_task_id)
        if begun is None:
            return
        job, request = begun
        summary = self._summary(job, request)
        with self._parts.ledger.transaction() as transaction:
            current = transaction.jobs.get(job_id)
            if not _is_ours(current, own_task_id):
                return
            priority = self._priority(current, request, summary)
            events = self._end(transaction, current, summary, priority)
        for event in events:
            self._parts.observer(event)
        self._observe_stage(current, started=started)
        if not current.as_prior:
            self._observe(current, summary, raised=priority is not current.priority)

    def _begin(self, job_id: int, own_task_id: str) -> tuple[JobRecord, AnalysisRequest] | None:
        """Count the start and return what is to be analysed; None where another task has the job."""
        with self._parts.ledger.transaction() as transaction:
            job = transaction.jobs.get(job_id)
            if not _is_ours(job, own_task_id):
                return None
            job = self._with_a_package(transaction, job)
            transaction.jobs.count_start(job_id)
            instances = transaction.jobs.instances(job_id)
            prior = transaction.jobs.prior(job_id)
            told, settled = heard(self._parts, transaction, job)
            companion = transaction.jobs.companion(job_id)
            caveats = (*standing_caveats(self._parts, transaction, job), *fetch_flags(told, prior))
            among = population_of(self._parts, transaction, job)
        for event in settled:
            self._parts.observer(event)
        request = analysis_request(self._parts, job, instances)
        where = self._where(prior)
        return job, replace(request, prior=where, companion=companion, caveats=caveats, population=among)

    def _priority(self, job: JobRecord, request: AnalysisRequest, summary: AnalysisSummary) -> Priority:
        """Return the priority after analysis; an older study and the phantom of a self-test are never urgent."""
        if job.as_prior or is_self_test(request.instances):
            return Priority.ROUTINE
        return raised_priority(job.priority, summary, job.package, settings=self._parts.settings)

    def _end(
        self, transaction: LedgerTransaction, job: JobRecord, summary: AnalysisSummary, priority: Priority
    ) -> tuple[Event, ...]:
        """Keep the outcome, and let follow what follows from it; return what to say of that."""
        events: tuple[Event, ...] = ()
        if job.as_prior:
            self._keep(transaction, job, summary)
        else:
            self._finish(transaction, job, summary=summary, priority=priority)
            events = self._counted(transaction, job, summary)
        return (*events, *answer_with(self._parts, transaction, job))

    def failed(self, job_id: int) -> None:
        """Count a failure that nobody foresaw; the reconciler tries again."""
        with self._parts.ledger.transaction() as transaction:
            transaction.jobs.count_crash(job_id)

    def not_tried(self, job_id: int) -> None:
        """Take back the start of a try that the machine's state prevented."""
        with self._parts.ledger.transaction() as transaction:
            transaction.jobs.discount_start(job_id)

    def _where(self, prior: PriorJob | None) -> PriorAnalysis | None:
        """Add the folder in which the prior's result lies."""
        if prior is None:
            return None
        return PriorAnalysis(
            study_instance_uid=prior.study_instance_uid,
            study_date=prior.study_date,
            package=prior.package,
            folder=self._parts.store.result_folder(prior.key) if prior.kept is None else Path(),
            kept=prior.kept,
        )

    def _with_a_package(self, transaction: LedgerTransaction, job: JobRecord) -> JobRecord:
        """Give a job whose package is no longer here (config.yaml changed while the node was down) to the present one.

        What the ledger says of the package and what the result says must be the same, or a package could raise a
        priority that another one was trusted with.
        """
        if job.package is None or self._parts.analyst.runs(job.package):
            return job
        present = self._parts.packages.get(job.pipeline)
        if present is None or job.pipeline not in self._parts.pipelines:
            return job  # its refusal names the package that it was made with
        instances = transaction.jobs.instances(job.id)
        choice = self._parts.pipelines[job.pipeline].select(instances, present.acceptance)
        refusals = choice.reasons if isinstance(choice, Refusal) else job.refusals
        transaction.jobs.adopt(job.id, present.identity, refusals=refusals)
        return transaction.jobs.get(job.id)

    def _summary(self, job: JobRecord, request: AnalysisRequest) -> AnalysisSummary:
        if job.refusals:
            return self._parts.analyst.refuse(request, job.refusals)
        ended_by = "the node" if job.starts >= MAX_STARTS else ""
        for crash in range(job.crashes, MAX_CRASHES if job.starts < MAX_STARTS else 0):
            try:
                return self._parts.analyst.analyse(request)
            except (InputError, PackageError) as error:
                return self._parts.analyst.refuse(request, (_reason(error),))
            except WorkerUnavailableError:
                raise
            except WorkerError as error:
                if self._stopping():  # the node took the child away: that says nothing about the study
                    raise
                self._count_crash(job, error, last=crash + 1 == MAX_CRASHES)
                ended_by = error.ended_by or type(error).__name__
        self._set_aside(job, request, ended_by=ended_by)
        return self._parts.analyst.refuse(request, (ANALYSIS_FAILED,))

    def _set_aside(self, job: JobRecord, request: AnalysisRequest, *, ended_by: str) -> None:
        """Put the study into the quarantine, once."""
        self._quarantine.poison(job, request.instances, ended_by=ended_by, stage=ANALYSE)

    def _count_crash(self, job: JobRecord, error: WorkerError, *, last: bool) -> None:
        with self._parts.ledger.transaction() as transaction:
            transaction.jobs.count_crash(job.id)
        self._parts.observer(
            StageFailed(
                stage=ANALYSE,
                study_key=self._parts.study_key(job.study_instance_uid),
                pipeline=job.pipeline,
                error=type(error).__name__,
                retryable=not last,
                detail=str(error),  # a child passes on types and places only, see inference/worker_child
            )
        )

    def _keep(self, transaction: LedgerTransaction, job: JobRecord, summary: AnalysisSummary) -> None:
        """Keep the result for comparison: nothing is written, sent, raised or counted."""
        now = self._parts.now()
        transaction.jobs.analysed(job.id, summary, priority=Priority.ROUTINE, task_id="", at=now)
        transaction.jobs.end(job.id, JobState.FINISHED, at=now)

    def _counted(self, transaction: LedgerTransaction, job: JobRecord, summary: AnalysisSummary) -> tuple[Event, ...]:
        """Count a study where those of every day are counted; return what to say of that."""
        skipped = plan_shadows(self._parts, transaction, job, summary, at=self._parts.now())
        return (*skipped, *count_study(self._parts, transaction, job, summary, at=self._parts.now()))

    def _finish(
        self, transaction: LedgerTransaction, job: JobRecord, *, summary: AnalysisSummary, priority: Priority
    ) -> None:
        now, attempt = self._parts.now(), job.attempt
        encode = task(ENCODE, job.id, attempt=attempt, priority=priority)
        transaction.jobs.analysed(job.id, summary, priority=priority, task_id=encode.task_id, at=now)
        transaction.enqueue(encode)
        if priority is Priority.URGENT:
            self._notify(transaction, job, names=tuple(self._parts.notifiers), now=now)

    def _notify(self, transaction: LedgerTransaction, job: JobRecord, *, names: Sequence[str], now: float) -> None:
        for name in names:
            row = transaction.deliveries.add_notification(
                job.id, name, task_id=lambda row_id: task_id(NOTIFY, row_id, 0), at=now
            )
            if row is not None:
                transaction.enqueue(task(NOTIFY, row.id, attempt=0, priority=Priority.URGENT))

    def _observe_stage(self, job: JobRecord, *, started: float) -> None:
        key, seconds = self._parts.study_key(job.study_instance_uid), self._parts.clock.monotonic() - started
        self._parts.observer(StageFinished(stage=ANALYSE, seconds=seconds, study_key=key, pipeline=job.pipeline))

    def _observe(self, job: JobRecord, summary: AnalysisSummary, *, raised: bool) -> None:
        key = self._parts.study_key(job.study_instance_uid)
        self._parts.observer(_analysed(job, summary, study_key=key))
        for reason in summary.refusals:
            self._parts.observer(AnalysisRefused(study_key=key, pipeline=job.pipeline, reason=reason.code))
        if raised:
            self._parts.observer(PriorityRaised(study_key=key, pipeline=job.pipeline))


def fetch_flags(told: FetchOutcome, prior: PriorJob | None) -> tuple[Reason, ...]:
    """Return why a result is without comparison, where an older study was looked for."""
    flag = fetch_flag(told) if prior is None else None
    return () if flag is None else (flag,)


def _is_ours(job: JobRecord, own_task_id: str) -> bool:
    return job.state is JobState.QUEUED and job.task_id == own_task_id


def _analysed(job: JobRecord, summary: AnalysisSummary, *, study_key: str) -> StudyAnalysed:
    triage = summary.triage
    return StudyAnalysed(
        study_key=study_key,
        pipeline=job.pipeline,
        package=job.package.name if job.package else "",
        version=job.package.version if job.package else "",
        outcome=summary.outcome.value,
        score=-1.0 if triage is None else triage.score,
        positive=triage is not None and triage.above_operating_point,
    )


def _reason(error: Exception) -> Reason:
    code = next(code for fault, code in FAULTS.items() if isinstance(error, fault))
    return Reason(code=code, message=str(error))
