# SPDX-License-Identifier: Apache-2.0
"""Purges in the ledger: what may be deleted, what is being deleted, and the proof of what was."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.domain.entry import DeliveryState, JobState, NotificationState
from service.domain.purge import DueJob, NewPurge, Purged, PurgeRecord
from service.domain.quarantine import POISON
from service.domain.shadow import ShadowState
from service.storage import schema
from service.storage.studies import inserted_id

UNSETTLED = (
    DeliveryState.WAITING,
    DeliveryState.PENDING,
    DeliveryState.STORED,
    DeliveryState.REFUSED,
    DeliveryState.ABANDONED,
)
"""States of deliveries that something may yet follow from, by itself or by a person's hand."""
AT_WORK = (JobState.QUEUED, JobState.ANALYSED, JobState.ENCODED, JobState.FAILED)
"""States of jobs that need their images; a failed one waits for a person."""
ENDED = (JobState.FINISHED, JobState.SUPERSEDED)
Conditions = list[sa.ColumnElement[bool]]


class SqlPurges:
    """The deleting side of one transaction."""

    def __init__(self, connection: sa.Connection, *, root: Path) -> None:
        self._connection = connection
        self._root = root

    def due_inputs(self, *, before: float, limit: int) -> tuple[int, ...]:
        """Return studies whose images nobody needs any more."""
        study = schema.study.c
        quiet = (study.purged == 0, study.unclosed == 0, study.revision > 0, study.last_seen_at < before)
        query = sa.select(study.id).where(*quiet, *_nobody_needs_images(before)).order_by(study.id).limit(limit)
        return tuple(self._connection.execute(query).scalars())

    def due_results(self, *, before: float, limit: int) -> tuple[DueJob, ...]:
        """Return jobs whose result nobody needs any more."""
        job = schema.job.c
        ended = (job.purge_id.is_(None), job.state.in_(ENDED), job.ended_at < before)
        columns = (job.id, job.key, job.study_id, schema.study.c.study_instance_uid)
        query = sa.select(*columns).join(schema.study, schema.study.c.id == job.study_id)
        rows = self._connection.execute(
            query.where(*ended, *_nobody_needs_result(before)).order_by(job.id).limit(limit)
        )
        return tuple(DueJob(**row) for row in rows.mappings())

    def begin(self, new: NewPurge, *, at: float) -> PurgeRecord:
        """Keep the proof of what is about to be deleted."""
        values = {name: getattr(new, name) for name in NEW_COLUMNS}
        row_id = inserted_id(self._connection, sa.insert(schema.purge).values(**values, begun_at=at))
        return self._records(schema.purge.c.id == row_id)[0]

    def take_inputs(self, purge_id: int, study_id: int) -> None:
        """Give the files that a study has to a purge."""
        instance = schema.instance.c
        here = (instance.study_id == study_id, instance.purge_id.is_(None))
        self._connection.execute(sa.update(schema.instance).where(*here).values(purge_id=purge_id))
        self._connection.execute(sa.update(schema.study).where(schema.study.c.id == study_id).values(purged=1))

    def take_result(
        self, purge_id: int, job_id: int, *, kept: Mapping[str, Any] | None, series: Mapping[str, str]
    ) -> None:
        """Give a job's folder to a purge; keep its values and the series of its objects."""
        values = {"purge_id": purge_id, "kept": kept if kept is not None else sa.null()}
        self._connection.execute(sa.update(schema.job).where(schema.job.c.id == job_id).values(values))
        item = schema.result_object
        for uid, series_uid in series.items():
            own = (item.c.job_id == job_id, item.c.sop_instance_uid == uid)
            self._connection.execute(sa.update(item).where(*own).values(series_instance_uid=series_uid))

    def result_files(self, job_id: int) -> Mapping[str, Path]:
        """Return the files of a job's objects."""
        item = schema.result_object.c
        query = sa.select(item.sop_instance_uid, item.path).where(item.job_id == job_id, item.path != "")
        return {row.sop_instance_uid: self._root / row.path for row in self._connection.execute(query)}

    def open(self) -> tuple[PurgeRecord, ...]:
        """Return the purges that have not ended."""
        return self._records(schema.purge.c.ended_at.is_(None))

    def files(self, purge_id: int, *, limit: int) -> Mapping[int, Path]:
        """Return so many of the files that a purge has yet to delete."""
        instance = schema.instance.c
        query = sa.select(instance.id, instance.path).where(instance.purge_id == purge_id, instance.path != "")
        rows = self._connection.execute(query.order_by(instance.path).limit(limit))
        return {row.id: self._root / row.path for row in rows}

    def job_key(self, purge_id: int) -> str | None:
        """Return the key of the job whose folder a purge has yet to delete."""
        query = sa.select(schema.job.c.key).where(schema.job.c.purge_id == purge_id)
        return self._connection.execute(query).scalar_one_or_none()

    def deleted(self, instance_ids: Sequence[int]) -> None:
        """Note that these files are gone."""
        condition = schema.instance.c.id.in_(list(instance_ids))
        self._connection.execute(sa.update(schema.instance).where(condition).values(path=""))

    def end(self, purge_id: int, *, at: float) -> None:
        """Note that all is gone."""
        jobs = sa.select(schema.job.c.id).where(schema.job.c.purge_id == purge_id)
        for table in (schema.result_object, schema.held_object):
            self._connection.execute(sa.update(table).where(table.c.job_id.in_(jobs)).values(path=""))
        self._connection.execute(sa.update(schema.purge).where(schema.purge.c.id == purge_id).values(ended_at=at))

    def latest(self, *, limit: int) -> tuple[PurgeRecord, ...]:
        """Return the last purges."""
        query = sa.select(schema.purge).order_by(schema.purge.c.id.desc()).limit(limit)
        return tuple(_record(row) for row in self._connection.execute(query).mappings())

    def _records(self, *conditions: sa.ColumnElement[bool]) -> tuple[PurgeRecord, ...]:
        query = sa.select(schema.purge).where(*conditions).order_by(schema.purge.c.id)
        return tuple(_record(row) for row in self._connection.execute(query).mappings())


NEW_COLUMNS = ("what", "rule", "study_id", "study_key", "files", "size_bytes", "digests_sha256")


def _record(row: Mapping[Any, Any]) -> PurgeRecord:
    return PurgeRecord(**{**row, "what": Purged(row["what"])})


def _nobody_needs_images(before: float) -> Conditions:
    """Return what must hold of a study: all is done, delivered and committed, and nothing of it waits for a person."""
    study, instance, revision, job = schema.study.c, schema.instance.c, schema.revision.c, schema.job.c
    of_study = job.study_id == study.id
    late_revision = sa.or_(revision.routed_at.is_(None), revision.routed_at >= before)
    late_job = sa.or_(job.state.in_(AT_WORK), job.ended_at >= before)
    return [
        _some(schema.instance, instance.study_id == study.id, instance.purge_id.is_(None)),
        ~_some(schema.instance, instance.study_id == study.id, instance.promised == 1),
        ~_some(schema.revision, revision.study_id == study.id, late_revision),
        ~_some(schema.job, of_study, late_job),
        *(~condition for condition in _needs_of_jobs(before, of_study)),
    ]


def _nobody_needs_result(before: float) -> Conditions:
    own = schema.job.alias()
    return [~condition for condition in _needs_of_jobs(before, own.c.id == schema.job.c.id, job=own)]


def _needs_of_jobs(before: float, which: sa.ColumnElement[bool], *, job: sa.FromClause = schema.job) -> Conditions:
    """Return why something of a job is needed, each as a condition."""
    delivery, notification, shadow = schema.delivery.c, schema.notification.c, schema.shadow_run.c
    late_delivery = sa.or_(delivery.state.in_(UNSETTLED), delivery.ended_at >= before)
    poison = (schema.quarantine.c.reason == POISON, schema.quarantine.c.job_key == job.c.key)
    return [
        _some(sa.join(job, schema.delivery, delivery.job_id == job.c.id), which, late_delivery),
        _some(sa.join(job, schema.held_object, schema.held_object.c.job_id == job.c.id), which),
        _some(
            sa.join(job, schema.notification, notification.job_id == job.c.id),
            which,
            notification.state == NotificationState.PENDING,
        ),
        _some(sa.join(job, schema.shadow_run, shadow.job_id == job.c.id), which, shadow.state == ShadowState.PENDING),
        _some(sa.join(job, schema.quarantine, sa.and_(*poison)), which),
    ]


def _some(source: sa.FromClause, *conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """Say that there is such a row, for the study or job of the query around it."""
    return sa.exists(sa.select(sa.literal(1)).select_from(source).where(*conditions))
