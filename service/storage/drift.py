# SPDX-License-Identifier: Apache-2.0
"""The watch over drift in the ledger: a few numbers of each study, and one state for each package."""

from typing import Any, Final

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.domain.drift import DriftState, Monitored, MonitoredStudy
from service.domain.errors import ConfigurationError, StorageError
from service.domain.population import WHOLE
from service.domain.result import PackageIdentity
from service.ports.drift import DriftMode, DriftStatus
from service.storage import schema

STATE: Final = TypeAdapter(DriftState)
STUDY: Final = schema.drift_study
WATCH: Final = schema.drift_watch


class SqlDrift:
    """The drift side of one transaction."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def add(self, study: MonitoredStudy, *, keep: int) -> bool:
        """Keep a study's numbers once, and forget the oldest beyond `keep`."""
        where = _of(STUDY, study.pipeline, study.package)
        known = sa.select(STUDY.c.id).where(*where, STUDY.c.study_key == study.study_key)
        if self._connection.execute(known).first() is not None:
            return False
        values = {
            "pipeline": study.pipeline,
            "package_sha256": study.package.sha256,
            "study_key": study.study_key,
            "numbers": dict(study.monitored.numbers),
            "words": dict(study.monitored.words),
            "at": study.at,
        }
        self._connection.execute(sa.insert(STUDY).values(values))
        newest = sa.select(STUDY.c.id).where(*where).order_by(STUDY.c.id.desc()).offset(keep).limit(1)
        oldest_kept = self._connection.execute(newest).scalar()
        if oldest_kept is not None:
            self._connection.execute(sa.delete(STUDY).where(*where, STUDY.c.id <= oldest_kept))
        return True

    def state(self, pipeline: str, package: PackageIdentity) -> DriftState | None:
        """Return where the watch over a package stands."""
        query = sa.select(WATCH.c.state).where(*_of(WATCH, pipeline, package))
        found = self._connection.execute(query).scalar()
        return None if found is None else STATE.validate_json(found)

    def save(self, state: DriftState) -> None:
        """Insert or replace the state of a package."""
        values: dict[str, Any] = {"state": STATE.dump_json(state).decode(), "updated_at": state.updated_at}
        where = _of(WATCH, state.pipeline, state.package)
        if self._connection.execute(sa.update(WATCH).where(*where).values(values)).rowcount == 0:
            names = {"package_name": state.package.name, "package_version": state.package.version}
            own = {"pipeline": state.pipeline, "package_sha256": state.package.sha256}
            self._connection.execute(sa.insert(WATCH).values({**values, **names, **own}))

    def states(self) -> tuple[DriftState, ...]:
        """Return every watch, the latest first."""
        return _states(self._connection)

    def studies(self, pipeline: str, package: PackageIdentity, *, since: float, until: float) -> tuple[Monitored, ...]:
        """Return what was measured in a period, in the order in which it came."""
        period = (STUDY.c.at >= since, STUDY.c.at < until)
        query = sa.select(STUDY.c.numbers, STUDY.c.words).where(*_of(STUDY, pipeline, package), *period)
        rows = self._connection.execute(query.order_by(STUDY.c.id))
        return tuple(Monitored(numbers=row.numbers, words=row.words) for row in rows)

    def scores(
        self, pipeline: str, package: PackageIdentity, *, before: float, without: str, most: int
    ) -> tuple[float, ...]:
        """Return the scores of the latest whole studies."""
        score = STUDY.c.numbers["score"].as_float()
        wanted = (
            STUDY.c.at < before,
            STUDY.c.study_key != without,
            STUDY.c.words["outcome"].as_string().in_([outcome.value for outcome in WHOLE]),
            score.is_not(None),
        )
        query = sa.select(score).where(*_of(STUDY, pipeline, package), *wanted)
        return tuple(self._connection.execute(query.order_by(STUDY.c.id.desc()).limit(most)).scalars())


class SqlDriftReader:
    """`ports.drift.DriftReader` on the ledger's database."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def statuses(self) -> tuple[DriftStatus, ...]:
        """Return the status of each pipeline's and model's latest version."""
        try:
            with self._engine.connect() as connection:
                states = _states(connection)
        except (DBAPIError, PoolTimeoutError, ConfigurationError) as error:
            raise StorageError(f"the ledger cannot be read: {type(error).__name__}; see `dokuei doctor`") from error
        latest = {(state.pipeline, state.package.name): state for state in reversed(states)}
        return tuple(status_of(latest[key]) for key in sorted(latest))


def status_of(state: DriftState) -> DriftStatus:
    """Return what there is to say of a watch."""
    alarm = state.alarm
    mode = DriftMode.LEARNING if state.learning else DriftMode.USUAL
    return DriftStatus(
        pipeline=state.pipeline,
        model=state.package.name,
        version=state.package.version,
        mode=DriftMode.ALARM if alarm is not None else mode,
        studies=state.monitor.studies,
        since=state.monitor.since if alarm is None else alarm.since,
        channels=() if alarm is None else alarm.channels,
        kinds=() if alarm is None else alarm.kinds,
        psi=state.psi,
        reference=state.reference,
        acknowledged_by="" if alarm is None else alarm.acknowledged_by,
        acknowledged_at=0.0 if alarm is None else alarm.acknowledged_at,
    )


def _states(connection: sa.Connection) -> tuple[DriftState, ...]:
    query = sa.select(WATCH.c.state).order_by(WATCH.c.updated_at.desc(), WATCH.c.id.desc())
    return tuple(STATE.validate_json(state) for state in connection.execute(query).scalars())


def _of(table: sa.Table, pipeline: str, package: PackageIdentity) -> tuple[sa.ColumnElement[bool], ...]:
    return table.c.pipeline == pipeline, table.c.package_sha256 == package.sha256
