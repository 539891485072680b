# SPDX-License-Identifier: Apache-2.0
"""Applies the site's rules to a frozen revision and makes one job for each pipeline that wants it."""

import hashlib
import json
from collections.abc import Iterable, Sequence

from service.domain.entry import NewJob, RevisionRecord
from service.domain.errors import InputError
from service.domain.event import StageFailed, StageFinished, StudyRouted
from service.domain.instance import Instance, sop_instance_uids
from service.domain.result import PackageIdentity, Priority, Reason
from service.domain.study import Refusal, Selection
from service.ports.ledger import LedgerTransaction
from service.settings import RuleSettings
from service.workflow.context import FlowParts
from service.workflow.rules import matching_rules, wanted_pipelines
from service.workflow.stages import ANALYSE, ROUTE, task, task_id


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
        rules = matching_rules(self._parts.settings.rules, instances)
        jobs = [self._job(revision, name, rules=rules, instances=instances) for name in wanted_pipelines(rules)]
        with self._parts.ledger.transaction() as transaction:
            if not _is_ours(transaction.studies.revision(revision_id), own_task_id):
                return
            self._create(transaction, revision, rules=rules, jobs=jobs)
        self._observe(revision, rules, seconds=self._parts.clock.monotonic() - started)

    def _create(
        self,
        transaction: LedgerTransaction,
        revision: RevisionRecord,
        *,
        rules: Sequence[RuleSettings],
        jobs: Iterable[NewJob],
    ) -> None:
        now = self._parts.now()
        for job in jobs:
            added = transaction.jobs.add(job, task_id=lambda row_id: task_id(ANALYSE, row_id, 0), at=now)
            if added is not None:  # else the same work is done already, and its result stands
                transaction.enqueue(task(ANALYSE, added.id, attempt=0, priority=added.priority))
        names = [rule.name for rule in rules]
        transaction.studies.routed(revision.id, rules=names, pipelines=wanted_pipelines(rules), at=now)

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
            priority=_priority(pipeline, rules),
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


def _refused(instances: tuple[Instance, ...], code: str, message: str) -> Refusal:
    return Refusal(reasons=(Reason(code=code, message=message),), instances=instances)


def _is_ours(revision: RevisionRecord, own_task_id: str) -> bool:
    return revision.routed_at is None and revision.task_id == own_task_id


def _priority(pipeline: str, rules: Sequence[RuleSettings]) -> Priority:
    urgent = any(rule.priority == "urgent" for rule in rules if pipeline in rule.pipelines)
    return Priority.URGENT if urgent else Priority.ROUTINE
