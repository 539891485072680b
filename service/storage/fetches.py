# SPDX-License-Identifier: Apache-2.0
"""Searches for older studies in the ledger: which job waits for one, and which studies an archive was asked for."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from service.domain.entry import AskedStudy, FetchRecord
from service.domain.fetch import AskedState, FetchOutcome, FetchState
from service.storage import schema
from service.storage.studies import inserted_id

RECORDED = ("id", "job_id", "state", "outcome", "created_at", "due_at", "attempt", "task_id")


class SqlFetches:
    """The searching side of one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, job_id: int, *, task_id: Callable[[int], str], due_at: float, at: float) -> FetchRecord:
        """Insert the search for a job."""
        values = {"job_id": job_id, "state": FetchState.LOOKING, "due_at": due_at, "created_at": at}
        row_id = inserted_id(self._connection, sa.insert(schema.prior_fetch).values(values))
        self._update(row_id, task_id=task_id(row_id))
        return self.get(row_id)

    def get(self, fetch_id: int) -> FetchRecord:
        """Return a search."""
        columns = [schema.prior_fetch.c[name] for name in RECORDED]
        query = sa.select(*columns).where(schema.prior_fetch.c.id == fetch_id)
        return _fetch(self._connection.execute(query).mappings().one())

    def of_job(self, job_id: int) -> FetchRecord | None:
        """Return the search for a job."""
        columns = [schema.prior_fetch.c[name] for name in RECORDED]
        query = sa.select(*columns).where(schema.prior_fetch.c.job_id == job_id)
        row = self._connection.execute(query).mappings().one_or_none()
        return _fetch(row) if row else None

    def asked(self, fetch_id: int) -> tuple[AskedStudy, ...]:
        """Return the studies that a search asked for."""
        return self._asked(schema.asked_study.c.fetch_id == fetch_id)

    def ask(self, fetch_id: int, study_instance_uid: str, series: Sequence[str]) -> None:
        """Note that a study is about to be asked for."""
        values = {"fetch_id": fetch_id, "study_instance_uid": study_instance_uid, "series": list(series)}
        self._connection.execute(sa.insert(schema.asked_study).values(**values, state=AskedState.ASKED))

    def change(self, fetch_id: int, state: FetchState) -> None:
        """Note what the search has yet to do; nothing drives it when that is nothing."""
        self._update(fetch_id, state=state, **({"task_id": ""} if state is FetchState.DONE else {}))

    def end(self, fetch_id: int, outcome: FetchOutcome, *, at: float) -> bool:
        """Note what the job is told, once."""
        table = schema.prior_fetch
        waiting = (table.c.id == fetch_id, table.c.outcome == FetchOutcome.WAITING)
        statement = sa.update(table).where(*waiting).values(outcome=outcome, ended_at=at)
        return self._connection.execute(statement).rowcount > 0

    def mark(self, asked_ids: Collection[int], state: AskedState) -> None:
        """Note where studies stand."""
        table = schema.asked_study
        self._connection.execute(sa.update(table).where(table.c.id.in_(list(asked_ids))).values(state=state))

    def is_asked(self, study_instance_uid: str, *, still: bool) -> bool:
        """Say whether a study was asked for."""
        asked, fetch = schema.asked_study, schema.prior_fetch
        query = sa.select(asked.c.id).join(fetch).where(asked.c.study_instance_uid == study_instance_uid)
        if still:
            query = query.where(asked.c.state == AskedState.ASKED, fetch.c.state != FetchState.DONE)
        return self._connection.execute(query.limit(1)).first() is not None

    def of_study(self, study_instance_uid: str) -> tuple[AskedStudy, ...]:
        """Return everything that asked for a study."""
        return self._asked(schema.asked_study.c.study_instance_uid == study_instance_uid)

    def here(self, study_instance_uids: Collection[str]) -> frozenset[str]:
        """Return the studies that the node was sent by itself, or has fetched and done with.

        One that another search has fetched and that is yet to be analysed is asked for again: its images are here, and
        whoever asks waits for its analysis.
        """
        uids = list(study_instance_uids)
        study, asked = schema.study.c, schema.asked_study.c
        sent = sa.select(study.study_instance_uid).where(study.study_instance_uid.in_(uids), study.fetched == 0)
        done = (asked.study_instance_uid.in_(uids), asked.state == AskedState.ANSWERED)
        query = sa.union(sent, sa.select(asked.study_instance_uid).where(*done))
        return frozenset(self._connection.execute(query).scalars())

    def count(self, study_instance_uid: str, series: Collection[str]) -> int:
        """Return how many instances of these series are here."""
        instance, study = schema.instance.c, schema.study.c
        query = (
            sa.select(sa.func.count())
            .select_from(schema.instance)
            .join(schema.study)
            .where(study.study_instance_uid == study_instance_uid, instance.series_instance_uid.in_(list(series)))
            .where(instance.purge_id.is_(None))
        )
        return int(self._connection.execute(query).scalar_one())

    def _asked(self, *conditions: sa.ColumnElement[bool]) -> tuple[AskedStudy, ...]:
        asked, fetch, job = schema.asked_study, schema.prior_fetch, schema.job
        query = (
            sa.select(asked, fetch.c.job_id, fetch.c.state.label("fetch_state"), job.c.pipeline, job.c.patient_key)
            .join(fetch, fetch.c.id == asked.c.fetch_id)
            .join(job, job.c.id == fetch.c.job_id)
            .where(*conditions)
            .order_by(asked.c.id)
        )
        return tuple(_asked_study(row) for row in self._connection.execute(query).mappings())

    def _update(self, fetch_id: int, **values: Any) -> None:
        table = schema.prior_fetch
        self._connection.execute(sa.update(table).where(table.c.id == fetch_id).values(values))


def _fetch(row: Mapping[Any, Any]) -> FetchRecord:
    return FetchRecord(**{**row, "state": FetchState(row["state"]), "outcome": FetchOutcome(row["outcome"])})


def _asked_study(row: Mapping[Any, Any]) -> AskedStudy:
    return AskedStudy(
        id=row["id"],
        fetch_id=row["fetch_id"],
        job_id=row["job_id"],
        pipeline=row["pipeline"],
        patient_key=row["patient_key"],
        study_instance_uid=row["study_instance_uid"],
        series=tuple(row["series"]),
        state=AskedState(row["state"]),
        is_open=row["fetch_state"] != FetchState.DONE,
    )
