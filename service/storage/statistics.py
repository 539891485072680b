# SPDX-License-Identifier: Apache-2.0
"""Counts over the ledger for metrics, and the rows that `dokuei status` shows."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.domain.entry import AT_THE_DESTINATION, CircuitState, DeliveryState, JobState, NotificationState
from service.domain.errors import ConfigurationError, StorageError
from service.domain.quarantine import CONFLICT
from service.domain.shadow import ShadowState
from service.ports.statistics import QueueCounts
from service.storage import schema
from service.storage.stranded import JOB_STAGES

Number = TypeVar("Number", int, float)
STAGES = ("close", "route", "analyse", "encode", "deliver", "commit", "notify", "shadow")
CIRCUITS = {CircuitState.CLOSED: 0, CircuitState.HALF_OPEN: 1, CircuitState.OPEN: 2, CircuitState.HELD: 3}
SENT = (*AT_THE_DESTINATION, DeliveryState.RETIRED)
NOT_MEANT = frozenset({DeliveryState.UNNEEDED, DeliveryState.DECLINED, DeliveryState.WAITING})
MEANT = tuple(state for state in DeliveryState if state not in NOT_MEANT)
"""States of what a destination is to have: no other form of the same, nothing that it does not take, no note that may
never go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStatus:
    """A study's newest analysis by one pipeline (or the study alone, before any), as `dokuei status` shows it.

    It carries identity: it is for the terminal of the person who asks, never for a log.
    """

    study_instance_uid: str
    received_at: float
    instances: int
    revision: int
    pipeline: str
    state: str
    outcome: str
    priority: str
    headline: str
    objects: int
    delivered: int
    refused: int
    seconds: float | None
    as_prior: int = 0
    """1 for an older study that the node asked an archive for: it is compared with, and no result of it is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassStatus:
    """How many objects of a SOP class a destination stored, declined, refused, or did not need."""

    destination: str
    kind: str
    sop_class_uid: str
    state: str
    objects: int


class SqlStatistics:
    """`ports.QueueStatistics` on the ledger's database."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def counts(self) -> QueueCounts:
        """Return what waits now."""
        with self._reading() as connection:
            waiting = _waiting(connection)
            return QueueCounts(
                pending={stage: waiting.get(stage, (0, 0.0))[0] for stage in STAGES},
                oldest_received_at={stage: oldest for stage, (_, oldest) in waiting.items()},
                deliveries_pending=_by_destination(connection, sa.func.count(), DeliveryState.PENDING),
                deliveries_refused=_by_destination(connection, sa.func.count(), DeliveryState.REFUSED),
                last_delivered_at=_by_destination(
                    connection, sa.func.max(schema.delivery.c.stored_at), *AT_THE_DESTINATION
                ),
                conflicts=_count(connection, schema.quarantine, schema.quarantine.c.reason == CONFLICT),
                quarantined=_count(connection, schema.quarantine),
                quarantined_bytes=_quarantined_bytes(connection),
                deliveries_abandoned=_by_destination(connection, sa.func.count(), DeliveryState.ABANDONED),
                commitments_pending=_by_destination(connection, sa.func.count(), DeliveryState.STORED),
                circuits=_circuits(connection),
                oldest_delivery_at=_by_destination(
                    connection, sa.func.min(schema.delivery.c.created_at), DeliveryState.PENDING, DeliveryState.STORED
                ),
                failed_jobs=_count(connection, schema.job, schema.job.c.state == JobState.FAILED),
                audit_pending=_count(connection, schema.audit_message),
                deliveries_declined=_by_destination(connection, sa.func.count(), DeliveryState.DECLINED),
                held=_count(connection, schema.held_object),
            )

    def spool_bytes(self) -> int:
        """Return the bytes of the instances of unfinished studies."""
        statement = sa.select(sa.func.sum(schema.instance.c.size_bytes)).where(
            schema.instance.c.study_id.in_(_unfinished_studies())
        )
        with self._reading() as connection:
            return int(connection.execute(statement).scalar_one() or 0)

    def studies(self, *, limit: int) -> tuple[StudyStatus, ...]:
        """Return the studies that arrived last, newest first."""
        with self._reading() as connection:
            return tuple(StudyStatus(**row._mapping) for row in connection.execute(_study_rows(limit)))

    def classes(self) -> tuple[ClassStatus, ...]:
        """Return what destinations did with each SOP class that they were sent or offered."""
        delivery, item = schema.delivery.c, schema.result_object.c
        answer = sa.case((delivery.state.in_(list(SENT)), "stored"), else_=delivery.state)
        columns = (delivery.destination, item.kind, item.sop_class_uid, answer.label("state"))
        answered = delivery.state.in_([*SENT, DeliveryState.DECLINED, DeliveryState.REFUSED, DeliveryState.UNNEEDED])
        query = sa.select(*columns, sa.func.count().label("objects")).join(
            schema.result_object, delivery.object_id == item.id
        )
        rows = query.where(answered).group_by(*columns).order_by(*columns)
        with self._reading() as connection:
            return tuple(ClassStatus(**row._mapping) for row in connection.execute(rows))

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except (DBAPIError, PoolTimeoutError, ConfigurationError) as error:
            raise StorageError(f"the ledger cannot be read: {type(error).__name__}; see `dokuei doctor`") from error


def _count(connection: sa.Connection, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one()


def _quarantined_bytes(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.sum(schema.quarantine.c.size_bytes))).scalar_one() or 0)


def _unfinished_studies() -> sa.CompoundSelect[tuple[int]]:
    study, revision, job = schema.study.c, schema.revision.c, schema.job.c
    return sa.union(
        sa.select(study.id).where(study.unclosed > 0),
        sa.select(revision.study_id).where(revision.routed_at.is_(None)),
        sa.select(job.study_id).where(job.state.in_([JobState.QUEUED, JobState.ANALYSED, JobState.ENCODED])),
    )


def _waiting(connection: sa.Connection) -> dict[str, tuple[int, float]]:
    """Return (number, oldest arrival) by stage, of the stages in which something waits."""
    study, revision, job = schema.study.c, schema.revision.c, schema.job.c
    delivery, notification, shadow = schema.delivery.c, schema.notification.c, schema.shadow_run.c
    found = {
        "close": _number_and_oldest(connection, study.last_seen_at, study.unclosed > 0),
        "route": _number_and_oldest(connection, revision.closed_at, revision.routed_at.is_(None)),
        **{
            stage: _number_and_oldest(connection, job.received_at, job.state == state)
            for state, stage in JOB_STAGES.items()
        },
        "deliver": _number_and_oldest(
            connection, job.received_at, delivery.state == DeliveryState.PENDING, delivery.job_id == job.id
        ),
        "commit": _number_and_oldest(
            connection, job.received_at, delivery.state == DeliveryState.STORED, delivery.job_id == job.id
        ),
        "notify": _number_and_oldest(
            connection, job.received_at, notification.state == NotificationState.PENDING, notification.job_id == job.id
        ),
        "shadow": _number_and_oldest(
            connection, job.received_at, shadow.state == ShadowState.PENDING, shadow.job_id == job.id
        ),
    }
    return {stage: (number, oldest) for stage, (number, oldest) in found.items() if number}


def _number_and_oldest(
    connection: sa.Connection, since: sa.Column[float], *where: sa.ColumnElement[bool]
) -> tuple[int, float]:
    row = connection.execute(sa.select(sa.func.count(), sa.func.min(since)).where(*where)).one()
    return row[0], row[1] or 0.0


def _by_destination(
    connection: sa.Connection, value: sa.ColumnElement[Number], *states: DeliveryState
) -> dict[str, Number]:
    delivery = schema.delivery.c
    statement = sa.select(delivery.destination, value).where(delivery.state.in_(states)).group_by(delivery.destination)
    return {row[0]: row[1] for row in connection.execute(statement) if row[1] is not None}


def _circuits(connection: sa.Connection) -> dict[str, int]:
    statement = sa.select(schema.circuit.c.destination, schema.circuit.c.state).where(schema.circuit.c.state != "")
    return {row.destination: CIRCUITS[CircuitState(row.state)] for row in connection.execute(statement)}


def _study_rows(limit: int) -> sa.Select[tuple[object, ...]]:
    job, instance, delivery = schema.job.c, schema.instance.c, schema.delivery.c
    # Each study gives a row at least: more studies than rows need not be looked at.
    last = sa.select(schema.study).order_by(schema.study.c.first_seen_at.desc(), schema.study.c.id.desc()).limit(limit)
    study_rows = last.subquery()
    study = study_rows.c
    # A later revision's job replaces an earlier one's row, as its result replaces the earlier result.
    later = schema.job.alias()
    replaced = sa.exists().where(
        later.c.study_id == job.study_id, later.c.pipeline == job.pipeline, later.c.id > job.id
    )
    instances = sa.select(sa.func.count()).where(instance.study_id == study.id).scalar_subquery()

    def deliveries(*where: sa.ColumnElement[bool]) -> sa.ScalarSelect[int]:
        return (
            sa.select(sa.func.count()).where(delivery.job_id == job.id, *where).correlate(schema.job).scalar_subquery()
        )

    return (
        sa.select(
            study.study_instance_uid,
            study.first_seen_at.label("received_at"),
            instances.label("instances"),
            study.revision,
            sa.func.coalesce(job.pipeline, "").label("pipeline"),
            sa.func.coalesce(job.state, "").label("state"),
            sa.func.coalesce(job.outcome, "").label("outcome"),
            sa.func.coalesce(job.priority, "").label("priority"),
            sa.func.coalesce(job.headline, "").label("headline"),
            deliveries(delivery.state.in_(MEANT)).label("objects"),
            deliveries(delivery.state.in_(SENT)).label("delivered"),
            deliveries(delivery.state == DeliveryState.REFUSED).label("refused"),
            (job.ended_at - job.received_at).label("seconds"),
            study.fetched.label("as_prior"),
        )
        .select_from(study_rows.outerjoin(schema.job, sa.and_(job.study_id == study.id, ~replaced)))
        .order_by(study.first_seen_at.desc(), study.id.desc(), job.pipeline)
        .limit(limit)
    )
