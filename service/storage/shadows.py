# SPDX-License-Identifier: Apache-2.0
"""Runs of shadow packages in the ledger."""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from service.domain.result import PackageIdentity, PackageStatus
from service.domain.shadow import ShadowRun, ShadowState, ShadowSummary, Verdict
from service.storage import schema
from service.storage.studies import inserted_id

TABLE = schema.shadow_run


class SqlShadows:
    """The shadows' side of one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(
        self, job_id: int, package: PackageIdentity, *, active: Verdict, task_id: Callable[[int], str], at: float
    ) -> ShadowRun:
        """Insert a run that is to come."""
        values = {
            "job_id": job_id,
            "package_name": package.name,
            "package_version": package.version,
            "package_sha256": package.sha256,
            "package_status": package.status.value,
            "state": ShadowState.PENDING,
            "active_outcome": active.outcome,
            "active_score": active.score,
            "active_above": active.above_operating_point,
            "created_at": at,
        }
        row_id = inserted_id(self._connection, sa.insert(TABLE).values(values))
        self._update(row_id, task_id=task_id(row_id))
        return self.get(row_id)

    def get(self, run_id: int) -> ShadowRun:
        """Return a run."""
        return _run(self._connection.execute(sa.select(TABLE).where(TABLE.c.id == run_id)).mappings().one())

    def waiting(self) -> int:
        """Return how many runs are to come."""
        query = sa.select(sa.func.count()).select_from(TABLE).where(TABLE.c.state == ShadowState.PENDING)
        return int(self._connection.execute(query).scalar_one())

    def count_try(self, run_id: int) -> None:
        """Count that the run begins."""
        self._update(run_id, tries=TABLE.c.tries + 1)

    def compared(self, run_id: int, verdict: Verdict, *, headline: str, seconds: float, at: float) -> None:
        """Keep what the package said."""
        active = self.get(run_id).active
        self._update(
            run_id,
            state=ShadowState.COMPARED,
            outcome=verdict.outcome,
            headline=headline,
            score=verdict.score,
            above=verdict.above_operating_point,
            agrees=verdict.agrees_with(active),
            score_difference=verdict.difference_from(active),
            seconds=seconds,
            ended_at=at,
            task_id="",
        )

    def failed(self, run_id: int, *, error: str, at: float) -> None:
        """Note that the package says nothing of the study."""
        self._update(run_id, state=ShadowState.FAILED, error=error, ended_at=at, task_id="")

    def summaries(self) -> tuple[ShadowSummary, ...]:
        """Return how each shadow package compares."""
        run, job = TABLE.c, schema.job.c
        names = (job.pipeline, run.package_name, run.package_version)

        def number(*conditions: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
            return sa.func.coalesce(sa.func.sum(sa.case((sa.and_(*conditions), 1), else_=0)), 0)

        query = (
            sa.select(
                *names,
                number(run.state == ShadowState.PENDING).label("pending"),
                number(run.state == ShadowState.COMPARED).label("compared"),
                number(run.state == ShadowState.COMPARED, run.agrees == sa.false()).label("disagreed"),
                number(run.state == ShadowState.FAILED).label("failed"),
                sa.func.avg(run.score_difference).label("score_difference"),
                sa.func.avg(run.seconds).label("seconds"),
            )
            .join(schema.job, job.id == run.job_id)
            .group_by(*names)
            .order_by(*names)
        )
        return tuple(_summary(row) for row in self._connection.execute(query).mappings())

    def _update(self, run_id: int, **values: Any) -> None:
        self._connection.execute(sa.update(TABLE).where(TABLE.c.id == run_id).values(values))


def _run(row: Mapping[Any, Any]) -> ShadowRun:
    package = PackageIdentity(
        name=row["package_name"],
        version=row["package_version"],
        sha256=row["package_sha256"],
        status=PackageStatus(row["package_status"]),
    )
    active = Verdict(
        outcome=row["active_outcome"], score=row["active_score"], above_operating_point=row["active_above"]
    )
    same = {name: row[name] for name in ("id", "job_id", "tries", "attempt", "task_id")}
    return ShadowRun(**same, package=package, state=ShadowState(row["state"]), active=active)


def _summary(row: Mapping[Any, Any]) -> ShadowSummary:
    counts = {name: int(row[name]) for name in ("pending", "compared", "disagreed", "failed")}
    means = {name: row[name] for name in ("score_difference", "seconds")}
    package, version = row["package_name"], row["package_version"]
    return ShadowSummary(pipeline=row["pipeline"], package=package, version=version, **counts, **means)
