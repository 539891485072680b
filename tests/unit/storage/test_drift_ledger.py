# SPDX-License-Identifier: Apache-2.0
"""The watch over drift in the ledger, on either database: each study once, the newest kept, states as they were."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from harness.drift_studies import reference, study
from service.domain.drift import DriftAlarm, DriftKind, DriftState, Monitor, Monitored, MonitoredStudy
from service.domain.errors import StorageError
from service.domain.result import PackageIdentity, PackageStatus
from service.ports.drift import DriftMode
from service.storage import SqlLedger, create_database, migrate
from service.storage.drift import SqlDriftReader

PACKAGE = PackageIdentity(name="film", version="1.0.0", sha256="a" * 64, status=PackageStatus.RESEARCH)
OTHER = replace(PACKAGE, version="2.0.0", sha256="b" * 64)
STATE = DriftState(pipeline="mammography", package=PACKAGE, updated_at=5.0)


@pytest.fixture
def engine(tmp_path: Path, database_url: str | None) -> Iterator[sa.Engine]:
    engine = create_database(tmp_path, url=database_url)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def ledger(engine: sa.Engine, tmp_path: Path) -> SqlLedger:
    return SqlLedger(engine, root=tmp_path, enqueue=lambda _connection, _task: None)


def entry(number: int, *, package: PackageIdentity = PACKAGE, pipeline: str = "mammography") -> MonitoredStudy:
    monitored = Monitored(numbers={"score": number / 10}, words={"outcome": "findings"})
    return MonitoredStudy(
        pipeline=pipeline, package=package, study_key=f"k{number}", monitored=monitored, at=float(number)
    )


def scores(ledger: SqlLedger, *, since: float = 0.0, until: float = float("inf")) -> list[float]:
    with ledger.reading() as view:
        found = view.drift.studies("mammography", PACKAGE, since=since, until=until)
    return [item.numbers["score"] for item in found]


def test_a_study_counts_once_for_a_package(ledger: SqlLedger) -> None:
    with ledger.transaction() as transaction:
        assert transaction.drift.add(entry(1), keep=10)
        assert not transaction.drift.add(entry(1), keep=10)
        assert transaction.drift.add(entry(1, package=OTHER), keep=10)
        assert transaction.drift.add(entry(1, pipeline="diffuse_lung"), keep=10)
    assert scores(ledger) == [0.1]


def test_the_newest_are_kept(ledger: SqlLedger) -> None:
    with ledger.transaction() as transaction:
        assert transaction.drift.add(entry(99, package=OTHER), keep=3)
        for number in range(1, 8):
            assert transaction.drift.add(entry(number), keep=3)
    assert scores(ledger) == [0.5, 0.6, 0.7]
    with ledger.reading() as view:
        assert len(view.drift.studies("mammography", OTHER, since=0, until=200)) == 1
    assert scores(ledger, since=6, until=7) == [0.6]


def test_the_scores_are_those_of_the_latest_whole_studies_of_the_package(ledger: SqlLedger) -> None:
    def changed(number: int, **words: str) -> MonitoredStudy:
        numbers = {"score": number / 10} if words else {}
        return replace(entry(number), monitored=Monitored(numbers=numbers, words=words or {"outcome": "findings"}))

    with ledger.transaction() as transaction:
        for number in range(1, 8):
            transaction.drift.add(entry(number), keep=100)
        transaction.drift.add(changed(8, outcome="no_findings"), keep=100)
        transaction.drift.add(changed(9, outcome="partly_analysed"), keep=100)
        transaction.drift.add(changed(10), keep=100)  # no score
        transaction.drift.add(entry(11, package=OTHER), keep=100)
        transaction.drift.add(entry(12, pipeline="diffuse_lung"), keep=100)

    def found(*, before: float = 99.0, without: str = "", most: int = 50) -> tuple[float, ...]:
        with ledger.reading() as view:
            return view.drift.scores("mammography", PACKAGE, before=before, without=without, most=most)

    assert found() == (0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
    assert found(most=3) == (0.8, 0.7, 0.6)
    assert found(before=4.0) == (0.3, 0.2, 0.1)
    assert found(before=4.0, without="k2") == (0.3, 0.1)


def test_a_state_comes_back_as_it_was(ledger: SqlLedger) -> None:
    rng = np.random.default_rng(2)
    state = replace(
        STATE,
        monitor=Monitor(
            studies=3, since=1.5, evidence={"score": (0.1, -1e-9, 3.0, -400.5, 0.0, 1.0)}, recent={"score": (0, 11)}
        ),
        alarm=DriftAlarm(since=2.0, studies=3, channels=("score", "noise"), acknowledged_by="A", note="n"),
        baseline=reference(studies=150),
        history=(DriftAlarm(since=1.0, studies=1, channels=("kvp",), ended_at=1.5),),
        psi={"score": 0.3},
        reference="150 studies",
    )
    with ledger.transaction() as transaction:
        assert transaction.drift.state("mammography", PACKAGE) is None
        transaction.drift.save(STATE)
        transaction.drift.save(state)
    with ledger.reading() as view:
        assert view.drift.state("mammography", PACKAGE) == state
        assert view.drift.state("mammography", OTHER) is None
        assert view.drift.states() == (state,)
    assert study(rng)


def test_the_reader_says_what_the_latest_version_of_each_model_is_at(ledger: SqlLedger, engine: sa.Engine) -> None:
    alarm = DriftAlarm(since=2.0, studies=3, channels=("score", "noise"), acknowledged_by="A", acknowledged_at=4.0)
    old = replace(STATE, alarm=alarm, reference="package", psi={"score": 0.4}, monitor=Monitor(studies=7, since=1.0))
    with ledger.transaction() as transaction:
        transaction.drift.save(old)
    (status,) = SqlDriftReader(engine).statuses()
    assert (status.mode, status.since, status.studies, status.score_psi) == (DriftMode.ALARM, 2.0, 7, 0.4)
    assert (status.channels, status.kinds) == (("score", "noise"), (DriftKind.OUTPUTS, DriftKind.PIXELS))
    assert (status.acknowledged_by, status.acknowledged_at) == ("A", 4.0)
    with ledger.transaction() as transaction:
        transaction.drift.save(replace(STATE, package=OTHER, updated_at=6.0, reference="package"))
    (status,) = SqlDriftReader(engine).statuses()
    assert (status.version, status.mode, status.score_psi) == ("2.0.0", DriftMode.USUAL, None)
    with ledger.transaction() as transaction:
        transaction.drift.save(replace(STATE, package=OTHER, updated_at=7.0))
    assert SqlDriftReader(engine).statuses()[0].mode is DriftMode.LEARNING


def test_a_ledger_without_tables_is_an_error_of_storage(tmp_path: Path) -> None:
    empty = create_database(tmp_path)
    with pytest.raises(StorageError, match="the ledger cannot be read"):
        SqlDriftReader(empty).statuses()
    empty.dispose()
