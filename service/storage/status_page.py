# SPDX-License-Identifier: Apache-2.0
"""The ledger as the status page reads it: `ports.StatusLedger`."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from service.domain.entry import CommitmentState, DeliveryState, NotificationState
from service.domain.fetch import FetchOutcome
from service.ports.statistics import QueueCounts
from service.ports.status_page import (
    Arrivals,
    CommitmentStory,
    DeliveryStory,
    FetchStory,
    HeldStory,
    Listing,
    NotificationStory,
    ObjectsMade,
    Position,
    SetAside,
    StudyStory,
    WorkItem,
    Worklist,
)
from service.storage import schema
from service.storage.page_counts import page_counts
from service.storage.reading import reading
from service.storage.worklist import ANALYSES, analyses_of, is_urgent, revisions_of, work_items, worklist

COUNTS_SECONDS = 10.0
"""So long are counts of what waits shown again: after an outage of days they cost more than all else on the page."""
ROWS = 1000
"""So many rows of one kind are read of one study."""
Row = TypeVar("Row")


class SqlStatusLedger:
    """Reads the ledger for the status page.

    Parameters
    ----------
    engine
        One of `reading_engine`.
    root
        The data folder, which paths in the ledger are relative to.
    """

    def __init__(self, engine: sa.Engine, *, root: Path) -> None:
        self._engine = engine
        self._root = root.resolve()
        self._counted: tuple[float, QueueCounts] | None = None
        self._counting = threading.Lock()

    def worklist(self, listing: Listing) -> Worklist:
        """Return a page of the list of studies."""
        with reading(self._engine) as connection:
            return worklist(connection, listing, root=self._root)

    def story(self, study_id: int, *, with_identity: bool) -> StudyStory | None:
        """Return what is known of a study."""
        with reading(self._engine) as connection:
            position = Position(urgent=is_urgent(connection, study_id), study_id=study_id)
            found = work_items(connection, [position], root=self._root, with_identity=with_identity)
            return _story(connection, found[0]) if found else None

    def quarantine(self) -> tuple[SetAside, ...]:
        """Return what lies in the quarantine, by reason, most first."""
        with reading(self._engine) as connection:
            return _set_aside(connection)

    def counts(self) -> QueueCounts:
        """Return what waits."""
        with self._counting:
            now = time.monotonic()
            if self._counted is None or now - self._counted[0] > COUNTS_SECONDS:
                with reading(self._engine) as connection:
                    self._counted = (now, page_counts(connection))
            return self._counted[1]


def _story(connection: sa.Connection, study: WorkItem) -> StudyStory:
    analyses = analyses_of(connection, [study.study_id])[-ANALYSES:]
    jobs = [job.id for job in analyses]
    return StudyStory(
        study=replace(study, analyses=analyses),
        arrivals=_arrivals(connection, study.study_id),
        revisions=revisions_of(connection, [study.study_id])[-ROWS:],
        objects=_objects(connection, jobs),
        held=_of(connection, schema.held_object, HeldStory, jobs, destinations=tuple, problems=tuple),
        deliveries=_deliveries(connection, jobs),
        commitments=_of(connection, schema.commitment, CommitmentStory, jobs, state=CommitmentState),
        notifications=_of(connection, schema.notification, NotificationStory, jobs, state=NotificationState),
        set_aside=_set_aside(connection, schema.quarantine.c.study_instance_uid == study.study_instance_uid),
        fetches=_of(connection, schema.prior_fetch, FetchStory, jobs, outcome=FetchOutcome),
    )


def _arrivals(connection: sa.Connection, study_id: int) -> tuple[Arrivals, ...]:
    instance = schema.instance.c
    at = instance.received_at
    query = sa.select(
        instance.peer,
        instance.calling_ae,
        sa.func.count().label("count"),
        sa.func.min(at).label("first_at"),
        sa.func.max(at).label("last_at"),
    )
    grouped = query.where(instance.study_id == study_id).group_by(instance.peer, instance.calling_ae).limit(ROWS)
    return tuple(Arrivals(**row) for row in connection.execute(grouped.order_by(sa.func.min(at))).mappings())


def _objects(connection: sa.Connection, jobs: Sequence[int]) -> tuple[ObjectsMade, ...]:
    item = schema.result_object.c
    made = (sa.func.count().label("count"), sa.func.min(item.created_at).label("created_at"))
    query = sa.select(item.job_id, item.kind, *made).where(item.job_id.in_(jobs)).group_by(item.job_id, item.kind)
    rows = connection.execute(query.order_by(item.job_id, item.kind).limit(ROWS)).mappings()
    return tuple(ObjectsMade(**row) for row in rows)


def _deliveries(connection: sa.Connection, jobs: Sequence[int]) -> tuple[DeliveryStory, ...]:
    delivery, item = schema.delivery, schema.result_object
    names = [field.name for field in fields(DeliveryStory) if field.name != "kind"]
    query = sa.select(*(delivery.c[name] for name in names), item.c.kind).join(item, delivery.c.object_id == item.c.id)
    rows = connection.execute(query.where(delivery.c.job_id.in_(jobs)).order_by(delivery.c.id).limit(ROWS)).mappings()
    return tuple(DeliveryStory(**{**row, "state": DeliveryState(row["state"])}) for row in rows)


def _of(
    connection: sa.Connection,
    table: sa.Table,
    form: Callable[..., Row],
    jobs: Sequence[int],
    **convert: Callable[[Any], Any],
) -> tuple[Row, ...]:
    """Return the rows of a table that belong to the jobs, with some columns converted."""
    names = [field.name for field in fields(form)]  # type: ignore[arg-type]
    query = sa.select(*(table.c[name] for name in names)).where(table.c.job_id.in_(jobs)).order_by(table.c.id)
    return tuple(_row(form, row, convert) for row in connection.execute(query.limit(ROWS)).mappings())


def _row(form: Callable[..., Row], row: Mapping[Any, Any], convert: Mapping[str, Callable[[Any], Any]]) -> Row:
    return form(**{**row, **{name: change(row[name]) for name, change in convert.items()}})


def _set_aside(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> tuple[SetAside, ...]:
    row = schema.quarantine.c
    count = sa.func.count().label("count")
    times = (sa.func.min(row.first_at).label("first_at"), sa.func.max(row.last_at).label("last_at"))
    query = sa.select(row.reason, count, *times).where(*where).group_by(row.reason).order_by(count.desc(), row.reason)
    return tuple(SetAside(**entry) for entry in connection.execute(query).mappings())
