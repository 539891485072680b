# SPDX-License-Identifier: Apache-2.0
"""Applies the site's rules to a frozen revision and makes one job for each pipeline that wants it."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from service.domain.entry import JobRecord, JobState, NewJob, RevisionRecord
from service.domain.errors import InputError
from service.domain.event import StageFailed, StageFinished, StudyRouted
from service.domain.instance import Instance, sop_instance_uids
from service.domain.result import PackageIdentity, Priority, Reason
from service.domain.self_test import is_self_test
from service.domain.study import Refusal, Selection
from service.ports.ledger import LedgerTransaction
from service.settings import RuleSettings
from service.workflow.context import FlowParts
from service.workflow.prior import answer_others, begin, patients, wanted_as_prior
from service.workflow.rules import matching_rules, wanted_pipelines
from service.workflow.stages import ANALYSE, ROUTE, task_id

REPLAY = "replay"
"""Why a revision was frozen that a person asked for; followed by ":" and a pipeline where it is about that one."""


class RouteRevision:
    """The task that turns a revision into jobs."""

    def __init__(self, parts: FlowParts) -> None:
        self._parts = parts

    def __call__(self, revision_id: int, own_task_id: str) -> None:
        """Route the revision, unless that has been done."""
        started = self._parts.clock.monotonic()
        with self._parts.ledger.reading() as view:
            revision = view.studies.revision(revision_id)
            if not _is_ours(revision, own_task_id):
                return
            instances = view.studies.instances_of_revision(revision_id)
            study = view.studies.study(revision.study_id)
            asked = view.fetches.of_study(revision.study_instance_uid)
        rules = matching_rules(self._parts.settings.rules, instances)
        asked_for = replayed_pipeline(revision.reason)
        names = [name for name in wanted_pipelines(rules) if asked_for in {"", name}]
        if study.fetched:
            names = wanted_as_prior(names, asked, instances, reason=revision.reason)
        jobs = [self._job(revision, name, rules=rules, instances=instances) for name in names]
        jobs = [replace(job, as_prior=1, priority=Priority.ROUTINE) for job in jobs] if study.fetched else jobs
        with self._parts.ledger.transaction() as transaction:
            if not _is_ours(transaction.studies.revision(revision_id), own_task_id):
                return
            at_work = self._create(transaction, revision, rules=rules, jobs=jobs)
            settled = answer_others(self._parts, transaction, asked, at_work, patients=patients(instances))
        for event in settled:
            self._parts.observer(event)
        self._observe(revision, rules, seconds=self._parts.clock.monotonic() - started)

    def _create(
        self,
        transaction: LedgerTransaction,
        revision: RevisionRecord,
        *,
        rules: Sequence[RuleSettings],
        jobs: Iterable[NewJob],
    ) -> frozenset[str]:
        """Create the jobs; return the pipelines that are at work on the study, or will be."""
        now = self._parts.now()
        for job in jobs:
            added = self._added(transaction, revision, job, at=now)
            if added is not None:  # else the same work is done already, and its result stands
                begin(self._parts, transaction, added)
        names = [rule.name for rule in rules]
        transaction.studies.routed(revision.id, rules=names, pipelines=wanted_pipelines(rules), at=now)
        of_study = transaction.jobs.of_study(revision.study_id)
        return frozenset(job.pipeline for job in of_study if job.state is JobState.QUEUED)

    def _added(
        self, transaction: LedgerTransaction, revision: RevisionRecord, job: NewJob, *, at: float
    ) -> JobRecord | None:
        """Return the job to be done, or to be done again; None when there is nothing to do.

        Images that were deleted cannot be analysed: the result that was made of them stands. Where others came too, the
        study is answered as not analysed, by what is here.
        """
        inputs = set(job.input_sop_instance_uids)
        images = [item for item in transaction.studies.instances(job.study_id) if item.sop_instance_uid in inputs]
        present = [item for item in images if not item.is_deleted]
        if len(present) < len(images):
            if not present or transaction.jobs.covers(job):
                return None
            job = _without_images(job, images, present)
        added = transaction.jobs.add(job, task_id=lambda row_id: task_id(ANALYSE, row_id, 0), at=at)
        if added is None and (self._claimed(transaction, job, at=at) or revision.reason.startswith(REPLAY)):
            return transaction.jobs.again(job.study_id, job.pipeline, task_id=partial(task_id, ANALYSE), at=at)
        return added

    def _claimed(self, transaction: LedgerTransaction, job: NewJob, *, at: float) -> bool:
        """Say whether the same work was done for comparison alone, and is from now on that of an ordinary study."""
        if job.as_prior:
            return False
        return transaction.jobs.claim(job.study_id, job.pipeline, priority=job.priority, at=at) is not None

    def _job(
        self, revision: RevisionRecord, pipeline: str, *, rules: Sequence[RuleSettings], instances: tuple[Instance, ...]
    ) -> NewJob:
        installed = self._parts.packages.get(pipeline)
        package = installed.identity if installed else None
        choice = self._select(pipeline, revision, instances)
        refusals = choice.reasons if isinstance(choice, Refusal) else ()
        inputs = choice.instances or instances
        return NewJob(
            key=job_key(revision.study_instance_uid, pipeline, package=package, inputs=inputs, refusals=refusals),
            revision_id=revision.id,
            study_id=revision.study_id,
            pipeline=pipeline,
            package=package,
            priority=Priority.ROUTINE if is_self_test(instances) else _priority(pipeline, rules),
            input_sop_instance_uids=tuple(instance.sop_instance_uid for instance in inputs),
            flags=choice.flags if isinstance(choice, Selection) else (),
            refusals=refusals,
        )

    def _select(self, pipeline: str, revision: RevisionRecord, instances: tuple[Instance, ...]) -> Selection | Refusal:
        installed = self._parts.packages.get(pipeline)
        if installed is None or pipeline not in self._parts.pipelines:
            return _refused(instances, "package_unavailable", f"no usable model package for pipeline {pipeline!r}; "
                            "run 'dokuei models check'")  # fmt: skip
        try:
            return self._parts.pipelines[pipeline].select(instances, installed.acceptance)
        except InputError as error:
            return _refused(instances, "header_unusable", str(error))
        except Exception as error:  # noqa: BLE001 - a pipeline's fault must not leave the study without an answer
            self._failed(pipeline, revision, error)
            return _refused(instances, "selection_failed", "the pipeline failed on the headers of these images; read "
                            "them without CAD, and report the study key")  # fmt: skip

    def _failed(self, pipeline: str, revision: RevisionRecord, error: Exception) -> None:
        key, name = self._parts.study_key(revision.study_instance_uid), type(error).__name__
        self._parts.observer(StageFailed(stage=ROUTE, study_key=key, pipeline=pipeline, error=name, retryable=False))

    def _observe(self, revision: RevisionRecord, rules: Sequence[RuleSettings], *, seconds: float) -> None:
        key = self._parts.study_key(revision.study_instance_uid)
        self._parts.observer(StageFinished(stage=ROUTE, seconds=seconds, study_key=key))
        self._parts.observer(
            StudyRouted(
                study_key=key,
                revision=revision.number,
                rules=tuple(rule.name for rule in rules),
                pipelines=wanted_pipelines(rules),
            )
        )


def job_key(
    study_instance_uid: str,
    pipeline: str,
    *,
    package: PackageIdentity | None,
    inputs: Sequence[Instance],
    refusals: Sequence[Reason],
) -> str:
    """Return the identity of the work: the same study, pipeline, package and inputs are analysed only once."""
    package_sha256 = package.sha256 if package else ""
    codes = sorted(reason.code for reason in refusals)
    identity = [study_instance_uid, pipeline, package_sha256, sop_instance_uids(inputs), codes]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:32]


def replayed_pipeline(reason: str) -> str:
    """Return the one pipeline that a person had a study analysed by again; "" for all."""
    return reason.removeprefix(REPLAY).removeprefix(":") if reason.startswith(REPLAY) else ""


def _without_images(job: NewJob, images: Sequence[Instance], present: Sequence[Instance]) -> NewJob:
    """Return the job that says that images of the study are no longer here."""
    reason = Reason(
        code="images_deleted",
        message=f"{len(images) - len(present)} of {len(images)} images were deleted here after their results had been "
        "delivered (retention.input_hours); send the whole study again",
    )
    key = job_key(images[0].study_instance_uid, job.pipeline, package=job.package, inputs=images, refusals=[reason])
    here = tuple(item.sop_instance_uid for item in present)
    return replace(job, key=key, input_sop_instance_uids=here, flags=(), refusals=(reason,))


def _refused(instances: tuple[Instance, ...], code: str, message: str) -> Refusal:
    return Refusal(reasons=(Reason(code=code, message=message),), instances=instances)


def _is_ours(revision: RevisionRecord, own_task_id: str) -> bool:
    return revision.routed_at is None and revision.task_id == own_task_id


def _priority(pipeline: str, rules: Sequence[RuleSettings]) -> Priority:
    urgent = any(rule.priority == "urgent" for rule in rules if pipeline in rule.pipelines)
    return Priority.URGENT if urgent else Priority.ROUTINE
