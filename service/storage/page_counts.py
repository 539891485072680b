# SPDX-License-Identifier: Apache-2.0
"""What waits and what needs a person, for the status page: what is done is not looked at, however much there is."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from service.domain.entry import AT_THE_DESTINATION, DeliveryState, JobState
from service.domain.quarantine import CONFLICT
from service.ports.statistics import QueueCounts
from service.storage import schema
from service.storage.statistics import CIRCUITS

OPEN = (DeliveryState.PENDING, DeliveryState.STORED)
COUNTED = (*OPEN, DeliveryState.REFUSED, DeliveryState.DECLINED, DeliveryState.ABANDONED)
NEWEST_DELIVERIES = 10_000
"""The last success of a destination is looked for among so many of the newest rows."""


def page_counts(connection: sa.Connection) -> QueueCounts:
    """Return what the page shows of the queues; what it does not show is left out."""
    numbers, oldest = _deliveries(connection)
    return QueueCounts(
        pending={},
        oldest_received_at={},
        deliveries_pending=numbers[DeliveryState.PENDING],
        deliveries_refused=numbers[DeliveryState.REFUSED],
        deliveries_declined=numbers[DeliveryState.DECLINED],
        deliveries_abandoned=numbers[DeliveryState.ABANDONED],
        commitments_pending=numbers[DeliveryState.STORED],
        oldest_delivery_at=oldest,
        last_delivered_at=_last_stored(connection),
        conflicts=_count(connection, schema.quarantine, schema.quarantine.c.reason == CONFLICT),
        failed_jobs=_count(connection, schema.job, schema.job.c.state == JobState.FAILED),
        held=_count(connection, schema.held_object),
        circuits=_circuits(connection),
    )


def _deliveries(connection: sa.Connection) -> tuple[Mapping[str, dict[str, int]], dict[str, float]]:
    """Return numbers by state and destination, and when the oldest was made that is not at its end."""
    delivery = schema.delivery.c
    columns = (delivery.destination, delivery.state, sa.func.count(), sa.func.min(delivery.created_at))
    query = sa.select(*columns).where(delivery.state.in_(COUNTED)).group_by(delivery.destination, delivery.state)
    numbers: dict[str, dict[str, int]] = {state: {} for state in COUNTED}
    oldest: dict[str, float] = {}
    for destination, state, number, first in connection.execute(query):
        numbers[state][destination] = number
        if state in OPEN:
            oldest[destination] = min(first, oldest.get(destination, first))
    return numbers, oldest


def _last_stored(connection: sa.Connection) -> dict[str, float]:
    delivery = schema.delivery.c
    newest = int(connection.execute(sa.select(sa.func.max(delivery.id))).scalar_one() or 0)
    state = sa.func.coalesce(delivery.state, "")  # or SQLite would take the index of states, and read every row there
    query = sa.select(delivery.destination, sa.func.max(delivery.stored_at)).where(
        delivery.id > newest - NEWEST_DELIVERIES, state.in_(list(AT_THE_DESTINATION))
    )
    rows = connection.execute(query.group_by(delivery.destination))
    return {destination: at for destination, at in rows if at is not None}


def _circuits(connection: sa.Connection) -> dict[str, int]:
    circuit = schema.circuit.c
    numbers: Mapping[Any, int] = {state.value: number for state, number in CIRCUITS.items()}
    query = sa.select(circuit.destination, circuit.state).where(circuit.state != "")
    return {destination: numbers[state] for destination, state in connection.execute(query)}


def _count(connection: sa.Connection, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one()
