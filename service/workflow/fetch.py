# SPDX-License-Identifier: Apache-2.0
"""Looks for the older studies of a job's patient in an archive, and has them sent here.

What is asked for is in the ledger before the archive hears of it, so that what comes is known for what it is; and
whatever crashes in between is done again, since the same object twice is one. What did not come whole is not analysed:
a comparison with half a study is worse than none.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from service.domain.entry import AskedStudy, FetchRecord, JobState
from service.domain.errors import DeliveryError, RetrieveRefusedError
from service.domain.event import PriorSettled
from service.domain.fetch import (
    AskedState,
    FetchOutcome,
    FetchState,
    FoundSeries,
    Moved,
    PriorQuery,
    candidates,
    prior_query,
    wanted_series,
)
from service.ports.ledger import LedgerTransaction
from service.ports.priors import PriorSource
from service.settings import PriorSettings
from service.workflow.close import arm_closer
from service.workflow.context import FlowParts
from service.workflow.prior import release
from service.workflow.rules import could_match

MOST_LOOKS = 20
"""So many of the newest candidates are looked into for series that a pipeline has use for."""
MOVE_SUCCESS = 0x0000
"""Status of a C-MOVE whose sub-operations are all done (PS3.4 C.4.2.1.5)."""
NOBODY = "priors: no source is configured any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """An older study, and those of its series that are wanted."""

    study_instance_uid: str
    series: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Came:
    """What became of an asked-for study."""

    state: AskedState
    outcome: FetchOutcome = FetchOutcome.INCOMPLETE
    detail: str = ""


class FetchPriors:
    """The task of one search.

    Parameters
    ----------
    stopping
        Says whether the node stops, which breaks associations: the search goes on after its next start.
    """

    def __init__(self, parts: FlowParts, *, stopping: Callable[[], bool]) -> None:
        self._parts = parts
        self._stopping = stopping

    def __call__(self, fetch_id: int, own_task_id: str) -> None:
        """Go on with the search, unless another task has it."""
        with self._parts.ledger.reading() as view:
            fetch = view.fetches.get(fetch_id)
            if not _is_ours(fetch, own_task_id):
                return
            job, images = view.jobs.get(fetch.job_id), view.jobs.instances(fetch.job_id)
        source, settings = self._parts.prior_source, self._parts.settings.priors
        if source is None or settings is None:
            self._end(fetch, FetchOutcome.UNREACHABLE, detail=NOBODY)
            return
        if fetch.outcome is not FetchOutcome.WAITING or job.state is not JobState.QUEUED:
            self._end(fetch, FetchOutcome.LATE)
            return
        question = prior_query(images[0], years=settings.years)
        if question is None:
            self._end(fetch, FetchOutcome.NONE)
            return
        self._go_on(fetch, source, question, settings)

    def _go_on(self, fetch: FetchRecord, source: PriorSource, question: PriorQuery, settings: PriorSettings) -> None:
        try:
            if fetch.state is FetchState.LOOKING and not self._look(fetch, source, question, settings):
                return
        except DeliveryError as error:
            if not self._stopping():
                self._end(fetch, _outcome(error), detail=str(error))
            return
        self._move(fetch, source, settings)

    def _look(self, fetch: FetchRecord, source: PriorSource, question: PriorQuery, settings: PriorSettings) -> bool:
        """Ask what the archive has; False when it has nothing, or the search went on without us."""
        found = tuple(islice(self._wanted(source, question), settings.studies))
        if not found:
            self._end(fetch, FetchOutcome.NONE)
            return False
        with self._parts.ledger.transaction() as transaction:
            if not _is_ours(transaction.fetches.get(fetch.id), fetch.task_id):
                return False
            for study in found:
                transaction.fetches.ask(fetch.id, study.study_instance_uid, study.series)
            transaction.fetches.change(fetch.id, FetchState.MOVING)
        return True

    def _wanted(self, source: PriorSource, question: PriorQuery) -> Iterator[_Found]:
        """Yield the newest studies that have series which a rule could want."""
        with self._parts.ledger.transaction() as transaction:
            self._parts.audit.queried(transaction, source.name, source.wording(question), at=self._parts.now())
        found = source.find(question)
        with self._parts.ledger.reading() as view:
            known = view.fetches.here({study.study_instance_uid for study in found})
        for study in islice(candidates(question, found, known=known), MOST_LOOKS):
            of_modality = wanted_series(question, source.series(study.study_instance_uid))
            series = [item for item in of_modality if self._is_wanted(item)]
            if series:
                uids = tuple(item.series_instance_uid for item in series)
                yield _Found(study_instance_uid=study.study_instance_uid, series=uids)

    def _is_wanted(self, series: FoundSeries) -> bool:
        """Say whether a rule could want its images, by what the archive says of it."""
        return any(could_match(rule.when, series.attributes) for rule in self._parts.settings.rules)

    def _move(self, fetch: FetchRecord, source: PriorSource, settings: PriorSettings) -> None:
        """Have each study sent; the closer of a study sees by its row what has become of it."""
        with self._parts.ledger.reading() as view:
            asked = [item for item in view.fetches.asked(fetch.id) if item.state is AskedState.ASKED]
        last = _Came(state=AskedState.PARTIAL)
        for item in asked:
            came = self._came(item, source, settings)
            if self._stopping():
                return
            with self._parts.ledger.transaction() as transaction:
                if not _is_ours(transaction.fetches.get(fetch.id), fetch.task_id):
                    return
                self._note(transaction, item, came)
            last = came
        self._end(fetch, last.outcome, detail=last.detail)

    def _came(self, asked: AskedStudy, source: PriorSource, settings: PriorSettings) -> _Came:
        try:
            moved = source.move(asked.study_instance_uid, asked.series, seconds=settings.wait_seconds)
        except DeliveryError as error:
            return _Came(state=AskedState.PARTIAL, outcome=_outcome(error), detail=str(error))
        with self._parts.ledger.reading() as view:
            here = [view.fetches.count(asked.study_instance_uid, [series]) for series in asked.series]
        return _verdict(moved, here)

    def _note(self, transaction: LedgerTransaction, asked: AskedStudy, came: _Came) -> None:
        """Note what has come, and have the study looked at now unless it came by itself too."""
        current = next(item for item in transaction.fetches.asked(asked.fetch_id) if item.id == asked.id)
        if current.state is AskedState.ASKED:
            transaction.fetches.mark([asked.id], came.state)
        known = transaction.studies.find(asked.study_instance_uid)
        if known is not None and known.fetched:
            now = self._parts.steady()
            study = transaction.studies.touch(asked.study_instance_uid, at=now, fetched=True)
            arm_closer(transaction, study, evaluate_at=now, now=now)

    def _end(self, fetch: FetchRecord, outcome: FetchOutcome, *, detail: str = "") -> None:
        """Note that nothing more is to be asked; let the job go on unless the analysis of something is to come."""
        with self._parts.ledger.transaction() as transaction:
            if not _is_ours(transaction.fetches.get(fetch.id), fetch.task_id):
                return
            transaction.fetches.change(fetch.id, FetchState.DONE)
            coming = any(item.state is AskedState.WHOLE for item in transaction.fetches.asked(fetch.id))
            settled: tuple[PriorSettled, ...] = ()
            if not coming:
                settled = release(self._parts, transaction, fetch, outcome, detail=detail)
        for event in settled:
            self._parts.observer(event)


def _is_ours(fetch: FetchRecord, own_task_id: str) -> bool:
    return fetch.state is not FetchState.DONE and fetch.task_id == own_task_id


def _outcome(error: DeliveryError) -> FetchOutcome:
    return FetchOutcome.REFUSED if isinstance(error, RetrieveRefusedError) else FetchOutcome.UNREACHABLE


def _verdict(moved: Sequence[Moved], here: Sequence[int]) -> _Came:
    """Say whether a study came whole, by what the archive says of each series and how many instances of it are here.

    A series of which nothing came is left out: it may be of a kind that the node does not take.
    """
    came = [(said, count) for said, count in zip(moved, here, strict=True) if count]
    partial = [said for said, count in came if said.status != MOVE_SUCCESS or said.failed or count < said.completed]
    if came and not partial:
        return _Came(state=AskedState.WHOLE)
    failure = next((said for said in moved if said.status != MOVE_SUCCESS or said.failed), None)
    if failure is None:
        detail = "the archive says that it has sent everything, and not everything is here; is it sent elsewhere?"
        return _Came(state=AskedState.PARTIAL, detail=detail)
    refused = not came and not failure.completed and not failure.failed
    detail = f"C-MOVE was answered with 0x{failure.status:04X}, {failure.completed} sent and {failure.failed} failed"
    outcome = FetchOutcome.REFUSED if refused else FetchOutcome.INCOMPLETE
    return _Came(state=AskedState.PARTIAL, outcome=outcome, detail=detail)
