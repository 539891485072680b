# SPDX-License-Identifier: Apache-2.0
"""Runs of shadow packages in the ledger, on either database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.domain.entry import NewJob
from service.domain.instance import Instance
from service.domain.result import PackageIdentity, PackageStatus, Priority
from service.domain.shadow import ShadowState, Verdict
from service.storage import SqlLedger, create_database, migrate
from service.storage.ledger import SqlTransaction

PACKAGE = PackageIdentity(name="film", version="2.0.0", sha256="b" * 64, status=PackageStatus.RESEARCH)
CALM = Verdict(outcome="no_findings", score=0.25, above_operating_point=False)


@pytest.fixture
def ledger(tmp_path: Path, database_url: str | None) -> Iterator[SqlLedger]:
    engine = create_database(tmp_path, url=database_url)
    migrate(engine)
    yield SqlLedger(engine, root=tmp_path, enqueue=lambda _connection, _task: None)
    engine.dispose()


def add_job(transaction: SqlTransaction, root: Path, package: PackageIdentity | None = None) -> int:
    image = Instance(
        sop_instance_uid="1.1",
        sop_class_uid="1",
        study_instance_uid="9",
        series_instance_uid="8",
        transfer_syntax_uid="1",
        path=root / "1.dcm",
        sha256="1",
        size_bytes=1,
        attributes={},
    )
    study = transaction.studies.add_instance(image, peer="p", at=0.0)
    frozen = transaction.studies.freeze(study.id, reason="quiet", task_id=str, at=0.0)
    new = NewJob(
        key="k",
        revision_id=frozen.id,
        study_id=study.id,
        pipeline="pneumoconiosis",
        package=package,
        priority=Priority.ROUTINE,
        input_sop_instance_uids=("1.1",),
    )
    job = transaction.jobs.add(new, task_id=str, at=0.0)
    assert job is not None
    return job.id


def test_runs_are_kept_until_they_are_compared(ledger: SqlLedger, tmp_path: Path) -> None:
    with ledger.transaction() as transaction:
        job_id = add_job(transaction, tmp_path)
        run = transaction.shadows.add(job_id, PACKAGE, active=CALM, task_id=lambda row: f"shadow-{row}-0", at=1.0)
        assert (run.package, run.active, run.state, run.tries) == (PACKAGE, CALM, ShadowState.PENDING, 0)
        assert [row.stage for row in transaction.unfinished() if row.row_id == run.id and row.stage == "shadow"]
        assert transaction.shadows.waiting() == 1
        transaction.shadows.count_try(run.id)
        (stranded,) = [row for row in transaction.unfinished() if row.stage == "shadow"]
        assert transaction.reassign(stranded, task_id="shadow-1-1")
        verdict = Verdict(outcome="findings", score=0.75, above_operating_point=True)
        transaction.shadows.compared(run.id, verdict, headline="h", seconds=2.0, at=2.0)
        assert transaction.shadows.get(run.id).state is ShadowState.COMPARED
        assert transaction.shadows.waiting() == 0
        assert not [row for row in transaction.unfinished() if row.stage == "shadow"]


def test_summaries_say_how_often_packages_disagree(ledger: SqlLedger, tmp_path: Path) -> None:
    nothing = Verdict(outcome="not_analysed")
    with ledger.transaction() as transaction:
        job_id = add_job(transaction, tmp_path)
        for verdict in (CALM, Verdict(outcome="no_findings", score=0.75, above_operating_point=True), nothing, None):
            run = transaction.shadows.add(job_id, PACKAGE, active=CALM, task_id=str, at=1.0)
            if verdict is None:
                transaction.shadows.failed(run.id, error="WorkerCrashedError", at=2.0)
            else:
                transaction.shadows.compared(run.id, verdict, headline="", seconds=2.0, at=2.0)
        transaction.shadows.add(job_id, PACKAGE, active=nothing, task_id=str, at=1.0)
        (summary,) = transaction.shadows.summaries()
    assert (summary.pipeline, summary.package, summary.version) == ("pneumoconiosis", "film", "2.0.0")
    assert (summary.compared, summary.disagreed, summary.failed, summary.pending) == (3, 2, 1, 1)
    assert summary.score_difference == pytest.approx(0.25)
    assert summary.seconds == pytest.approx(2.0)


def test_packages_of_unfinished_jobs_are_known_and_a_job_can_be_given_another(
    ledger: SqlLedger, tmp_path: Path
) -> None:
    old = PackageIdentity(name="film", version="1.0.0", sha256="a" * 64, status=PackageStatus.APPROVED)
    with ledger.transaction() as transaction:
        job_id = add_job(transaction, tmp_path, old)
        assert transaction.jobs.queued_packages() == {old.sha256}
        transaction.jobs.adopt(job_id, PACKAGE, refusals=())
        assert transaction.jobs.get(job_id).package == PACKAGE
        assert transaction.jobs.queued_packages() == {PACKAGE.sha256}
