# SPDX-License-Identifier: Apache-2.0
"""Jobs and their result objects in the ledger."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.domain.companion import COMPANIONS, Companion
from service.domain.entry import DeliveryState, EarlierDelivery, HeldObject, JobRecord, JobState, NewJob, PriorJob
from service.domain.instance import Instance
from service.domain.prior import patient_key, study_date
from service.domain.result import Outcome, PackageIdentity, PackageStatus, Priority, Reason
from service.ports.analyst import AnalysisSummary, ResultObject
from service.ports.ledger import Wanted
from service.storage import schema
from service.storage.studies import inserted_id, load_instances

UNPRODUCED = (JobState.QUEUED, JobState.ANALYSED)
"""States in which a job has made nothing that anybody could have seen."""
PRODUCED = (JobState.ANALYSED, JobState.ENCODED, JobState.FINISHED)
"""States in which a job's neutral result lies in its folder."""
TELLING = frozenset({Outcome.FINDINGS, Outcome.NO_FINDINGS, Outcome.PARTLY_ANALYSED})
"""Outcomes that say something of the images."""
EARLIER_COLUMNS = ("kind", "sop_class_uid", "sop_instance_uid", "series_instance_uid", "path", "slot", "rank")
HELD_COLUMNS = tuple(field.name for field in fields(HeldObject))
REPEATED = (
    "study_id",
    "revision_id",
    "pipeline",
    "patient_key",
    "study_date",
    "package_name",
    "package_version",
    "package_sha256",
    "package_status",
    "package_title",
    "priority",
    "inputs",
    "received_at",
    "as_prior",
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

    def of_study(self, study_id: int) -> tuple[JobRecord, ...]:
        """Return all jobs of a study, the oldest first."""
        query = sa.select(schema.job.c.id).where(schema.job.c.study_id == study_id).order_by(schema.job.c.id)
        return tuple(self.get(row_id) for row_id in self._connection.execute(query).scalars().all())

    def covers(self, job: NewJob) -> bool:
        """Say whether the latest result was made of the same instances."""
        newest = self._newest(job.study_id, job.pipeline)
        same = newest is not None and set(newest["inputs"]) == set(job.input_sop_instance_uids)
        told = newest is not None and newest["outcome"] in TELLING and newest["as_prior"] <= job.as_prior
        return same and told

    def again(self, study_id: int, pipeline: str, *, task_id: Callable[[int, int], str], at: float) -> JobRecord | None:
        """Set the latest job of a pipeline back to its beginning; `created_at`, which its bytes follow from, stays."""
        job = self._newest(study_id, pipeline)
        if job is None or job["state"] not in {JobState.FINISHED, JobState.FAILED}:
            return None
        attempt = job["attempt"] + 1
        counts = dict.fromkeys(("crashes", "starts", "encode_failures"), 0)
        ended = {"analysed_at": None, "encoded_at": None, "ended_at": None, "received_at": at}
        beginning = {"state": JobState.QUEUED, "attempt": attempt, "purge_id": None, "kept": sa.null()}
        self._update(job["id"], task_id=task_id(job["id"], attempt), **beginning, **counts, **ended)
        return self.get(job["id"])

    def claim(self, study_id: int, pipeline: str, *, priority: Priority, at: float) -> JobRecord | None:
        """Make the latest work of a pipeline an ordinary one, and set it back to its beginning unless it is there."""
        job = self._newest(study_id, pipeline)
        if job is None or not job["as_prior"]:
            return None
        self._update(job["id"], as_prior=0, priority=priority.value, received_at=at)
        return self.get(job["id"])

    def advance(self, job_id: int, *, task_id: Callable[[int, int], str]) -> JobRecord | None:
        """Give a job that is not analysed yet its next task."""
        job = self.get(job_id)
        if job.state is not JobState.QUEUED:
            return None
        self._update(job_id, attempt=job.attempt + 1, task_id=task_id(job_id, job.attempt + 1))
        return self.get(job_id)

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

    def queued_packages(self) -> frozenset[str]:
        """Return the digests of the packages that jobs which are not analysed yet were made with."""
        query = sa.select(schema.job.c.package_sha256).where(schema.job.c.state == JobState.QUEUED).distinct()
        return frozenset(self._connection.execute(query).scalars())

    def adopt(self, job_id: int, package: PackageIdentity, *, refusals: Sequence[Reason]) -> None:
        """Give a job to another package; its key, by which its results are named, stays."""
        self._update(job_id, **_package_values(package), refusals=[asdict(reason) for reason in refusals])

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
        self, job_id: int, objects: Sequence[ResultObject], *, destinations: Mapping[str, Wanted], at: float
    ) -> None:
        """Keep the objects, and one pending delivery per destination that wants them."""
        self._update(job_id, state=JobState.ENCODED, encoded_at=at, task_id="")
        for item in objects:
            object_id = add_object(self._connection, job_id, item, root=self._root, at=at)
            for name, wanted in destinations.items():
                if wanted.includes(item):
                    deliver_anew(self._connection, new_delivery(job_id, object_id, name, at=at))

    def hold(
        self, job_id: int, objects: Sequence[ResultObject], *, destinations: Mapping[str, Wanted], at: float
    ) -> None:
        """Note what must not leave."""
        rows = [
            {
                **object_values(job_id, item, root=self._root),
                "destinations": [name for name, wanted in destinations.items() if wanted.includes(item)],
                "problems": list(item.problems),
                "held_at": at,
            }
            for item in objects
        ]
        if rows:
            self._connection.execute(sa.insert(schema.held_object), rows)

    def unhold(self, job_id: int) -> None:
        """Forget what was noted of a job and of those that it replaces."""
        job = schema.job.c
        own = sa.select(job.study_id, job.pipeline).where(job.id == job_id).subquery()
        same = (job.study_id == own.c.study_id, job.pipeline == own.c.pipeline)
        replaced = sa.select(job.id).where(*same, job.id <= job_id)
        self._connection.execute(sa.delete(schema.held_object).where(schema.held_object.c.job_id.in_(replaced)))

    def forget_held(self) -> int:
        """Forget all that was noted."""
        return self._connection.execute(sa.delete(schema.held_object)).rowcount

    def held(self, *, limit: int) -> tuple[HeldObject, ...]:
        """Return what must not leave, the latest first."""
        held, job, study = schema.held_object, schema.job, schema.study
        query = sa.select(held, study.c.study_instance_uid, job.c.pipeline, job.c.outcome)
        query = query.join(job, held.c.job_id == job.c.id).join(study, job.c.study_id == study.c.id)
        rows = self._connection.execute(query.order_by(held.c.id.desc()).limit(limit)).mappings()
        return tuple(_held(row, root=self._root) for row in rows)

    def earlier(self, job_id: int) -> tuple[EarlierDelivery, ...]:
        """Return the deliveries of all earlier jobs of the same study and pipeline, the latest job first."""
        job, delivery, item = schema.job.c, schema.delivery.c, schema.result_object
        own = sa.select(job.study_id, job.pipeline).where(job.id == job_id).subquery()
        columns = [delivery.job_id, delivery.destination, delivery.state, *(item.c[name] for name in EARLIER_COLUMNS)]
        query = (
            sa.select(*columns)
            .join(item, delivery.object_id == item.c.id)
            .join(schema.job, job.id == delivery.job_id)
            .join(own, sa.and_(own.c.study_id == job.study_id, own.c.pipeline == job.pipeline))
            .where(job.id < job_id)
            .order_by(job.id.desc(), delivery.id)
        )
        return tuple(_earlier(row, root=self._root) for row in self._connection.execute(query).mappings())

    def prior(self, job_id: int) -> PriorJob | None:
        """Return the latest analysis of an older study of the same patient by the same pipeline."""
        job, own = schema.job.c, self._connection.execute(sa.select(schema.job).where(schema.job.c.id == job_id)).one()
        if not (own.patient_key and own.study_date and own.package_name):
            return None
        query = (
            sa.select(schema.job, schema.study.c.study_instance_uid)
            .join(schema.study)
            .where(job.patient_key == own.patient_key, job.pipeline == own.pipeline)
            .where(job.study_date != "", job.study_date < own.study_date, job.study_id != own.study_id)
            .where(job.package_name == own.package_name, job.state.in_(PRODUCED))
            .order_by(job.study_date.desc(), job.id.desc())
        )
        return _latest_telling(self._connection.execute(query).mappings())

    def companion(self, job_id: int) -> Companion | None:
        """Return the latest result of the companion pipeline for the same patient."""
        job, own = schema.job.c, self._connection.execute(sa.select(schema.job).where(schema.job.c.id == job_id)).one()
        pipeline = COMPANIONS.get(own.pipeline)
        if pipeline is None or not own.patient_key:
            return None
        query = (
            sa.select(schema.job, schema.study.c.study_instance_uid)
            .join(schema.study)
            .where(job.patient_key == own.patient_key, job.pipeline == pipeline)
            .where(job.study_date != "", job.state.in_(PRODUCED), job.as_prior == 0)
            .order_by(job.study_date.desc(), job.id.desc())
        )
        return next(map(_companion, _last_telling(self._connection.execute(query).mappings())), None)

    def end(self, job_id: int, state: JobState, *, at: float) -> None:
        """Note the job's final state."""
        self._update(job_id, state=state, ended_at=at, task_id="")

    def _newest(self, study_id: int, pipeline: str) -> Mapping[Any, Any] | None:
        own = (schema.job.c.study_id == study_id, schema.job.c.pipeline == pipeline)
        query = sa.select(schema.job).where(*own).order_by(schema.job.c.id.desc()).limit(1)
        return self._connection.execute(query).mappings().one_or_none()

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
            **self._whose(job),
            **_package_values(job.package),
            "priority": job.priority.value,
            "state": JobState.QUEUED,
            "inputs": list(job.input_sop_instance_uids),
            "flags": [asdict(reason) for reason in job.flags],
            "refusals": [asdict(reason) for reason in job.refusals],
            "received_at": self._received_at(job),
            "as_prior": job.as_prior,
            "created_at": at,
        }

    def _whose(self, job: NewJob) -> dict[str, str]:
        """Return whose the first input is, and of which date: all of a study are of one patient."""
        first = schema.instance.c.sop_instance_uid == next(iter(job.input_sop_instance_uids), "")
        for image in load_instances(self._connection, [first], root=self._root):
            return {"patient_key": patient_key(image), "study_date": study_date(image)}
        return {}

    def _received_at(self, job: NewJob) -> float:
        uids = list(job.input_sop_instance_uids)
        query = sa.select(sa.func.max(schema.instance.c.received_at)).where(
            schema.instance.c.study_id == job.study_id, schema.instance.c.sop_instance_uid.in_(uids)
        )
        return float(self._connection.execute(query).scalar_one_or_none() or 0.0)

    def _update(self, job_id: int, **values: Any) -> None:
        self._connection.execute(sa.update(schema.job).where(schema.job.c.id == job_id).values(values))


def object_values(job_id: int, item: ResultObject, *, root: Path) -> dict[str, Any]:
    """Return an object as the columns that result and held objects have in common."""
    return {
        "job_id": job_id,
        "kind": item.kind,
        "profile": item.profile,
        "sop_class_uid": item.sop_class_uid,
        "sop_instance_uid": item.sop_instance_uid,
        "path": str(item.path.relative_to(root)),
    }


def add_object(connection: sa.Connection, job_id: int, item: ResultObject, *, root: Path, at: float) -> int:
    """Insert a result object, or bring the one of the same work up to date; return its row."""
    values = {**object_values(job_id, item, root=root), "slot": item.slot, "rank": item.rank, "created_at": at}
    table = schema.result_object
    own = (table.c.sop_instance_uid == item.sop_instance_uid, table.c.job_id == job_id)
    known = connection.execute(sa.select(table.c.id).where(*own)).scalar_one_or_none()
    if known is None:
        return inserted_id(connection, sa.insert(table).values(values))
    connection.execute(sa.update(table).where(table.c.id == known).values(values))
    return int(known)


def deliver_anew(connection: sa.Connection, values: Mapping[str, Any]) -> None:
    """Insert a delivery, or begin that of the same object to the same destination again; its attempts count on."""
    table = schema.delivery
    own = (table.c.object_id == values["object_id"], table.c.destination == values["destination"])
    begun = {name: value for name, value in values.items() if name not in {"job_id", "object_id", "destination"}}
    again = {**begun, "permanent_refusals": 0, "ended_at": None, "stored_at": None, "proof": "", "parked": 0}
    if not connection.execute(sa.update(table).where(*own).values(again)).rowcount:
        connection.execute(sa.insert(table).values(values))


def _earlier(row: Mapping[Any, Any], *, root: Path) -> EarlierDelivery:
    return EarlierDelivery(**{**row, "path": root / row["path"], "state": DeliveryState(row["state"])})


def _held(row: Mapping[Any, Any], *, root: Path) -> HeldObject:
    changed = {"path": root / row["path"], **{name: tuple(row[name]) for name in ("destinations", "problems")}}
    return HeldObject(**{**{name: row[name] for name in HELD_COLUMNS}, **changed})


def _latest_telling(rows: Iterable[Mapping[Any, Any]]) -> PriorJob | None:
    """Return the first study whose last analysis says something, by a package that is known."""
    for row in _last_telling(rows):
        package = _package(row)
        if package is not None:
            return PriorJob(
                key=row["key"],
                study_instance_uid=row["study_instance_uid"],
                study_date=row["study_date"],
                package=package,
                kept=row["kept"],
            )
    return None


def _last_telling(rows: Iterable[Mapping[Any, Any]]) -> Iterator[Mapping[Any, Any]]:
    """Return the last analysis of each study that says something; rows come latest study first, then latest job."""
    last: dict[int, Mapping[Any, Any]] = {}
    for row in rows:
        last.setdefault(row["study_id"], row)
    return (row for row in last.values() if row["outcome"] in TELLING)


def _companion(row: Mapping[Any, Any]) -> Companion:
    return Companion(
        pipeline=row["pipeline"],
        study_instance_uid=row["study_instance_uid"],
        study_date=row["study_date"],
        headline=row["headline"],
    )


def new_delivery(job_id: int, object_id: int, destination: str, *, at: float) -> dict[str, Any]:
    """Return a delivery as its columns."""
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
    )
