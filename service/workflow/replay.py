# SPDX-License-Identifier: Apache-2.0
"""Has a stored study analysed again, because a person asks for it: a new revision of the same images."""

from service.domain.entry import JobRecord, JobState, StudyRecord
from service.workflow.context import FlowParts
from service.workflow.route import REPLAY
from service.workflow.stages import ROUTE, task_id

AT_WORK = frozenset((JobState.QUEUED, JobState.ANALYSED, JobState.ENCODED))


class Replay:
    """Asks for one study at a time; the running node's reconciler finds the revision and routes it.

    Parameters
    ----------
    pipeline
        The one that is to do it again; "" for all that the rules want.
    """

    def __init__(self, parts: FlowParts, *, pipeline: str = "") -> None:
        self._parts = parts
        self._reason = f"{REPLAY}:{pipeline}" if pipeline else REPLAY
        self._pipeline = pipeline

    def __call__(self, study: StudyRecord) -> str:
        """Ask for it; return "", or why it is left out."""
        with self._parts.ledger.transaction() as transaction:
            current = transaction.studies.study(study.id)
            if current.unclosed or not current.revision:
                return "it is still arriving"
            if any(image.is_deleted for image in transaction.studies.instances(study.id)):
                return "its images are deleted here (retention.input_hours); send it again"
            if any(self._is_at_work(job) for job in transaction.jobs.of_study(study.id)):
                return "it is at work, or its results are not delivered yet"
            at = self._parts.now()
            transaction.studies.freeze(
                study.id, reason=self._reason, task_id=lambda row_id: task_id(ROUTE, row_id, 0), at=at
            )
        return ""

    def _is_at_work(self, job: JobRecord) -> bool:
        return job.state in AT_WORK and self._pipeline in {"", job.pipeline}
