# SPDX-License-Identifier: Apache-2.0
"""Jobs and their result objects in the ledger."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.domain.entry import DeliveryState, JobRecord, JobState, NewJob
from service.domain.instance import Instance
from service.domain.result import PackageIdentity, PackageStatus, Priority, Reason
from service.ports.analyst import AnalysisSummary, ResultObject
from service.storage import schema
from service.storage.studies import inserted_id, load_instances

UNPRODUCED = (JobState.QUEUED, JobState.ANALYSED)
"""States in which a job has made nothing that anybody could have seen."""


REPEATED = (
    "study_id",
    "revision_id",
    "pipeline",
    "package_name",
    "package_version",
    "package_sha256",
    "package_status",
    "package_title",
    "priority",
    "inputs",
    "received_at",
)
"""What a job that is done again has in common with the first."""


class SqlJobs:
    """The job side of one transaction."""

    def __init__(self, connection: sa.Connection, *, root: Path) -> None:
        self._connection = connection
        self._root = root

    def add(self, job: NewJob, *, task_id: Callable[[int], str], at: float) -> JobRecord | None:
        """Insert the job unless its key is known; unfinished earlier jobs of the pipeline are superseded."""
        earlier = (schema.job.c.study_id == job.study_id, schema.job.c.pipeline == job.pipeline)
        if self._newest_key(earlier).startswith(job.key):
            return None
        self._supersede(earlier, at=at)
        values = self._values(job, earlier=earlier, at=at)
        row_id = inserted_id(self._connection, sa.insert(schema.job).values(values))
        self._update(row_id, task_id=task_id(row_id))
        return self.get(row_id)

    def get(self, job_id: int) -> JobRecord:
        """Return a job."""
        query = (
            sa.select(schema.job, schema.study.c.study_instance_uid).join(schema.study).where(schema.job.c.id == job_id)
        )
        return _record(self._connection.execute(query).mappings().one())

    def instances(self, job_id: int) -> tuple[Instance, ...]:
        """Return the job's input instances in the order of its selection."""
        job = self.get(job_id)
        study = load_instances(self._connection, [schema.instance.c.study_id == job.study_id], root=self._root)
        by_uid = {instance.sop_instance_uid: instance for instance in study}
        return tuple(by_uid[uid] for uid in job.input_sop_instance_uids)

    def count_start(self, job_id: int) -> None:
        """Count that the analysis begins."""
        self._update(job_id, starts=schema.job.c.starts + 1)

    def discount_start(self, job_id: int) -> None:
        """Take a start back."""
        self._update(job_id, starts=schema.job.c.starts - 1)

    def count_crash(self, job_id: int) -> None:
        """Count a death of the child process."""
        self._update(job_id, crashes=schema.job.c.crashes + 1)

    def repeat(
        self, key: str, *, flags: Sequence[Reason], task_id: Callable[[int], str], at: float
    ) -> JobRecord | None:
        """Insert the job's work again, unless later work took its place; its results supersede those of the job."""
        job = self._connection.execute(sa.select(schema.job).where(schema.job.c.key == key)).mappings().one_or_none()
        if job is None:
            return None
        earlier = (schema.job.c.study_id == job["study_id"], schema.job.c.pipeline == job["pipeline"])
        if self._newest_key(earlier) != key:
            return None
        self._supersede(earlier, at=at)
        number = self._connection.execute(sa.select(sa.func.count()).select_from(schema.job).where(*earlier))
        again = {
            **{name: job[name] for name in REPEATED},
            "result_revision": (count := number.scalar_one()) + 1,
            "key": f"{key.partition('-')[0]}-{job['revision_id']}-{count}",
            "state": JobState.QUEUED,
            "flags": [asdict(reason) for reason in flags],
            "refusals": [],
            "predecessors": self._predecessors(earlier),
            "created_at": at,
        }
        row_id = inserted_id(self._connection, sa.insert(schema.job).values(again))
        self._update(row_id, task_id=task_id(row_id))
        return self.get(row_id)

    def count_encode_failure(self, job_id: int) -> None:
        """Count that encoding failed."""
        self._update(job_id, encode_failures=schema.job.c.encode_failures + 1)

    def analysed(self, job_id: int, summary: AnalysisSummary, *, priority: Priority, task_id: str, at: float) -> None:
        """Keep the outcome and name the encoding task."""
        self._update(
            job_id,
            state=JobState.ANALYSED,
            outcome=summary.outcome.value,
            headline=summary.headline,
            refusals=[asdict(reason) for reason in summary.refusals],
            flags=[asdict(reason) for reason in summary.flags],
            triage_score=summary.triage.score if summary.triage else None,
            priority=priority.value,
            analysed_at=at,
            task_id=task_id,
        )

    def encoded(
        self, job_id: int, objects: Sequence[ResultObject], *, destinations: Mapping[str, Collection[str]], at: float
    ) -> None:
        """Keep the objects, and one pending delivery per destination that wants their kind."""
        self._update(job_id, state=JobState.ENCODED, encoded_at=at, task_id="")
        for item in objects:
            object_id = self._add_object(job_id, item, at=at)
            wanting = [name for name, kinds in destinations.items() if item.kind in kinds]
            rows = [_delivery(job_id, object_id, name, at=at) for name in wanting]
            if rows:
                self._connection.execute(sa.insert(schema.delivery), rows)

    def end(self, job_id: int, state: JobState, *, at: float) -> None:
        """Note the job's final state."""
        self._update(job_id, state=state, ended_at=at, task_id="")

    def _newest_key(self, earlier: Sequence[sa.ColumnElement[bool]]) -> str:
        query = sa.select(schema.job.c.key).where(*earlier).order_by(schema.job.c.id.desc()).limit(1)
        return str(self._connection.execute(query).scalar_one_or_none() or "")

    def _unused_key(self, job: NewJob) -> str:
        """Return the key, extended when older work had it: what came between made that work outdated."""
        used = self._connection.execute(sa.select(schema.job.c.id).where(schema.job.c.key == job.key)).first()
        return f"{job.key}-{job.revision_id}" if used else job.key

    def _supersede(self, earlier: Sequence[sa.ColumnElement[bool]], *, at: float) -> None:
        statement = sa.update(schema.job).where(*earlier, schema.job.c.state.in_(UNPRODUCED))
        self._connection.execute(statement.values(state=JobState.SUPERSEDED, ended_at=at, task_id=""))

    def _values(self, job: NewJob, *, earlier: Sequence[sa.ColumnElement[bool]], at: float) -> dict[str, Any]:
        count = self._connection.execute(sa.select(sa.func.count()).select_from(schema.job).where(*earlier))
        return {
            "key": self._unused_key(job),
            "study_id": job.study_id,
            "revision_id": job.revision_id,
            "result_revision": count.scalar_one() + 1,
            "pipeline": job.pipeline,
            **_package_values(job.package),
            "priority": job.priority.value,
            "state": JobState.QUEUED,
            "inputs": list(job.input_sop_instance_uids),
            "flags": [asdict(reason) for reason in job.flags],
            "refusals": [asdict(reason) for reason in job.refusals],
            "predecessors": self._predecessors(earlier),
            "received_at": self._received_at(job),
            "created_at": at,
        }

    def _received_at(self, job: NewJob) -> float:
        uids = list(job.input_sop_instance_uids)
        query = sa.select(sa.func.max(schema.instance.c.received_at)).where(
            schema.instance.c.study_id == job.study_id, schema.instance.c.sop_instance_uid.in_(uids)
        )
        return float(self._connection.execute(query).scalar_one_or_none() or 0.0)

    def _predecessors(self, earlier: Sequence[sa.ColumnElement[bool]]) -> list[str]:
        newest = (
            sa.select(sa.func.max(schema.job.c.id))
            .join(schema.result_object, schema.result_object.c.job_id == schema.job.c.id)
            .where(*earlier)
            .scalar_subquery()
        )
        query = sa.select(schema.result_object.c.sop_instance_uid).where(
            schema.result_object.c.job_id == newest, schema.result_object.c.kind == "sr"
        )
        return sorted(self._connection.execute(query).scalars())

    def _add_object(self, job_id: int, item: ResultObject, *, at: float) -> int:
        values = {
            "job_id": job_id,
            "kind": item.kind,
            "sop_class_uid": item.sop_class_uid,
            "sop_instance_uid": item.sop_instance_uid,
            "path": str(item.path.relative_to(self._root)),
            "created_at": at,
        }
        return inserted_id(self._connection, sa.insert(schema.result_object).values(values))

    def _update(self, job_id: int, **values: Any) -> None:
        self._connection.execute(sa.update(schema.job).where(schema.job.c.id == job_id).values(values))


def _delivery(job_id: int, object_id: int, destination: str, *, at: float) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "object_id": object_id,
        "destination": destination,
        "state": DeliveryState.PENDING,
        "next_attempt_at": at,
        "created_at": at,
    }


def _package_values(package: PackageIdentity | None) -> dict[str, str]:
    if package is None:
        return {}
    return {
        "package_name": package.name,
        "package_version": package.version,
        "package_sha256": package.sha256,
        "package_status": package.status.value,
        "package_title": package.title,
    }


def _package(row: Mapping[Any, Any]) -> PackageIdentity | None:
    if not row["package_name"]:
        return None
    return PackageIdentity(
        name=row["package_name"],
        version=row["package_version"],
        sha256=row["package_sha256"],
        status=PackageStatus(row["package_status"]),
        title=row["package_title"],
    )


SAME = frozenset(schema.job.c.keys()) & {field.name for field in fields(JobRecord)} - {
    "priority",
    "state",
    "flags",
    "refusals",
}
"""Columns that a JobRecord takes over unchanged."""


def _record(row: Mapping[Any, Any]) -> JobRecord:
    return JobRecord(
        **{name: row[name] for name in SAME},
        study_instance_uid=row["study_instance_uid"],
        package=_package(row),
        priority=Priority(row["priority"]),
        state=JobState(row["state"]),
        input_sop_instance_uids=tuple(row["inputs"]),
        flags=tuple(Reason(**reason) for reason in row["flags"]),
        refusals=tuple(Reason(**reason) for reason in row["refusals"]),
        predecessor_sop_instance_uids=tuple(row["predecessors"]),
    )
