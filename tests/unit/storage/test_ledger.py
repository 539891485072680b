# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError

from service.domain.entry import DeliveryState, JobRecord, JobState, NewJob
from service.domain.instance import Instance
from service.domain.result import Outcome, Priority
from service.ports import AnalysisSummary, ResultObject
from service.ports.ledger import Wanted
from service.storage import SqlLedger, create_database, migrate
from service.storage.ledger import SqlTransaction
from service.storage.statistics import SqlStatistics


@pytest.fixture
def ledger(tmp_path: Path, database_url: str | None) -> Iterator[SqlLedger]:
    engine = create_database(tmp_path, url=database_url)
    migrate(engine)
    yield SqlLedger(engine, root=tmp_path, enqueue=lambda connection, task: None)  # noqa: ARG005 - the engine's form
    engine.dispose()


def instance(root: Path, number: int) -> Instance:
    return Instance(
        sop_instance_uid=f"1.{number}",
        sop_class_uid="1",
        study_instance_uid="9",
        series_instance_uid="8",
        transfer_syntax_uid="1",
        path=root / f"{number}.dcm",
        sha256=str(number),
        size_bytes=1,
        attributes={"ImageType": ("A", "B"), "Rows": 2, "Laterality": None},
    )


def new_revision(transaction: SqlTransaction, root: Path, number: int) -> tuple[int, int]:
    study = transaction.studies.add_instance(instance(root, number), peer="p", at=float(number))
    frozen = transaction.studies.freeze(study.id, reason="quiet", task_id=lambda row: f"route-{row}", at=0.0)
    return study.id, frozen.id


def add(transaction: SqlTransaction, root: Path, number: int, key: str) -> JobRecord | None:
    study_id, revision_id = new_revision(transaction, root, number)
    job = NewJob(
        key=key,
        revision_id=revision_id,
        study_id=study_id,
        pipeline="p",
        package=None,
        priority=Priority.ROUTINE,
        input_sop_instance_uids=(f"1.{number}",),
    )
    return transaction.jobs.add(job, task_id=lambda row: f"analyse-{row}-0", at=0.0)


def finish(transaction: SqlTransaction, root: Path, job: JobRecord) -> None:
    summary = AnalysisSummary(outcome=Outcome.FINDINGS, headline="h")
    transaction.jobs.analysed(job.id, summary, priority=job.priority, task_id="encode", at=1.0)
    item = ResultObject(kind="sr", sop_class_uid="1", sop_instance_uid=f"2.{job.id}", path=root / f"{job.id}.dcm")
    wanted = Wanted(profile="", kinds=frozenset({"sr"}))
    transaction.jobs.encoded(job.id, [item], destinations={"pacs": wanted}, at=1.0)
    transaction.jobs.end(job.id, JobState.FINISHED, at=1.0)


def test_an_instance_comes_back_as_it_went_in(ledger: SqlLedger, tmp_path: Path) -> None:
    with ledger.transaction() as transaction:
        study = transaction.studies.add_instance(instance(tmp_path, 1), peer="p", at=1.0)
    with ledger.reading() as view:
        assert view.studies.instances(study.id) == (instance(tmp_path, 1),)


def test_a_revision_is_frozen(ledger: SqlLedger, tmp_path: Path) -> None:
    with ledger.transaction() as transaction:
        _, first = new_revision(transaction, tmp_path, 1)
        _, second = new_revision(transaction, tmp_path, 2)
        assert [len(transaction.studies.instances_of_revision(row)) for row in (first, second)] == [1, 2]


def test_the_same_work_is_not_done_again(ledger: SqlLedger, tmp_path: Path) -> None:
    with ledger.transaction() as transaction:
        assert add(transaction, tmp_path, 1, "a") is not None
        assert add(transaction, tmp_path, 2, "a") is None


def test_other_work_supersedes_what_was_never_seen(ledger: SqlLedger, tmp_path: Path) -> None:
    with ledger.transaction() as transaction:
        first, second = add(transaction, tmp_path, 1, "a"), add(transaction, tmp_path, 2, "b")
        assert first is not None
        assert second is not None
        assert transaction.jobs.get(first.id).state is JobState.SUPERSEDED
        assert (second.result_revision, transaction.jobs.earlier(second.id)) == (2, ())


def test_other_work_names_the_result_that_it_replaces(ledger: SqlLedger, tmp_path: Path) -> None:
    with ledger.transaction() as transaction:
        first = add(transaction, tmp_path, 1, "a")
        assert first is not None
        finish(transaction, tmp_path, first)
        second = add(transaction, tmp_path, 2, "b")
        assert second is not None
        assert transaction.jobs.get(first.id).state is JobState.FINISHED
        (earlier,) = transaction.jobs.earlier(second.id)
        assert (earlier.job_id, earlier.sop_instance_uid, earlier.destination) == (first.id, f"2.{first.id}", "pacs")


def test_work_that_has_become_wanted_again_is_done_again(ledger: SqlLedger, tmp_path: Path) -> None:
    with ledger.transaction() as transaction:
        for number, key in enumerate("ab", start=1):
            assert add(transaction, tmp_path, number, key) is not None
        again = add(transaction, tmp_path, 3, "a")
        assert again is not None
        assert again.key != "a"
        assert again.key.startswith("a")


def test_the_spool_is_what_unfinished_studies_weigh(tmp_path: Path, database_url: str | None) -> None:
    engine = create_database(tmp_path, url=database_url)
    migrate(engine)
    ledger = SqlLedger(engine, root=tmp_path, enqueue=lambda connection, task: None)  # noqa: ARG005 - the engine's form
    spool_bytes = SqlStatistics(engine).spool_bytes
    assert spool_bytes() == 0
    with ledger.transaction() as transaction:
        study = transaction.studies.add_instance(instance(tmp_path, 1), peer="p", at=0.0)
    assert spool_bytes() == 1, "to be closed"
    with ledger.transaction() as transaction:
        frozen = transaction.studies.freeze(study.id, reason="quiet", task_id=lambda row: f"route-{row}", at=0.0)
    assert spool_bytes() == 1, "to be routed"
    with ledger.transaction() as transaction:
        transaction.studies.routed(frozen.id, rules=(), pipelines=(), at=0.0)
    assert spool_bytes() == 0, "nobody wants it"
    with ledger.transaction() as transaction:
        job = add(transaction, tmp_path, 2, "a")
    assert job is not None
    assert spool_bytes() == 2, "each instance once, although the study is to be routed and analysed"
    with ledger.transaction() as transaction:
        finish(transaction, tmp_path, job)
        transaction.studies.routed(job.revision_id, rules=(), pipelines=(), at=0.0)
    assert spool_bytes() == 0
    engine.dispose()


def test_a_row_that_moved_on_is_not_taken_over(ledger: SqlLedger, tmp_path: Path) -> None:
    with ledger.transaction() as transaction:
        assert add(transaction, tmp_path, 1, "a") is not None
        row = next(row for row in transaction.unfinished() if row.stage == "analyse")
        assert transaction.reassign(row, task_id="analyse-1-1")
        assert not transaction.reassign(row, task_id="analyse-1-2")


def test_a_failed_block_leaves_nothing(ledger: SqlLedger, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        _fail_half_way(ledger, tmp_path)
    with ledger.reading() as view:
        assert view.unfinished() == ()


def _fail_half_way(ledger: SqlLedger, root: Path) -> None:
    with ledger.transaction() as transaction:
        new_revision(transaction, root, 1)
        raise ZeroDivisionError


def test_our_own_mistakes_are_no_storage_fault(ledger: SqlLedger, tmp_path: Path) -> None:
    """A StorageError is tried for ever; this would never come right."""
    with ledger.transaction() as transaction:
        transaction.studies.add_instance(instance(tmp_path, 1), peer="p", at=0.0)
    with pytest.raises(IntegrityError), ledger.transaction() as transaction:
        transaction.studies.add_instance(instance(tmp_path, 1), peer="p", at=0.0)


def test_a_late_answer_changes_nothing_that_has_ended(ledger: SqlLedger, tmp_path: Path) -> None:
    """Two attempts may overlap at a restart: what the archive has committed itself to is not pending again."""
    with ledger.transaction() as transaction:
        job = _encoded(transaction, tmp_path)
        (row,) = transaction.deliveries.pending(job.id, "pacs")
        transaction.deliveries.settle(row.id, DeliveryState.DELIVERED, status=0, error="", permanent=False, at=3.0)
        transaction.deliveries.settle(row.id, DeliveryState.PENDING, status=None, error="late", permanent=False, at=4.0)
        assert not transaction.deliveries.pending(job.id, "pacs")
        assert transaction.deliveries.open_count(job.id) == 0


def test_an_attempt_has_a_number_of_its_own_even_after_the_last_row_ended(ledger: SqlLedger, tmp_path: Path) -> None:
    """A number that a finished row has was a task's name: used again, the engine would take the new task for done."""
    with ledger.transaction() as transaction:
        job = _encoded(transaction, tmp_path)
        transaction.deliveries.assign(job.id, "pacs", task_id="deliver.pacs-1-1", next_attempt_at=2.0)
        (row,) = transaction.deliveries.pending(job.id, "pacs")
        transaction.deliveries.settle(row.id, DeliveryState.REFUSED, status=0xA900, error="", permanent=True, at=3.0)
        assert transaction.deliveries.next_attempt(job.id, "pacs") == 2


def _encoded(transaction: SqlTransaction, root: Path) -> JobRecord:
    """Return a job with one object for one destination."""
    job = add(transaction, root, 1, "key")
    assert job is not None
    item = ResultObject(kind="sr", sop_class_uid="1.2", sop_instance_uid="1.2.3.4", path=root / "results" / "a.dcm")
    transaction.jobs.encoded(job.id, [item], destinations={"pacs": Wanted(profile="", kinds=frozenset({"sr"}))}, at=2.0)
    return job


def test_a_retry_sends_nothing_of_a_result_that_was_rejected(ledger: SqlLedger, tmp_path: Path) -> None:
    with ledger.transaction() as transaction:
        jobs = [add(transaction, tmp_path, number, key) for number, key in enumerate("ab", start=1)]
        assert all(jobs)
        for job in jobs:
            assert job is not None
            finish(transaction, tmp_path, job)
            extra = ResultObject(kind="heatmap", sop_class_uid="1", sop_instance_uid=f"3.{job.id}", path=tmp_path / "x")
            wanted = {"pacs": Wanted(profile="", kinds=frozenset({"heatmap"}))}
            transaction.jobs.encoded(job.id, [extra], destinations=wanted, at=1.0)
            for row in transaction.deliveries.pending(job.id, "pacs"):
                state = DeliveryState.DELIVERED if row.kind == "sr" else DeliveryState.DECLINED
                transaction.deliveries.change([row.id], state, at=1.0)
        assert jobs[1] is not None
        assert transaction.deliveries.retire(jobs[1].id, "pacs", at=2.0) == 1
        assert transaction.deliveries.reopen("pacs") == 1
        assert [row.kind for row in transaction.deliveries.pending(jobs[1].id, "pacs")] == ["heatmap"]
