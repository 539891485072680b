# SPDX-License-Identifier: Apache-2.0
"""Lets a study wait for an older one that an archive is asked for, and lets it go on.

Whatever becomes of the search, the study is analysed: its task is in the engine from the beginning, and is due when
`priors.wait_seconds` have passed. A search that ends before gives the study an earlier task.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from service.domain.entry import AskedStudy, FetchRecord, JobRecord
from service.domain.event import PriorSettled
from service.domain.fetch import AskedState, FetchOutcome, prior_query
from service.domain.instance import Instance
from service.domain.prior import patient_key
from service.domain.result import Priority
from service.domain.self_test import is_self_test
from service.ports.engine import Task
from service.ports.ledger import LedgerTransaction
from service.workflow.close import FETCH_INCOMPLETE
from service.workflow.context import FlowParts
from service.workflow.stages import ANALYSE, FETCH, PRIOR_PRIORITY, task, task_id

COMING = frozenset({AskedState.ASKED, AskedState.WHOLE})
"""States of older studies whose analysis may yet follow."""


def analysis(job: JobRecord, *, delay_seconds: float = 0.0) -> Task:
    """Return the task that analyses a job; an older study comes before what waits for its turn, for somebody waits."""
    coming = task(ANALYSE, job.id, attempt=job.attempt, priority=job.priority, delay_seconds=delay_seconds)
    return replace(coming, priority=PRIOR_PRIORITY) if job.as_prior else coming


def begin(parts: FlowParts, transaction: LedgerTransaction, job: JobRecord) -> None:
    """Enqueue the analysis of a job: at once, or when the search for an older study has ended."""
    delay_seconds = _search(parts, transaction, job) if _may_search(parts, transaction, job) else 0.0
    transaction.enqueue(analysis(job, delay_seconds=delay_seconds))


def _may_search(parts: FlowParts, transaction: LedgerTransaction, job: JobRecord) -> bool:
    """Say whether an archive is asked: for an ordinary study that can be compared, has no hurry and no older one here.

    What the rules call urgent does not wait. An older study does not ask for an older one of its own.
    """
    wanted = parts.settings.priors is not None and job.priority is Priority.ROUTINE and not job.as_prior
    if not wanted or job.refusals or job.package is None or transaction.fetches.of_job(job.id) is not None:
        return False
    return transaction.jobs.prior(job.id) is None


def _search(parts: FlowParts, transaction: LedgerTransaction, job: JobRecord) -> float:
    """Enqueue the search; return how long the job waits for it at most, in seconds."""
    settings, images = parts.settings.priors, transaction.jobs.instances(job.id)
    if settings is None or is_self_test(images) or prior_query(images[0], years=settings.years) is None:
        return 0.0
    due_at = parts.steady() + settings.wait_seconds
    row = transaction.fetches.add(
        job.id, task_id=lambda row_id: task_id(FETCH, row_id, 0), due_at=due_at, at=parts.now()
    )
    transaction.enqueue(task(FETCH, row.id, attempt=0, priority=Priority.ROUTINE))
    return settings.wait_seconds


def patients(images: Sequence[Instance]) -> frozenset[str]:
    """Return whose images these are (`domain.prior.patient_key`)."""
    return frozenset(map(patient_key, images))


def wanted_as_prior(
    names: Sequence[str], asked: Sequence[AskedStudy], images: Sequence[Instance], *, reason: str
) -> list[str]:
    """Return those pipelines that the rules want (`names`) for which a study was asked for, and for this patient."""
    if reason == FETCH_INCOMPLETE:
        return []
    mine = {item.pipeline for item in asked if patients(images) == {item.patient_key}}
    return [name for name in names if name in mine]


def answer_others(
    parts: FlowParts,
    transaction: LedgerTransaction,
    asked: Sequence[AskedStudy],
    at_work: frozenset[str],
    *,
    patients: frozenset[str],
) -> tuple[PriorSettled, ...]:
    """Let those go on who asked for a study and whose pipeline will not analyse it, or has done so before."""
    waiting = [item for item in asked if item.state is AskedState.WHOLE]
    strange = [item for item in waiting if patients != {item.patient_key}]
    others = [item for item in waiting if item not in strange and item.pipeline not in at_work]
    return (
        *answer(parts, transaction, strange, FetchOutcome.OTHER_PATIENT),
        *answer(parts, transaction, others, FetchOutcome.UNUSABLE),
    )


def answer(
    parts: FlowParts, transaction: LedgerTransaction, asked: Sequence[AskedStudy], outcome: FetchOutcome
) -> tuple[PriorSettled, ...]:
    """Let everybody go on who waits for nothing but these; return what to say of that."""
    if not asked:
        return ()
    transaction.fetches.mark([item.id for item in asked], AskedState.ANSWERED)
    fetches = [transaction.fetches.get(number) for number in dict.fromkeys(item.fetch_id for item in asked)]
    done = [fetch for fetch in fetches if not any(item.state in COMING for item in transaction.fetches.asked(fetch.id))]
    return tuple(event for fetch in done for event in release(parts, transaction, fetch, outcome))


def release(
    parts: FlowParts, transaction: LedgerTransaction, fetch: FetchRecord, outcome: FetchOutcome, *, detail: str = ""
) -> tuple[PriorSettled, ...]:
    """Tell the job of a search what became of it, and let it be analysed now; nothing where it was told before."""
    settled = settle(parts, transaction, fetch, outcome, detail=detail)
    advanced = transaction.jobs.advance(fetch.job_id, task_id=partial(task_id, ANALYSE)) if settled else None
    if advanced is not None:
        transaction.enqueue(analysis(advanced))
    return settled


def settle(
    parts: FlowParts, transaction: LedgerTransaction, fetch: FetchRecord, outcome: FetchOutcome, *, detail: str = ""
) -> tuple[PriorSettled, ...]:
    """Note what the job of a search is told, once; return what to say of that.

    Where anything is here to compare with, that is what counts; `outcome` is why there is nothing.
    """
    if transaction.jobs.prior(fetch.job_id) is not None:
        outcome = FetchOutcome.COMPARABLE
    if not transaction.fetches.end(fetch.id, outcome, at=parts.now()):
        return ()
    job, settings = transaction.jobs.get(fetch.job_id), parts.settings.priors
    settled = PriorSettled(
        study_key=parts.study_key(job.study_instance_uid),
        pipeline=job.pipeline,
        source=settings.source if settings is not None else "",
        outcome=outcome.value,
        seconds=max(0.0, parts.now() - fetch.created_at),
        detail=detail,
    )
    return (settled,)


def heard(
    parts: FlowParts, transaction: LedgerTransaction, job: JobRecord
) -> tuple[FetchOutcome, tuple[PriorSettled, ...]]:
    """Return what the job was told of older studies, now that it is analysed; LATE where that was nothing yet."""
    fetch = transaction.fetches.of_job(job.id)
    if fetch is None:
        return FetchOutcome.WAITING, ()
    settled = settle(parts, transaction, fetch, FetchOutcome.LATE)
    now = transaction.fetches.get(fetch.id)
    return now.outcome, settled


def answer_with(parts: FlowParts, transaction: LedgerTransaction, job: JobRecord) -> tuple[PriorSettled, ...]:
    """Let those go on who wait for the analysis of a job, which has ended."""
    asked = transaction.fetches.of_study(job.study_instance_uid)
    waiting = [item for item in asked if item.state in COMING and item.pipeline == job.pipeline]
    return answer(parts, transaction, waiting, FetchOutcome.UNUSABLE)
