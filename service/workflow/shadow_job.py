# SPDX-License-Identifier: Apache-2.0
"""Runs one shadow package on one study, and compares it with what the active package said."""

from dataclasses import replace
from pathlib import Path

from service.domain.entry import JobRecord
from service.domain.errors import InputError, PackageError, WorkerError, WorkerUnavailableError
from service.domain.event import ShadowCompared
from service.domain.instance import Instance
from service.domain.result import Outcome
from service.domain.shadow import ShadowRun, ShadowState
from service.domain.study import Refusal
from service.ports.analyst import AnalysisRequest, AnalysisSummary, InstalledPackage
from service.workflow.analyse import analysis_request
from service.workflow.context import FlowParts
from service.workflow.shadow import verdict_of

MAX_TRIES = 2


class ShadowJob:
    """The task that runs one shadow package on one study."""

    def __init__(self, parts: FlowParts) -> None:
        self._parts = parts

    def __call__(self, run_id: int, own_task_id: str) -> None:
        """Run and compare, unless another task has it."""
        with self._parts.ledger.transaction() as transaction:
            run = transaction.shadows.get(run_id)
            if not _is_ours(run, own_task_id):
                return
            transaction.shadows.count_try(run_id)
            job = transaction.jobs.get(run.job_id)
            instances = transaction.studies.instances_of_revision(job.revision_id)
        found = self._shadow(run, job)
        if found is None:
            self._fail(run, job, error="not_configured")
            return
        started = self._parts.clock.monotonic()
        try:
            summary = self._summary(job, found, instances)
        except WorkerUnavailableError:
            raise  # nothing was tried: the reconciler comes again
        except (InputError, PackageError, WorkerError) as error:
            if isinstance(error, WorkerError) and run.tries + 1 < MAX_TRIES:
                raise
            self._fail(run, job, error=type(error).__name__)
            return
        self._compare(run, job, summary, seconds=self._parts.clock.monotonic() - started)

    def _shadow(self, run: ShadowRun, job: JobRecord) -> tuple[str, InstalledPackage] | None:
        """Return the shadow that the run was made for, unless config.yaml has others by now."""
        shadows = self._parts.shadows(job.pipeline)
        return next((item for item in shadows if item[1].identity.sha256 == run.package.sha256), None)

    def _summary(
        self, job: JobRecord, shadow: tuple[str, InstalledPackage], instances: tuple[Instance, ...]
    ) -> AnalysisSummary:
        """Select by the shadow's own acceptance profile, as if it were the active package, and analyse."""
        key, package = shadow
        choice = self._parts.pipelines[job.pipeline].select(instances, package.acceptance)
        if isinstance(choice, Refusal):
            return AnalysisSummary(outcome=Outcome.NOT_ANALYSED, headline="", refusals=choice.reasons)
        request = analysis_request(self._parts, job, choice.instances)
        folder = _folder(request, package)
        folder.mkdir(exist_ok=True)
        aside = replace(request, package=package.identity, flags=choice.flags, folder=folder)
        return self._parts.analyst.shadow(aside, key)

    def _compare(self, run: ShadowRun, job: JobRecord, summary: AnalysisSummary, *, seconds: float) -> None:
        verdict = verdict_of(summary)
        with self._parts.ledger.transaction() as transaction:
            if transaction.shadows.get(run.id).state is not ShadowState.PENDING:
                return
            transaction.shadows.compared(
                run.id, verdict, headline=summary.headline, seconds=seconds, at=self._parts.now()
            )
        difference = verdict.difference_from(run.active)
        self._parts.observer(
            ShadowCompared(
                study_key=self._parts.study_key(job.study_instance_uid),
                pipeline=job.pipeline,
                package=run.package.name,
                version=run.package.version,
                result="agrees" if verdict.agrees_with(run.active) else "differs",
                score_difference=-1.0 if difference is None else difference,
                seconds=seconds,
            )
        )

    def _fail(self, run: ShadowRun, job: JobRecord, *, error: str) -> None:
        with self._parts.ledger.transaction() as transaction:
            transaction.shadows.failed(run.id, error=error, at=self._parts.now())
        self._parts.observer(
            ShadowCompared(
                study_key=self._parts.study_key(job.study_instance_uid),
                pipeline=job.pipeline,
                package=run.package.name,
                version=run.package.version,
                result="failed",
            )
        )


def _folder(request: AnalysisRequest, package: InstalledPackage) -> Path:
    """Return the shadow's place beside the result of the active package, which it must not touch."""
    return request.folder / f"shadow-{package.identity.sha256[:12]}"


def _is_ours(run: ShadowRun, own_task_id: str) -> bool:
    return run.state is ShadowState.PENDING and run.task_id == own_task_id
