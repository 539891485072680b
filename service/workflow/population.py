# SPDX-License-Identifier: Apache-2.0
"""Ranks a study among the scores that the node has seen of the same package, where the site wants it."""

from service.domain.entry import JobRecord
from service.domain.population import MOST_EXAMS, RANKED, Population, population
from service.ports.ledger import LedgerTransaction
from service.workflow.context import FlowParts


def population_of(parts: FlowParts, view: LedgerTransaction, job: JobRecord) -> Population | None:
    """Return the exams that came before the job; None where there are too few, or nobody wants them.

    Only what was counted before the job was made takes part, and never the study itself, so that doing it again gives
    the same.
    """
    own = parts.settings.pipelines.get(job.pipeline)
    if job.package is None or own is None or not own.decile or job.pipeline not in RANKED:
        return None
    scores = view.drift.scores(
        job.pipeline,
        job.package,
        before=job.created_at,
        without=parts.study_key(job.study_instance_uid),
        most=MOST_EXAMS,
    )
    return population(scores)
