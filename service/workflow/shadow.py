# SPDX-License-Identifier: Apache-2.0
"""Plans what shadow packages do on studies that active ones have analysed: nobody is told, nothing is raised.

What is sent, prioritised and waited for never depends on a shadow: its task begins when the job's analysis is in the
ledger, in a queue and in child processes of its own, which take only processor time that nobody else wants.
"""

from service.domain.entry import JobRecord
from service.domain.event import ShadowCompared
from service.domain.shadow import Verdict
from service.ports.analyst import AnalysisSummary, InstalledPackage
from service.ports.ledger import LedgerTransaction
from service.workflow.context import FlowParts
from service.workflow.stages import SHADOW, task, task_id

MAX_WAITING = 500
"""Studies that wait for shadow packages; those beyond are skipped, and counted."""


def plan_shadows(
    parts: FlowParts, transaction: LedgerTransaction, job: JobRecord, summary: AnalysisSummary, *, at: float
) -> tuple[ShadowCompared, ...]:
    """Let each shadow package of the job's pipeline follow in its own time; return what to say of those skipped."""
    shadows = parts.shadows(job.pipeline)
    if not shadows:
        return ()
    room = MAX_WAITING - transaction.shadows.waiting()
    for _, shadow in shadows[: max(0, room)]:
        active, package = verdict_of(summary), shadow.identity
        run = transaction.shadows.add(
            job.id, package, active=active, task_id=lambda row_id: task_id(SHADOW, row_id, 0), at=at
        )
        transaction.enqueue(task(SHADOW, run.id, attempt=0, priority=job.priority))
    return tuple(_told(parts, job, shadow, result="skipped") for _, shadow in shadows[max(0, room) :])


def verdict_of(summary: AnalysisSummary) -> Verdict:
    """Return the part of a summary in which packages are compared."""
    triage = summary.triage
    if triage is None:
        return Verdict(outcome=summary.outcome.value)
    return Verdict(
        outcome=summary.outcome.value, score=triage.score, above_operating_point=triage.above_operating_point
    )


def _told(parts: FlowParts, job: JobRecord, shadow: InstalledPackage, *, result: str) -> ShadowCompared:
    return ShadowCompared(
        study_key=parts.study_key(job.study_instance_uid),
        pipeline=job.pipeline,
        package=shadow.identity.name,
        version=shadow.identity.version,
        result=result,
    )
