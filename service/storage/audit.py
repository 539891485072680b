# SPDX-License-Identifier: Apache-2.0
"""Audit messages in the ledger, until the collector has them."""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from service.domain.audit import Arrival, AuditEntry, AuditText
from service.storage import schema


class SqlAudit:
    """The audit side of one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, message: AuditText, *, at: float) -> None:
        """Keep the message until the collector has it."""
        values = {"at": at, "severity": message.severity, "text": message.text}
        self._connection.execute(sa.insert(schema.audit_message).values(values))

    def oldest(self, limit: int) -> tuple[AuditEntry, ...]:
        """Return what has waited longest."""
        query = sa.select(schema.audit_message).order_by(schema.audit_message.c.id).limit(limit)
        return tuple(AuditEntry(**row) for row in self._connection.execute(query).mappings())

    def remove(self, ids: Collection[int]) -> None:
        """Forget messages that the collector has."""
        self._connection.execute(sa.delete(schema.audit_message).where(schema.audit_message.c.id.in_(list(ids))))

    def count(self) -> int:
        """Return how many wait."""
        return int(self._connection.execute(sa.select(sa.func.count()).select_from(schema.audit_message)).scalar_one())

    def drop_oldest(self, count: int) -> None:
        """Forget the oldest."""
        oldest = sa.select(schema.audit_message.c.id).order_by(schema.audit_message.c.id).limit(count)
        self._connection.execute(sa.delete(schema.audit_message).where(schema.audit_message.c.id.in_(oldest)))

    def arrivals(self, revision_id: int) -> tuple[Arrival, ...]:
        """Return what a revision holds beyond the one before it."""
        rows = self._connection.execute(_arrivals(revision_id)).mappings()
        return tuple(_arrival(row) for row in rows)


def _arrivals(revision_id: int) -> sa.Select[Any]:
    revision, instance = schema.revision.c, schema.instance.c
    earlier = schema.revision.alias()
    before = (
        sa.select(sa.func.coalesce(sa.func.max(earlier.c.last_instance_id), 0))
        .where(earlier.c.study_id == revision.study_id, earlier.c.number < revision.number)
        .scalar_subquery()
    )
    arrived = (
        sa.select(
            instance.id,
            instance.peer,
            instance.calling_ae,
            schema.study.c.study_instance_uid,
            instance.attributes["PatientID"].as_string().label("patient_id"),
            instance.attributes["AccessionNumber"].as_string().label("accession_number"),
            instance.sop_class_uid,
        )
        .select_from(schema.revision)
        .join(schema.instance, instance.study_id == revision.study_id)
        .join(schema.study, schema.study.c.id == revision.study_id)
        .where(revision.id == revision_id, instance.id > before, instance.id <= revision.last_instance_id)
        .subquery()
    )
    # Grouped outside: PostgreSQL does not see that two bound JSON keys are the same.
    owners = [column for column in arrived.c if column is not arrived.c.id]
    grouped = sa.select(*owners, sa.func.count().label("count")).group_by(*owners)
    return grouped.order_by(sa.func.min(arrived.c.id))


def _arrival(row: Mapping[Any, Any]) -> Arrival:
    values: dict[str, Any] = {name: "" if value is None else value for name, value in row.items()}
    return Arrival(**values)
