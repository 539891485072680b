# SPDX-License-Identifier: Apache-2.0
"""What is unfinished in the ledger, for the reconciler: every non-terminal row, and a guarded way to take it over."""

from collections.abc import Iterator

import sqlalchemy as sa

from service.domain.entry import (
    CircuitState,
    CommitmentState,
    DeliveryState,
    JobState,
    NotificationState,
    Stranded,
)
from service.domain.fetch import FetchOutcome, FetchState
from service.domain.result import Priority
from service.domain.shadow import ShadowState
from service.storage import schema

JOB_STAGES = {JobState.QUEUED: "analyse", JobState.ANALYSED: "encode"}
DELIVER = "deliver."
COMMIT = "commit."
CIRCUIT = "circuit."
REPORT = "report."
_every = schema.delivery.alias()
# Tasks are named after the attempt, and rows that are at their end have used up names too.
USED = (
    sa.select(sa.func.max(_every.c.attempt))
    .where(_every.c.job_id == schema.delivery.c.job_id, _every.c.destination == schema.delivery.c.destination)
    .correlate(schema.delivery)
    .scalar_subquery()
)


def unfinished(connection: sa.Connection) -> tuple[Stranded, ...]:
    """Return every row that has yet to reach its end, with the task that should be driving it."""
    return (
        *_studies(connection),
        *_revisions(connection),
        *_jobs(connection),
        *_deliveries(connection),
        *_commitments(connection),
        *_circuits(connection),
        *_orders(connection),
        *_notifications(connection),
        *_shadows(connection),
        *_fetches(connection),
    )


def reassign(connection: sa.Connection, row: Stranded, *, task_id: str) -> bool:
    """Give the row to `task_id` if `row.task_id` still has it; the guard makes a stale reading harmless."""
    table, key, counter, state = _address(row)
    task = table.c.closer_task_id if table is schema.study else table.c.task_id
    statement = sa.update(table).where(*key, *state, task == row.task_id)
    values = {task.name: task_id, counter.name: row.attempt + 1}
    return connection.execute(statement.values(values)).rowcount > 0


Conditions = tuple[sa.ColumnElement[bool], ...]


def _address(row: Stranded) -> tuple[sa.Table, Conditions, sa.Column[int], Conditions]:
    if row.stage.startswith(DELIVER):
        table = schema.delivery
        key = (table.c.job_id == row.row_id, table.c.destination == row.stage.removeprefix(DELIVER))
        return table, key, table.c.attempt, (table.c.state == DeliveryState.PENDING,)
    table, state = {
        "commit": (schema.commitment, schema.commitment.c.state == CommitmentState.OPEN),
        "circuit": (schema.circuit, sa.true()),
        "report": (schema.commitment_order, schema.commitment_order.c.reported == 0),
        "close": (schema.study, schema.study.c.unclosed > 0),
        "route": (schema.revision, schema.revision.c.routed_at.is_(None)),
        "analyse": (schema.job, schema.job.c.state == JobState.QUEUED),
        "encode": (schema.job, schema.job.c.state == JobState.ANALYSED),
        "shadow": (schema.shadow_run, schema.shadow_run.c.state == ShadowState.PENDING),
        "fetch": (schema.prior_fetch, schema.prior_fetch.c.state != FetchState.DONE),
        "notify": (schema.notification, schema.notification.c.state == NotificationState.PENDING),
    }[row.stage.split(".")[0]]
    counter = table.c.generation if table is schema.study else table.c.attempt
    return table, (table.c.id == row.row_id,), counter, (state,)


def _studies(connection: sa.Connection) -> Iterator[Stranded]:
    table = schema.study
    for row in connection.execute(sa.select(table).where(table.c.unclosed > 0)):
        yield Stranded(
            stage="close",
            row_id=row.id,
            task_id=row.closer_task_id,
            priority=Priority.ROUTINE,
            attempt=row.generation,
            due_at=row.evaluate_at or 0.0,
        )


def _revisions(connection: sa.Connection) -> Iterator[Stranded]:
    table = schema.revision
    for row in connection.execute(sa.select(table).where(table.c.routed_at.is_(None))):
        yield Stranded(
            stage="route",
            row_id=row.id,
            task_id=row.task_id,
            priority=Priority.ROUTINE,
            attempt=row.attempt,
            due_at=row.closed_at,
        )


def _jobs(connection: sa.Connection) -> Iterator[Stranded]:
    table, fetch = schema.job, schema.prior_fetch
    columns = (table.c.id, table.c.task_id, table.c.priority, table.c.attempt, table.c.created_at, table.c.state)
    waits = sa.and_(fetch.c.job_id == table.c.id, fetch.c.outcome == FetchOutcome.WAITING)
    query = sa.select(*columns, fetch.c.due_at).outerjoin(fetch, waits)
    for row in connection.execute(query.where(table.c.state.in_(list(JOB_STAGES)))):
        yield Stranded(
            stage=JOB_STAGES[JobState(row.state)],
            row_id=row.id,
            task_id=row.task_id,
            priority=Priority(row.priority),
            attempt=row.attempt,
            due_at=row.created_at if row.due_at is None else row.due_at,  # a job may wait for an older study
        )


def _deliveries(connection: sa.Connection) -> Iterator[Stranded]:
    table = schema.delivery
    attempt = USED.label("attempt")
    newest = (attempt, sa.func.min(table.c.next_attempt_at).label("due_at"))
    group = (table.c.job_id, table.c.destination, table.c.task_id, schema.job.c.priority)
    query = sa.select(*group, *newest).join(schema.job, schema.job.c.id == table.c.job_id)
    driven = (table.c.state == DeliveryState.PENDING, table.c.parked == 0)
    for row in connection.execute(query.where(*driven).group_by(*group)):
        yield Stranded(
            stage=f"{DELIVER}{row.destination}",
            row_id=row.job_id,
            task_id=row.task_id,
            priority=Priority(row.priority),
            attempt=row.attempt,
            due_at=row.due_at,
        )


def _commitments(connection: sa.Connection) -> Iterator[Stranded]:
    table = schema.commitment
    columns = (table.c.id, table.c.destination, table.c.task_id, table.c.attempt, table.c.due_at, schema.job.c.priority)
    driven = (table.c.state == CommitmentState.OPEN, table.c.parked == 0)
    query = sa.select(*columns).join(schema.job, schema.job.c.id == table.c.job_id)
    for row in connection.execute(query.where(*driven)):
        yield Stranded(
            stage=f"{COMMIT}{row.destination}",
            row_id=row.id,
            task_id=row.task_id,
            priority=Priority(row.priority),
            attempt=row.attempt,
            due_at=row.due_at,
        )


def _circuits(connection: sa.Connection) -> Iterator[Stranded]:
    """Return the circuits that somebody has to close, or that have yet to release what they parked."""
    table, delivery, commitment = schema.circuit, schema.delivery.c, schema.commitment.c
    waiting = (
        sa.select(delivery.destination).where(delivery.parked == 1, delivery.state == DeliveryState.PENDING),
        sa.select(commitment.destination).where(commitment.parked == 1, commitment.state == CommitmentState.OPEN),
    )
    unfinished = sa.or_(
        table.c.state != CircuitState.CLOSED,
        table.c.task_id != "",
        *(table.c.destination.in_(name) for name in waiting),
    )
    idle = table.c.state.in_(["", CircuitState.HELD])
    for row in connection.execute(sa.select(table).where(unfinished, ~idle)):
        yield Stranded(
            stage=f"{CIRCUIT}{row.destination}",
            row_id=row.id,
            task_id=row.task_id,
            priority=Priority.URGENT,
            attempt=row.attempt,
            due_at=row.due_at,
        )


def _orders(connection: sa.Connection) -> Iterator[Stranded]:
    table = schema.commitment_order
    for row in connection.execute(sa.select(table).where(table.c.reported == 0)):
        yield Stranded(
            stage=f"{REPORT}{row.peer}",
            row_id=row.id,
            task_id=row.task_id,
            priority=Priority.ROUTINE,
            attempt=row.attempt,
            due_at=row.due_at,
        )


def _notifications(connection: sa.Connection) -> Iterator[Stranded]:
    table = schema.notification
    for row in connection.execute(sa.select(table).where(table.c.state == NotificationState.PENDING)):
        yield Stranded(
            stage="notify",
            row_id=row.id,
            task_id=row.task_id,
            priority=Priority.URGENT,
            attempt=row.attempt,
            due_at=row.next_attempt_at,
        )


def _shadows(connection: sa.Connection) -> Iterator[Stranded]:
    table = schema.shadow_run
    for row in connection.execute(sa.select(table).where(table.c.state == ShadowState.PENDING)):
        yield Stranded(
            stage="shadow",
            row_id=row.id,
            task_id=row.task_id,
            priority=Priority.ROUTINE,
            attempt=row.attempt,
            due_at=row.created_at,
        )


def _fetches(connection: sa.Connection) -> Iterator[Stranded]:
    table = schema.prior_fetch
    columns = (table.c.id, table.c.task_id, table.c.attempt, table.c.created_at)
    for row in connection.execute(sa.select(*columns).where(table.c.state != FetchState.DONE)):
        yield Stranded(
            stage="fetch",
            row_id=row.id,
            task_id=row.task_id,
            priority=Priority.ROUTINE,
            attempt=row.attempt,
            due_at=row.created_at,
        )
