# SPDX-License-Identifier: Apache-2.0
"""Turns a job's result into DICOM objects and hands them to every destination that wants them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from service.domain.entry import EarlierDelivery, JobRecord, JobState
from service.domain.errors import ResultError
from service.domain.event import AnalysisRefused, ResultReady, StageFailed, StageFinished
from service.domain.instance import Instance
from service.domain.profile import EncodingProfile, encoding_profile, profile_key
from service.domain.result import Reason
from service.domain.self_test import is_self_test
from service.ports.analyst import AnalysisRequest, EncodeRequest, ObjectSet, ResultObject
from service.ports.ledger import LedgerTransaction, Wanted
from service.settings.results import STATEMENTS, ResultKind
from service.workflow.analyse import analysis_request
from service.workflow.context import FlowParts
from service.workflow.stages import ENCODE, deliver_stage, task
from service.workflow.supersession import plan_note, predecessors, wants_notes
from service.workflow.triage import may_raise

FAILURES_UNTIL_REFUSAL = 2
"""A result that cannot be encoded this often is replaced by the not-analysed one; the last time, for those destinations
alone that would hear nothing, if others hear of it."""
FAILURES_UNTIL_GIVING_UP = 4
ENCODING_FAILED = Reason(
    code="encoding_failed",
    message="the result could not be written as DICOM; read the study without CAD, and report the study key",
)


class EncodeJob:
    """The task that encodes a job's result."""

    def __init__(self, parts: FlowParts) -> None:
        self._parts = parts
        self._profiles = {
            item.name: encoding_profile(item.results, with_captures=ResultKind.HEATMAP in item.objects)
            for item in parts.settings.destinations
        }
        self._wanted = {
            item.name: Wanted(profile=profile_key(self._profiles[item.name]), kinds=frozenset(item.objects))
            for item in parts.settings.destinations
        }
        self._kinds = {item.name: item.objects for item in parts.settings.destinations}

    def __call__(self, job_id: int, own_task_id: str) -> None:
        """Encode the job, unless another task has it or a later revision took over."""
        started = self._parts.clock.monotonic()
        with self._parts.ledger.reading() as view:
            job = view.jobs.get(job_id)
            instances = view.jobs.instances(job_id)
        if not _is_ours(job, own_task_id):
            return
        if job.encode_failures >= FAILURES_UNTIL_GIVING_UP:
            self._give_up(job)
            return
        job = self._refused(job, instances) if job.encode_failures >= FAILURES_UNTIL_REFUSAL else job
        objects = self._encoded(job, instances)
        with self._parts.ledger.transaction() as transaction:
            if not _is_ours(transaction.jobs.get(job_id), own_task_id):
                return
            self._finish(transaction, job, objects)
        self._observe(job, seconds=self._parts.clock.monotonic() - started)

    def failed(self, job_id: int) -> None:
        """Count a failure; the reconciler tries again."""
        with self._parts.ledger.transaction() as transaction:
            transaction.jobs.count_encode_failure(job_id)

    def _encoded(self, job: JobRecord, instances: tuple[Instance, ...]) -> tuple[ResultObject, ...]:
        with self._parts.ledger.reading() as view:
            earlier = view.jobs.earlier(job.id)
        request = EncodeRequest(
            analysis=self._request(job, instances),
            revision=job.result_revision,
            sets=self._sets(earlier),
            may_raise=may_raise(job.package, settings=self._parts.settings) and not is_self_test(instances),
        )
        objects = self._parts.analyst.encode(request)
        if job.encode_failures + 1 == FAILURES_UNTIL_REFUSAL:
            objects = self._with_refusals(request, objects)
        self._check_told(job, objects, last_resort=job.encode_failures >= FAILURES_UNTIL_REFUSAL)
        return objects

    def _with_refusals(self, request: EncodeRequest, objects: tuple[ResultObject, ...]) -> tuple[ResultObject, ...]:
        """Replace what was written for the profiles of destinations that would hear nothing by a not-analysed result.

        Where nobody would hear of it, the result itself is to be replaced, which is not done here.
        """
        unheard = self._unheard(objects)
        if not unheard or len(unheard) == len(self._wanted):
            return objects
        keys = {self._wanted[name].profile for name in unheard}
        sets = [replace(item, refusal=(ENCODING_FAILED,)) for item in request.sets if profile_key(item.profile) in keys]
        refused = self._parts.analyst.encode(replace(request, sets=tuple(sets)))
        return (*(item for item in objects if item.problems or item.profile not in keys), *refused)

    def _unheard(self, objects: Sequence[ResultObject]) -> list[str]:
        """Return the destinations that would hear nothing of the result."""
        held = [item for item in objects if item.problems]
        passed = [item for item in objects if not item.problems]
        return [name for name in self._wanted if not is_told(self._wanted[name], passed, held)]

    def _sets(self, earlier: tuple[EarlierDelivery, ...]) -> tuple[ObjectSet, ...]:
        """Return what is to be written: for equal profiles once, however many destinations have them."""
        by_profile: dict[EncodingProfile, list[str]] = {}
        for name, profile in self._profiles.items():
            by_profile.setdefault(profile, []).append(name)
        return tuple(
            ObjectSet(
                profile=profile,
                kinds=tuple(dict.fromkeys(kind for name in names for kind in self._kinds[name])),
                predecessors=predecessors(earlier, names),
            )
            for profile, names in by_profile.items()
        )

    def _check_told(self, job: JobRecord, objects: Sequence[ResultObject], *, last_resort: bool) -> None:
        """Refuse objects that leave a destination without a word; as a last resort, any word to anybody will do."""
        unheard = self._unheard(objects)
        if any(not item.problems for item in objects) and (last_resort or not unheard):
            return
        self._hold(job, [item for item in objects if item.problems])
        if objects or unheard or not self._wanted:
            raise ResultError(
                f"no result object for destination {', '.join(unheard)} passed the checks before sending; "
                "`dokuei held` says why"
            )

    def _hold(self, job: JobRecord, held: Sequence[ResultObject]) -> None:
        with self._parts.ledger.transaction() as transaction:
            self._note_held(transaction, job, held)

    def _note_held(self, transaction: LedgerTransaction, job: JobRecord, held: Sequence[ResultObject]) -> None:
        transaction.jobs.unhold(job.id)
        transaction.jobs.hold(job.id, held, destinations=self._wanted, at=self._parts.now())

    def _refused(self, job: JobRecord, instances: tuple[Instance, ...]) -> JobRecord:
        summary = self._parts.analyst.refuse(self._request(job, instances), (ENCODING_FAILED,))
        with self._parts.ledger.transaction() as transaction:
            now = self._parts.now()
            transaction.jobs.analysed(job.id, summary, priority=job.priority, task_id=job.task_id, at=now)
            refused = transaction.jobs.get(job.id)
        key = self._parts.study_key(job.study_instance_uid)
        self._parts.observer(AnalysisRefused(study_key=key, pipeline=job.pipeline, reason=ENCODING_FAILED.code))
        return refused

    def _request(self, job: JobRecord, instances: tuple[Instance, ...]) -> AnalysisRequest:
        return analysis_request(self._parts, job, instances)

    def _give_up(self, job: JobRecord) -> None:
        with self._parts.ledger.transaction() as transaction:
            transaction.jobs.end(job.id, JobState.FAILED, at=self._parts.now())
        key, error = self._parts.study_key(job.study_instance_uid), ResultError.__name__
        self._parts.observer(
            StageFailed(stage=ENCODE, study_key=key, pipeline=job.pipeline, error=error, retryable=False)
        )

    def _finish(self, transaction: LedgerTransaction, job: JobRecord, objects: tuple[ResultObject, ...]) -> None:
        now = self._parts.now()
        passed = [item for item in objects if not item.problems]
        transaction.jobs.encoded(job.id, passed, destinations=self._wanted, at=now)
        self._note_held(transaction, job, [item for item in objects if item.problems])
        for name in wants_notes(self._parts):
            plan_note(self._parts, transaction, job, name)
        for name in self._wanted:
            if transaction.deliveries.pending(job.id, name):
                stage = deliver_stage(name)
                attempt = transaction.deliveries.next_attempt(job.id, name)
                following = task(stage, job.id, attempt=attempt, priority=job.priority)
                due_at = self._parts.steady()
                transaction.deliveries.assign(job.id, name, task_id=following.task_id, next_attempt_at=due_at)
                transaction.enqueue(following)
        if transaction.deliveries.open_count(job.id) == 0:
            transaction.jobs.end(job.id, JobState.FINISHED, at=now)

    def _observe(self, job: JobRecord, *, seconds: float) -> None:
        key = self._parts.study_key(job.study_instance_uid)
        self._parts.observer(StageFinished(stage=ENCODE, seconds=seconds, study_key=key, pipeline=job.pipeline))
        self._parts.observer(
            ResultReady(
                study_key=key,
                pipeline=job.pipeline,
                outcome=job.outcome,
                priority=job.priority.value,
                package=job.package.name if job.package else "",
                package_version=job.package.version if job.package else "",
                turnaround_seconds=self._parts.now() - job.received_at,
            )
        )


def is_told(wanted: Wanted, passed: Iterable[ResultObject], held: Iterable[ResultObject]) -> bool:
    """Say whether a destination hears of a result.

    Where it wants a kind that says the outcome in words, one of these must have passed, in whatever form. Where it
    wants none, it is told unless something was held back: a study may give no reason for the kinds that it wants.
    """
    theirs = [item for item in passed if wanted.includes(item)]
    if wanted.kinds & STATEMENTS:
        return any(item.kind in STATEMENTS for item in theirs)
    return bool(theirs) or not any(wanted.includes(item) for item in held)


def _is_ours(job: JobRecord, own_task_id: str) -> bool:
    return job.state is JobState.ANALYSED and job.task_id == own_task_id
