# SPDX-License-Identifier: Apache-2.0
"""The ledger remembers who waits for which older study, and what came for comparison alone, on either database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.domain.entry import JobRecord, NewJob
from service.domain.fetch import AskedState, FetchOutcome, FetchState
from service.domain.instance import Instance
from service.domain.result import Outcome, PackageIdentity, PackageStatus, Priority
from service.ports import AnalysisSummary
from service.storage import SqlLedger, create_database, migrate
from service.storage.ledger import SqlTransaction
from service.storage.statistics import SqlStatistics

PACKAGE = PackageIdentity(name="lung", version="1", sha256="a" * 64, status=PackageStatus.RESEARCH)


@pytest.fixture
def ledger(tmp_path: Path, database_url: str | None) -> Iterator[SqlLedger]:
    database = create_database(tmp_path, url=database_url)
    migrate(database)
    found = SqlLedger(database, root=tmp_path, enqueue=lambda _connection, _task: None)
    yield found
    found.close()
    database.dispose()


def image(study: str, root: Path, number: int = 1) -> Instance:
    return Instance(
        sop_instance_uid=f"{study}.{number}",
        sop_class_uid="1",
        study_instance_uid=study,
        series_instance_uid=f"{study}.0",
        transfer_syntax_uid="1",
        path=root.resolve() / f"{study}.{number}.dcm",
        sha256=f"{study}.{number}",
        size_bytes=1,
        attributes={"PatientID": "P", "StudyDate": "20250601"},
    )


def job(transaction: SqlTransaction, study: str, root: Path, *, fetched: bool = False) -> JobRecord:
    kept = transaction.studies.add_instance(image(study, root), peer="p", at=1.0, fetched=fetched)
    frozen = transaction.studies.freeze(kept.id, reason="quiet", task_id=str, at=1.0)
    new = NewJob(
        key=f"k{study}",
        revision_id=frozen.id,
        study_id=kept.id,
        pipeline="lung",
        package=PACKAGE,
        priority=Priority.ROUTINE,
        input_sop_instance_uids=(f"{study}.1",),
        as_prior=int(fetched),
    )
    made = transaction.jobs.add(new, task_id=lambda row_id: f"analyse-{row_id}-0", at=1.0)
    assert made is not None
    return made


def test_a_job_waits_until_it_is_told_once(ledger: SqlLedger, tmp_path: Path) -> None:
    with ledger.transaction() as transaction:
        waiting = job(transaction, "1.1", tmp_path)
        fetch = transaction.fetches.add(waiting.id, task_id=lambda row_id: f"fetch-{row_id}-0", due_at=99.0, at=2.0)
        assert (fetch.state, fetch.outcome, fetch.due_at) == (FetchState.LOOKING, FetchOutcome.WAITING, 99.0)
        assert {row.stage: row.due_at for row in transaction.unfinished()}["analyse"] == 99.0
        transaction.fetches.ask(fetch.id, "1.2", ["1.2.0"])
        transaction.fetches.change(fetch.id, FetchState.MOVING)
        (asked,) = transaction.fetches.asked(fetch.id)
        assert (asked.study_instance_uid, asked.series, asked.is_open) == ("1.2", ("1.2.0",), True)
        assert (asked.pipeline, asked.job_id) == ("lung", waiting.id)
        assert transaction.fetches.is_asked("1.2", still=True)
        assert not transaction.fetches.is_asked("1.3", still=False)
        transaction.fetches.change(fetch.id, FetchState.DONE)
        assert transaction.fetches.is_asked("1.2", still=False)
        assert not transaction.fetches.is_asked("1.2", still=True)
        assert "fetch" not in {row.stage for row in transaction.unfinished()}
        assert transaction.fetches.end(fetch.id, FetchOutcome.LATE, at=3.0)
        assert not transaction.fetches.end(fetch.id, FetchOutcome.COMPARABLE, at=4.0)
        assert transaction.fetches.get(fetch.id).outcome is FetchOutcome.LATE
        assert {row.stage: row.due_at for row in transaction.unfinished()}["analyse"] == 1.0


def test_a_search_can_be_taken_over_until_it_is_done(ledger: SqlLedger, tmp_path: Path) -> None:
    with ledger.transaction() as transaction:
        waiting = job(transaction, "1.1", tmp_path)
        fetch = transaction.fetches.add(waiting.id, task_id=lambda row_id: f"fetch-{row_id}-0", due_at=9.0, at=2.0)
        (row,) = (row for row in transaction.unfinished() if row.stage == "fetch")
        assert transaction.reassign(row, task_id="fetch-1-1")
        assert not transaction.reassign(row, task_id="fetch-1-2"), "a stale reading changes nothing"
        assert transaction.fetches.get(fetch.id).task_id == "fetch-1-1"


def test_a_study_is_fetched_until_something_of_it_comes_by_itself(ledger: SqlLedger, tmp_path: Path) -> None:
    with ledger.transaction() as transaction:
        studies = transaction.studies
        assert studies.add_instance(image("1.1", tmp_path), peer="p", at=1.0, fetched=True).fetched == 1
        assert studies.add_instance(image("1.1", tmp_path, 2), peer="p", at=2.0, fetched=True).fetched == 1
        assert studies.add_instance(image("1.1", tmp_path, 3), peer="p", at=3.0).fetched == 0
        assert studies.touch("1.1", at=4.0, fetched=True).fetched == 0, "for good"
        assert studies.add_instance(image("1.2", tmp_path), peer="p", at=1.0).fetched == 0


def test_what_is_here_or_was_fetched_and_analysed_is_not_asked_for(ledger: SqlLedger, tmp_path: Path) -> None:
    uids = {f"1.{number}" for number in range(1, 6)}
    with ledger.transaction() as transaction:
        waiting = job(transaction, "1.1", tmp_path)
        fetch = transaction.fetches.add(waiting.id, task_id=str, due_at=9.0, at=2.0)
        for uid in ("1.2", "1.3", "1.4"):
            transaction.fetches.ask(fetch.id, uid, [f"{uid}.0"])
        done, partial, whole = transaction.fetches.asked(fetch.id)
        transaction.fetches.mark([done.id], AskedState.ANSWERED)
        transaction.fetches.mark([whole.id], AskedState.WHOLE)
        transaction.fetches.mark([partial.id], AskedState.PARTIAL)
        transaction.studies.add_instance(image("1.3", tmp_path), peer="p", at=1.0, fetched=True)
        assert transaction.fetches.here(uids) == {"1.1", "1.2"}
        assert transaction.fetches.count("1.3", ["1.3.0"]) == 1
        assert transaction.fetches.count("1.3", ["1.2.0"]) == 0


def test_a_result_for_comparison_alone_is_found_as_a_prior_and_as_no_companion(
    ledger: SqlLedger, tmp_path: Path
) -> None:
    with ledger.transaction() as transaction:
        older = job(transaction, "1.1", tmp_path, fetched=True)
        summary = AnalysisSummary(outcome=Outcome.FINDINGS, headline="h")
        transaction.jobs.analysed(older.id, summary, priority=Priority.ROUTINE, task_id="", at=2.0)
        assert transaction.jobs.get(older.id).as_prior == 1
        claimed = transaction.jobs.claim(older.study_id, "lung", priority=Priority.URGENT, at=3.0)
        assert claimed is not None
        assert (claimed.as_prior, claimed.priority) == (0, Priority.URGENT)
        assert transaction.jobs.claim(older.study_id, "lung", priority=Priority.ROUTINE, at=4.0) is None


def test_a_result_for_comparison_alone_is_no_answer_to_who_sends_the_study(ledger: SqlLedger, tmp_path: Path) -> None:
    with ledger.transaction() as transaction:
        older = job(transaction, "1.1", tmp_path, fetched=True)
        summary = AnalysisSummary(outcome=Outcome.FINDINGS, headline="h")
        transaction.jobs.analysed(older.id, summary, priority=Priority.ROUTINE, task_id="", at=2.0)
        again = NewJob(
            key="k2",
            revision_id=older.revision_id,
            study_id=older.study_id,
            pipeline="lung",
            package=PACKAGE,
            priority=Priority.ROUTINE,
            input_sop_instance_uids=("1.1.1",),
        )
        assert not transaction.jobs.covers(again)
        transaction.jobs.claim(older.study_id, "lung", priority=Priority.ROUTINE, at=3.0)
        assert transaction.jobs.covers(again)


def test_status_calls_it_a_prior(ledger: SqlLedger, tmp_path: Path, database_url: str | None) -> None:
    with ledger.transaction() as transaction:
        job(transaction, "1.1", tmp_path, fetched=True)
        job(transaction, "1.2", tmp_path)
    engine = create_database(tmp_path, url=database_url)
    rows = SqlStatistics(engine).studies(limit=9)
    engine.dispose()
    assert {row.study_instance_uid: row.as_prior for row in rows} == {"1.1": 1, "1.2": 0}
