# SPDX-License-Identifier: Apache-2.0
"""Decides when a study holds what its pipelines want, and freezes a revision of its instances then."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.domain.entry import AskedStudy, RevisionRecord, StudyRecord
from service.domain.errors import InputError
from service.domain.event import StageFailed, StageFinished, StudyClosed
from service.domain.fetch import AskedState
from service.domain.instance import Instance
from service.domain.result import Priority
from service.domain.study import Completeness
from service.ports import Pipeline
from service.ports.ledger import LedgerTransaction
from service.settings import CloseSettings
from service.workflow.context import FlowParts
from service.workflow.rules import matching_rules, wanted_pipelines
from service.workflow.stages import CLOSE, ROUTE, task, task_id

PROBE_SECONDS = 0.5
"""A study that is still arriving is looked at this often at most."""


FETCHING_SECONDS = 15.0
"""A study that an archive is still sending at our wish is looked at this often."""
FETCHED = "fetched"
"""Why a revision was frozen of a study that this node asked for and that came whole."""
FETCH_INCOMPLETE = "fetch_incomplete"
"""Why one was frozen that did not come whole: it is not analysed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`reason` and when it applies: now, or at `due_at` unless something arrives before."""

    reason: str
    due_at: float


def decide(
    completeness: Sequence[Completeness], *, last_seen_at: float, late: bool, settings: CloseSettings
) -> Decision:
    """Say when a study closes, from what the wanted pipelines say of its instances.

    The least complete pipeline decides. A study that was closed before (`late`) never closes on its first new image:
    where one came late, more follow.
    """
    wanted = {state for state in completeness if state is not Completeness.NOT_WANTED}
    if not wanted or Completeness.INCOMPLETE in wanted:
        return Decision(reason="quiet", due_at=last_seen_at + settings.quiet_seconds)
    if late or Completeness.SETTLING in wanted:
        return Decision(reason="settled", due_at=last_seen_at + settings.settle_seconds)
    return Decision(reason="complete", due_at=last_seen_at)


def decide_fetched(asked: Sequence[AskedStudy], *, now: float) -> Decision:
    """Say when a study closes that this node asked an archive for: when the archive has said that it sent everything.

    Until then it is looked at now and then; the task that asks for it has it looked at when it comes to the end.
    """
    if any(item.state is AskedState.ASKED and item.is_open for item in asked):
        return Decision(reason=FETCHED, due_at=now + FETCHING_SECONDS)
    whole = any(item.state in {AskedState.WHOLE, AskedState.ANSWERED} for item in asked)
    return Decision(reason=FETCHED if whole else FETCH_INCOMPLETE, due_at=now)


def arm_closer(transaction: LedgerTransaction, study: StudyRecord, *, evaluate_at: float, now: float) -> None:
    """Enqueue a look at the study at `evaluate_at`, unless one is due by then already."""
    if study.evaluate_at is not None and study.evaluate_at <= evaluate_at:
        return
    attempt = study.generation + 1
    transaction.studies.arm(study.id, task_id=task_id(CLOSE, study.id, attempt), evaluate_at=evaluate_at)
    delay_seconds = evaluate_at - now
    transaction.enqueue(task(CLOSE, study.id, attempt=attempt, priority=Priority.ROUTINE, delay_seconds=delay_seconds))


class CloseStudy:
    """The task that looks at a study: closes it, or looks again later."""

    def __init__(self, parts: FlowParts) -> None:
        self._parts = parts

    def __call__(self, study_id: int, own_task_id: str) -> None:
        """Look at the study, unless another task has it."""
        started = self._parts.clock.monotonic()
        with self._parts.ledger.reading() as view:
            study = view.studies.study(study_id)
            if study.closer_task_id != own_task_id:
                return
            instances = view.studies.instances(study_id)
            asked = view.fetches.of_study(study.study_instance_uid) if study.fetched else ()
        decision = self._decide_fetched(asked) if study.fetched else self._decide(study, instances)
        with self._parts.ledger.transaction() as transaction:
            current = transaction.studies.study(study_id)
            if current.closer_task_id != own_task_id:
                return
            revision = self._apply(transaction, current, decision=decision, stale=current.unclosed != study.unclosed)
        if revision is not None:
            self._observe(revision, study, seconds=self._parts.clock.monotonic() - started)

    def _decide_fetched(self, asked: Sequence[AskedStudy]) -> Decision:
        return decide_fetched(asked, now=self._parts.steady())

    def _decide(self, study: StudyRecord, instances: tuple[Instance, ...]) -> Decision:
        names = wanted_pipelines(matching_rules(self._parts.settings.rules, instances))
        pipelines = [self._parts.pipelines[name] for name in names if name in self._parts.pipelines]
        return decide(
            [self._completeness(pipeline, study, instances) for pipeline in pipelines],
            last_seen_at=study.last_seen_at,
            late=study.revision > 0,
            settings=self._parts.settings.close,
        )

    def _completeness(self, pipeline: Pipeline, study: StudyRecord, instances: tuple[Instance, ...]) -> Completeness:
        """Ask the pipeline; where it cannot say, the quiet period decides, and select() says what is wrong."""
        try:
            return pipeline.completeness(instances)
        except InputError:
            return Completeness.INCOMPLETE
        except Exception as error:  # noqa: BLE001 - a pipeline's fault must not keep the study open for ever
            key, name = self._parts.study_key(study.study_instance_uid), type(error).__name__
            self._parts.observer(
                StageFailed(stage=CLOSE, study_key=key, pipeline=pipeline.name, error=name, retryable=True)
            )
            return Completeness.INCOMPLETE

    def _apply(
        self, transaction: LedgerTransaction, study: StudyRecord, *, decision: Decision, stale: bool
    ) -> RevisionRecord | None:
        now = self._parts.steady()  # a clock that is set must not close a study, or keep it open
        transaction.studies.evaluated(study.id, at=now)
        if stale or decision.due_at > now:
            evaluate_at = now + PROBE_SECONDS if stale else decision.due_at
            arm_closer(transaction, _disarmed(study), evaluate_at=evaluate_at, now=now)
            return None
        return self._freeze(transaction, study.id, reason=decision.reason, now=now)

    def _freeze(self, transaction: LedgerTransaction, study_id: int, *, reason: str, now: float) -> RevisionRecord:
        revision = transaction.studies.freeze(
            study_id, reason=reason, task_id=lambda row_id: task_id(ROUTE, row_id, 0), at=now
        )
        self._parts.audit.received(transaction, revision, at=now)
        transaction.enqueue(task(ROUTE, revision.id, attempt=0, priority=Priority.ROUTINE))
        return revision

    def _observe(self, revision: RevisionRecord, study: StudyRecord, *, seconds: float) -> None:
        key = self._parts.study_key(study.study_instance_uid)
        self._parts.observer(StageFinished(stage=CLOSE, seconds=seconds, study_key=key))
        self._parts.observer(
            StudyClosed(
                study_key=key,
                revision=revision.number,
                reason=revision.reason,
                instances=revision.instance_count,
                waited_seconds=revision.closed_at - study.last_seen_at,
            )
        )


def _disarmed(study: StudyRecord) -> StudyRecord:
    return replace(study, evaluate_at=None)
