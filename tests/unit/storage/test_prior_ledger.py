# SPDX-License-Identifier: Apache-2.0
"""The ledger finds the latest older study of the same patient, on either database."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.domain.companion import Companion
from service.domain.entry import JobState, NewJob, PriorJob
from service.domain.instance import Instance
from service.domain.result import Outcome, PackageIdentity, PackageStatus, Priority
from service.ports import AnalysisSummary
from service.storage import SqlLedger, create_database, migrate
from service.storage.ledger import SqlTransaction

PACKAGE = PackageIdentity(name="lung", version="1.0.0", sha256="a" * 64, status=PackageStatus.RESEARCH, title="Lung")
OLDER_PACKAGE = PackageIdentity(name="lung", version="0.9.0", sha256="b" * 64, status=PackageStatus.RESEARCH)
OTHER_PACKAGE = PackageIdentity(name="other", version="1.0.0", sha256="c" * 64, status=PackageStatus.RESEARCH)


class Archive:
    """Adds studies and their jobs, each under a key of its own."""

    def __init__(self, ledger: SqlLedger, root: Path) -> None:
        self._ledger = ledger
        self._root = root
        self._count = 0

    def add(
        self,
        study: str,
        date: str = "20250601",
        *,
        outcome: Outcome | None = Outcome.FINDINGS,
        package: PackageIdentity | None = PACKAGE,
        pipeline: str = "diffuse_lung",
        **attributes: str,
    ) -> int:
        """Return the job; without an outcome it is not analysed yet."""
        self._count += 1
        with self._ledger.transaction() as transaction:
            job_id = self._job(transaction, self._image(study, date, attributes), package, pipeline)
            if outcome is not None:
                summary = AnalysisSummary(outcome=outcome, headline="h")
                transaction.jobs.analysed(job_id, summary, priority=Priority.ROUTINE, task_id="t", at=1.0)
        return job_id

    def _image(self, study: str, date: str, attributes: dict[str, str]) -> Instance:
        return Instance(
            sop_instance_uid=f"{study}.{self._count}",
            sop_class_uid="1",
            study_instance_uid=study,
            series_instance_uid="8",
            transfer_syntax_uid="1",
            path=self._root / f"{self._count}.dcm",
            sha256=str(self._count),
            size_bytes=1,
            attributes={"PatientID": "4711", "StudyDate": date, **attributes},
        )

    def _job(self, transaction: SqlTransaction, image: Instance, package: PackageIdentity | None, pipeline: str) -> int:
        study = transaction.studies.add_instance(image, peer="p", at=0.0)
        frozen = transaction.studies.freeze(study.id, reason="quiet", task_id=str, at=0.0)
        new = NewJob(
            key=f"k{self._count}",
            revision_id=frozen.id,
            study_id=study.id,
            pipeline=pipeline,
            package=package,
            priority=Priority.ROUTINE,
            input_sop_instance_uids=(image.sop_instance_uid,),
        )
        job = transaction.jobs.add(new, task_id=str, at=0.0)
        assert job is not None
        return job.id

    def end(self, job_id: int, state: JobState) -> None:
        with self._ledger.transaction() as transaction:
            transaction.jobs.end(job_id, state, at=2.0)

    def prior(self, job_id: int) -> PriorJob | None:
        with self._ledger.reading() as view:
            return view.jobs.prior(job_id)

    def companion(self, job_id: int) -> Companion | None:
        with self._ledger.reading() as view:
            return view.jobs.companion(job_id)

    def prior_key(self, job_id: int) -> str | None:
        found = self.prior(job_id)
        return found.key if found else None


@pytest.fixture
def archive(tmp_path: Path, database_url: str | None) -> Iterator[Archive]:
    engine = create_database(tmp_path, url=database_url)
    migrate(engine)
    yield Archive(SqlLedger(engine, root=tmp_path, enqueue=lambda _connection, _task: None), tmp_path)
    engine.dispose()


def test_the_latest_older_study_is_found_whatever_came_first(archive: Archive) -> None:
    archive.add("1.2", "20240301", package=OLDER_PACKAGE)
    archive.add("1.1", "20230101")
    archive.add("1.4", "20260101")
    archive.add("1.5", "20250601")
    now = archive.add("1.3", "20250601", outcome=None)
    assert archive.prior(now) == PriorJob(
        key="k1", study_instance_uid="1.2", study_date="20240301", package=OLDER_PACKAGE
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientID": "4712"},
        {"PatientID": ""},
        {"IssuerOfPatientID": "H2"},
        {"PatientBirthDate": "19700101"},
        {"date": ""},
        {"date": "20250601"},
        {"date": "20250602"},
        {"pipeline": "pneumoconiosis"},
        {"package": OTHER_PACKAGE},
        {"package": None},
        {"outcome": Outcome.NOT_ANALYSED},
        {"outcome": None},
    ],
    ids=str,
)
def test_what_is_no_prior(archive: Archive, changes: dict[str, Any]) -> None:
    archive.add("1.1", **{"date": "20240301", **changes})
    assert archive.prior(archive.add("1.2", outcome=None)) is None


@pytest.mark.parametrize("missing", [{"PatientID": ""}, {"date": ""}, {"package": None}], ids=str)
def test_a_study_that_does_not_say_whose_and_when_has_no_prior(archive: Archive, missing: dict[str, Any]) -> None:
    archive.add("1.1", "20240301", **{key: value for key, value in missing.items() if key == "PatientID"})
    assert archive.prior(archive.add("1.2", outcome=None, **missing)) is None


@pytest.mark.parametrize("outcome", [Outcome.FINDINGS, Outcome.NO_FINDINGS, Outcome.PARTLY_ANALYSED])
def test_every_outcome_that_says_something_counts_also_when_all_was_sent(archive: Archive, outcome: Outcome) -> None:
    archive.end(archive.add("1.1", "20240301", outcome=outcome), JobState.FINISHED)
    assert archive.prior_key(archive.add("1.2", outcome=None)) == "k1"


def test_of_a_study_only_the_last_analysis_counts(archive: Archive) -> None:
    archive.add("1.0", "20230301")
    for _ in range(2):  # finished, or the second would supersede the first
        archive.end(archive.add("1.1", "20240301"), JobState.FINISHED)
    assert archive.prior_key(archive.add("1.9", outcome=None)) == "k3"
    archive.add("1.1", "20240301", outcome=Outcome.NOT_ANALYSED)
    assert archive.prior_key(archive.add("1.8", outcome=None)) == "k1", "what was withdrawn is no prior"


def test_an_earlier_analysis_of_the_same_study_is_no_prior(archive: Archive) -> None:
    archive.add("1.1", "20240301")
    assert archive.prior(archive.add("1.1", "20250601", outcome=None)) is None


def test_a_superseded_or_failed_job_has_no_result(archive: Archive) -> None:
    archive.end(archive.add("1.1", "20240301"), JobState.SUPERSEDED)
    archive.end(archive.add("1.2", "20240401"), JobState.FAILED)
    assert archive.prior(archive.add("1.3", outcome=None)) is None


def test_a_job_that_is_done_again_keeps_its_patient(archive: Archive, tmp_path: Path) -> None:
    archive.add("1.1", "20240301")
    archive.add("1.2")
    with archive._ledger.transaction() as transaction:
        again = transaction.jobs.repeat("k2", flags=(), task_id=str, at=1.0)
    assert again is not None
    assert archive.prior_key(again.id) == "k1"


def test_the_companion_is_the_latest_result_of_the_other_chest_images(archive: Archive) -> None:
    archive.add("1", "20240101", pipeline="diffuse_lung")
    archive.add("2", "20250101", pipeline="diffuse_lung")
    archive.add("3", "20250201", pipeline="diffuse_lung", outcome=Outcome.NOT_ANALYSED)
    archive.add("4", "20250301", pipeline="diffuse_lung", PatientID="another")
    film = archive.add("5", "20240601", pipeline="pneumoconiosis")
    expected = Companion(pipeline="diffuse_lung", study_instance_uid="2", study_date="20250101", headline="h")
    assert archive.companion(film) == expected
    later = archive.add("6", "20260101", pipeline="diffuse_lung")
    found = archive.companion(later)
    assert found is not None
    assert (found.pipeline, found.study_instance_uid) == ("pneumoconiosis", "5")


def test_there_is_no_companion_without_patient_or_for_other_images(archive: Archive) -> None:
    archive.add("1", "20240101", pipeline="diffuse_lung", PatientID="")
    assert archive.companion(archive.add("2", pipeline="pneumoconiosis", PatientID="")) is None
    archive.add("3", "20240101", pipeline="diffuse_lung")
    assert archive.companion(archive.add("4", pipeline="mammography")) is None
