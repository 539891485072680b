# SPDX-License-Identifier: Apache-2.0
"""Studies, instances and revisions in the ledger."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.domain.entry import RevisionRecord, StudyRecord
from service.domain.errors import StorageError
from service.domain.instance import AttributeValue, Instance
from service.ports.ledger import KnownInstance
from service.storage import schema
from service.storage.dialect import Prepared, insert


def _touch_study(dialect: sa.Dialect) -> Any:
    at, table = sa.bindparam("at", type_=sa.Float), schema.study
    fetched = sa.bindparam("fetched", type_=sa.Integer)
    values = {"first_seen_at": at, "last_seen_at": at, "evaluated_at": 0.0, "unclosed": 1, "fetched": fetched}
    statement = insert(dialect, table).values(study_instance_uid=sa.bindparam("uid"), **values)
    # One instance that came by itself makes the whole study an ordinary one, for good.
    changes = {
        "last_seen_at": at,
        "unclosed": table.c.unclosed + 1,
        "purged": 0,
        "fetched": table.c.fetched * fetched,
    }
    return statement.on_conflict_do_update(index_elements=[table.c.study_instance_uid], set_=changes).returning(table)


DEFAULTED = frozenset(("id", "purge_id", "promised"))
"""Columns of an instance that its arrival says nothing of."""


def _insert_instance(_dialect: sa.Dialect) -> Any:
    names = [name for name in schema.instance.c.keys() if name not in DEFAULTED]  # noqa: SIM118 - columns, by name
    return sa.insert(schema.instance).values({name: sa.bindparam(name) for name in names})


FIND_INSTANCE = Prepared(
    lambda _dialect: sa.select(schema.instance.c.path, schema.instance.c.sha256, schema.instance.c.purge_id).where(
        schema.instance.c.sop_instance_uid == sa.bindparam("uid")
    )
)
FIND_RESULT = Prepared(
    lambda _dialect: sa.select(schema.result_object.c.id).where(
        schema.result_object.c.sop_instance_uid == sa.bindparam("uid")
    )
)
TOUCH_STUDY = Prepared(_touch_study)
INSERT_INSTANCE = Prepared(_insert_instance)
"""What runs for every received instance."""


class SqlStudies:
    """The study side of one transaction."""

    def __init__(self, connection: sa.Connection, *, root: Path) -> None:
        self._connection = connection
        self._root = root

    def find_instance(self, sop_instance_uid: str) -> KnownInstance | None:
        """Return the stored instance with this UID."""
        for path, sha256, purge_id in FIND_INSTANCE(self._connection, {"uid": sop_instance_uid}):
            return KnownInstance(path=self._root / path, sha256=sha256, is_deleted=purge_id is not None)
        return None

    def is_result(self, sop_instance_uid: str) -> bool:
        """Say whether this node made the instance."""
        return bool(FIND_RESULT(self._connection, {"uid": sop_instance_uid}))

    def add_instance(self, instance: Instance, *, peer: str, at: float, fetched: bool = False) -> StudyRecord:
        """Insert the instance and touch its study."""
        study = self.touch(instance.study_instance_uid, at=at, fetched=fetched)
        values = {
            "study_id": study.id,
            "sop_instance_uid": instance.sop_instance_uid,
            "sop_class_uid": instance.sop_class_uid,
            "series_instance_uid": instance.series_instance_uid,
            "transfer_syntax_uid": instance.transfer_syntax_uid,
            "path": self._relative(instance.path),
            "sha256": instance.sha256,
            "size_bytes": instance.size_bytes,
            "calling_ae": instance.calling_ae,
            "peer": peer,
            "received_at": at,
            "attributes": dict(instance.attributes),
        }
        INSERT_INSTANCE(self._connection, values)
        return study

    def restore_instance(self, instance: Instance, *, peer: str, at: float, fetched: bool = False) -> StudyRecord:
        """Give an instance whose file was deleted a file again, and touch its study."""
        values = {"path": self._relative(instance.path), "purge_id": None, "received_at": at, "peer": peer}
        condition = schema.instance.c.sop_instance_uid == instance.sop_instance_uid
        self._connection.execute(sa.update(schema.instance).where(condition).values(values))
        return self.touch(instance.study_instance_uid, at=at, fetched=fetched)

    def find(self, study_instance_uid: str) -> StudyRecord | None:
        """Return the study with this UID."""
        query = sa.select(schema.study).where(schema.study.c.study_instance_uid == study_instance_uid)
        row = self._connection.execute(query).mappings().one_or_none()
        return StudyRecord(**row) if row else None

    def listed(self, *, since: float = 0.0) -> tuple[StudyRecord, ...]:
        """Return the studies of which something arrived since, the oldest first."""
        query = sa.select(schema.study).where(schema.study.c.last_seen_at >= since).order_by(schema.study.c.id)
        return tuple(StudyRecord(**row) for row in self._connection.execute(query).mappings())

    def study(self, study_id: int) -> StudyRecord:
        """Return a study."""
        row = self._connection.execute(sa.select(schema.study).where(schema.study.c.id == study_id)).mappings().one()
        return StudyRecord(**row)

    def instances(self, study_id: int) -> tuple[Instance, ...]:
        """Return all instances of a study, in order of arrival."""
        return self._instances(schema.instance.c.study_id == study_id)

    def instances_of_revision(self, revision_id: int) -> tuple[Instance, ...]:
        """Return the instances that a revision froze, in order of arrival."""
        frozen = sa.select(schema.revision.c.study_id, schema.revision.c.last_instance_id).where(
            schema.revision.c.id == revision_id
        )
        study_id, last_id = self._connection.execute(frozen).one()
        return self._instances(schema.instance.c.study_id == study_id, schema.instance.c.id <= last_id)

    def arm(self, study_id: int, *, task_id: str, evaluate_at: float) -> None:
        """Note the next closer; the generation goes up."""
        generation = schema.study.c.generation + 1
        self._update_study(study_id, closer_task_id=task_id, evaluate_at=evaluate_at, generation=generation)

    def evaluated(self, study_id: int, *, at: float) -> None:
        """Note that a closer looked at the study."""
        self._update_study(study_id, evaluated_at=at)

    def freeze(self, study_id: int, *, reason: str, task_id: Callable[[int], str], at: float) -> RevisionRecord:
        """Freeze everything that has arrived as the next revision."""
        number = self.study(study_id).revision + 1
        arrived = sa.select(sa.func.count(), sa.func.max(schema.instance.c.id)).where(
            schema.instance.c.study_id == study_id
        )
        count, last_id = self._connection.execute(arrived).one()
        values = {
            "study_id": study_id,
            "number": number,
            "reason": reason,
            "closed_at": at,
            "rules": [],
            "pipelines": [],
        }
        statement = sa.insert(schema.revision).values(**values, instance_count=count, last_instance_id=last_id)
        row_id = inserted_id(self._connection, statement)
        self._update_revision(row_id, task_id=task_id(row_id))
        self._update_study(study_id, revision=number, unclosed=0, closer_task_id="", evaluate_at=None)
        return self.revision(row_id)

    def revision(self, revision_id: int) -> RevisionRecord:
        """Return a revision."""
        names = ("id", "study_id", "number", "reason", "instance_count", "closed_at", "routed_at", "attempt", "task_id")
        columns = [schema.revision.c[name] for name in names]
        query = (
            sa.select(*columns, schema.study.c.study_instance_uid)
            .join(schema.study)
            .where(schema.revision.c.id == revision_id)
        )
        return RevisionRecord(**self._connection.execute(query).mappings().one())

    def routed(self, revision_id: int, *, rules: Sequence[str], pipelines: Sequence[str], at: float) -> None:
        """Note which rules matched."""
        self._update_revision(revision_id, rules=list(rules), pipelines=list(pipelines), routed_at=at)

    def touch(self, study_instance_uid: str, *, at: float, fetched: bool) -> StudyRecord:
        """Note that something of the study came, or came to its end."""
        (row,) = TOUCH_STUDY(self._connection, {"uid": study_instance_uid, "at": at, "fetched": int(fetched)})
        return StudyRecord(**dict(zip(schema.study.c.keys(), row, strict=True)))

    def _instances(self, *conditions: sa.ColumnElement[bool]) -> tuple[Instance, ...]:
        return load_instances(self._connection, conditions, root=self._root)

    def _update_study(self, study_id: int, **values: Any) -> None:
        self._connection.execute(sa.update(schema.study).where(schema.study.c.id == study_id).values(values))

    def _update_revision(self, revision_id: int, **values: Any) -> None:
        self._connection.execute(sa.update(schema.revision).where(schema.revision.c.id == revision_id).values(values))

    def _relative(self, path: Path) -> str:
        return str(path.relative_to(self._root))


def load_instances(
    connection: sa.Connection, conditions: Sequence[sa.ColumnElement[bool]], *, root: Path
) -> tuple[Instance, ...]:
    """Return the instances that fulfil the conditions, in order of arrival."""
    query = sa.select(schema.instance, schema.study.c.study_instance_uid).join(schema.study)
    rows = connection.execute(query.where(*conditions).order_by(schema.instance.c.id)).mappings()
    return tuple(_instance(row, root=root) for row in rows)


def _instance(row: Mapping[Any, Any], *, root: Path) -> Instance:
    return Instance(
        sop_instance_uid=row["sop_instance_uid"],
        sop_class_uid=row["sop_class_uid"],
        study_instance_uid=row["study_instance_uid"],
        series_instance_uid=row["series_instance_uid"],
        transfer_syntax_uid=row["transfer_syntax_uid"],
        path=root / row["path"],
        sha256=row["sha256"],
        size_bytes=row["size_bytes"],
        calling_ae=row["calling_ae"],
        attributes={keyword: _value(value) for keyword, value in row["attributes"].items()},
        is_deleted=row["purge_id"] is not None,
    )


def _value(value: Any) -> AttributeValue:
    return tuple(value) if isinstance(value, list) else value


def inserted_id(connection: sa.Connection, statement: sa.Insert) -> int:
    """Execute an INSERT of one row and return the row's id."""
    key = connection.execute(statement).inserted_primary_key
    if key is None:
        raise StorageError("the ledger did not return the id of a new row")
    return int(key[0])
