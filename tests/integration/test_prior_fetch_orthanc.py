# SPDX-License-Identifier: Apache-2.0
"""A node that is new fetches what its PACS has of a patient: a real Orthanc, by C-FIND and C-MOVE."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydicom import dcmread
from pydicom.uid import generate_uid

from harness.dcmtk import dcmsend
from harness.members import Cluster, MemberProgram
from harness.node import NodeProgram
from harness.orthanc import Orthanc
from harness.phantom import PhantomStudy
from harness.postgres import PostgresServer
from harness.processes import free_port, wait_until
from service.domain.member import Role

pytestmark = pytest.mark.peers

StartNode = Callable[..., NodeProgram]
StartOrthanc = Callable[..., Orthanc]
PATIENT = {"PatientID": "PF1", "PatientName": "PHANTOM^PRIOR", "PatientBirthDate": "19550101"}
PRIORS = {"source": "pacs", "wait_seconds": 120}


@pytest.fixture
def pair(start_orthanc: StartOrthanc, tmp_path: Path) -> Iterator[Callable[..., tuple[Orthanc, NodeProgram]]]:
    """Return a function that makes an Orthanc which knows a node as a place to send to, and that node, not started."""
    nodes: list[NodeProgram] = []

    def made(*, priors: dict[str, Any] | None = None, **options: Any) -> tuple[Orthanc, NodeProgram]:
        port = free_port()
        orthanc = start_orthanc(modalities={"dokuei": ("DOKUEI", port)}, options=options)
        sections = {"node": {"host": "127.0.0.1", "port": port}, "priors": {**PRIORS, **(priors or {})}}
        node = NodeProgram(tmp_path / "node", pacs=(orthanc.ae_title, orthanc.dicom_port), changes=sections)
        node.port, node.called = port, type(node.called)(port=port)
        nodes.append(node)
        return orthanc, node

    yield made
    for node in nodes:
        node.stop()


def dated(folder: Path, place: Path, *, date: str, name: str, **changes: str) -> list[Path]:
    """Write a study again, of another day and with UIDs of its own."""
    place.mkdir(parents=True, exist_ok=True)
    uids: dict[str, str] = {}
    written = []
    for number, path in enumerate(sorted(folder.glob("*.dcm"))):
        dataset = dcmread(path)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            old = str(dataset[keyword].value)
            setattr(dataset, keyword, uids.setdefault(old, generate_uid(entropy_srcs=[name, old])))
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
            setattr(dataset, keyword, date)
        for keyword, value in {**PATIENT, **changes}.items():
            setattr(dataset, keyword, value)
        written.append(place / f"{number}.dcm")
        dataset.save_as(written[-1], enforce_file_format=True)
    return written


def study_of(files: list[Path]) -> str:
    return str(dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)


def is_result(tags: dict[str, Any]) -> bool:
    return tags.get("ManufacturerModelName") in {"DOKUEI", "DOKUEI-DEMO"}


def results_in(orthanc: Orthanc, study_uid: str) -> list[dict[str, Any]]:
    """Return the headers of the node's results for a study."""
    tags = [orthanc.tags(instance) for instance in orthanc.instances_of_study(study_uid)]
    return list(filter(is_result, tags))


def settled(node: NodeProgram) -> list[str]:
    return [event["outcome"] for event in node.events("prior_settled")]


def said_in(orthanc: Orthanc, study_uid: str, words: str) -> bool:
    """Say whether any of the node's results of a study has these words in it."""
    return any(
        words.encode() in orthanc.file(instance)
        for instance in orthanc.instances_of_study(study_uid)
        if is_result(orthanc.tags(instance))
    )


def films(phantom_study: PhantomStudy, place: Path, *dates: str, **changes: str) -> list[list[Path]]:
    """Write chest films of one patient, the last with dust opacities and the others without."""
    samples = [*["2-chest-film-normal"] * (len(dates) - 1), "1-chest-film-with-dust-opacities"]
    return [
        dated(phantom_study(sample), place / date, date=date, name=f"{place.name}-{date}", **changes)
        for sample, date in zip(samples, dates, strict=True)
    ]


def jobs_of(node: NodeProgram) -> list[tuple[Any, ...]]:
    with node.journal() as journal:
        rows = journal.execute(sa.text("select as_prior, pipeline, state from job order by id"))
        return [tuple(row) for row in rows]


def test_the_older_film_comes_from_the_pacs_and_is_compared_with(
    pair: Any, phantom_study: PhantomStudy, tmp_path: Path
) -> None:
    orthanc, node = pair()
    older, old, new = films(phantom_study, tmp_path / "a", "20200315", "20220315", "20240610")
    for path in (*old, *older):
        orthanc.upload(path)
    node.start()
    assert dcmsend(node.called, new).returncode == 0
    wait_until(lambda: len(results_in(orthanc, study_of(new))) > 0, seconds=240, what="no result in the PACS")
    node.wait_until_idle()

    assert settled(node) == ["comparable"]
    assert said_in(orthanc, study_of(new), "Since 2022-03-15: profusion")
    assert results_in(orthanc, study_of(old)) == []
    assert jobs_of(node) == [(0, "pneumoconiosis", "finished"), (1, "pneumoconiosis", "finished")]
    with node.journal() as journal:
        studies = journal.execute(sa.text("select count(*) from study")).scalar_one()
    assert studies == 2, "one older study is asked for, the newest"

    # The PACS sends the older one by itself: it is answered like any other.
    orthanc.store_to("dokuei", [orthanc.find(uid) or "" for uid in map(sop_of, old)])
    wait_until(lambda: len(results_in(orthanc, study_of(old))) > 0, seconds=240, what="no result of the older film")
    assert jobs_of(node)[1][0] == 0


def test_members_fetch_an_older_film_between_them(
    start_orthanc: StartOrthanc, postgres: PostgresServer, phantom_study: PhantomStudy, tmp_path: Path
) -> None:
    """Whoever asks the archive, the study comes to the receiver, and a worker compares."""
    port = free_port()
    orthanc = start_orthanc(modalities={"dokuei": ("DOKUEI", port)})
    old, new = films(phantom_study, tmp_path / "m", "20220315", "20240610")
    for path in old:
        orthanc.upload(path)
    changes = {"node": {"host": "127.0.0.1", "port": port}, "priors": PRIORS, "inference": {"workers": 1}}
    members = [
        MemberProgram(
            tmp_path / "members",
            role,
            role.value,
            pacs=(orthanc.ae_title, orthanc.dicom_port),
            database_url=url,
            changes=changes,
        )
        for url in [postgres.database()]
        for role in (Role.RECEIVER, Role.WORKER, Role.SENDER)
    ]
    receiver = members[0]
    receiver.port, receiver.called = port, type(receiver.called)(port=port)
    cluster = Cluster(members)
    try:
        cluster.start()
        assert dcmsend(receiver.called, new).returncode == 0
        compared = "Since 2022-03-15: profusion"
        wait_until(lambda: said_in(orthanc, study_of(new), compared), seconds=200, what="nothing was compared")
        assert results_in(orthanc, study_of(old)) == []
        assert [outcome for member in members for outcome in settled(member)] == ["comparable"]
    finally:
        cluster.stop()


def sop_of(path: Path) -> str:
    return str(dcmread(path, stop_before_pixels=True).SOPInstanceUID)


@pytest.mark.parametrize(
    ("sample", "words"),
    [("5-chest-ct-normal", "Change since the study of 2022-03-15"), ("7-mammography-normal", "Since 2022-03-15: exam")],
    ids=["ct", "mammograms"],
)
def test_the_other_pipelines_compare_with_what_is_fetched_too(
    sample: str, words: str, pair: Any, phantom_study: PhantomStudy, tmp_path: Path
) -> None:
    orthanc, node = pair()
    old = dated(phantom_study(sample), tmp_path / "old", date="20220315", name="old")
    new = dated(phantom_study(sample), tmp_path / "new", date="20240610", name="new")
    for path in old:
        orthanc.upload(path)
    node.start()
    assert dcmsend(node.called, new).returncode == 0
    wait_until(lambda: len(results_in(orthanc, study_of(new))) > 0, seconds=240, what="no result in the PACS")
    node.wait_until_idle()
    assert settled(node) == ["comparable"]
    assert said_in(orthanc, study_of(new), words)
    assert results_in(orthanc, study_of(old)) == []


def test_a_study_whose_older_one_cannot_be_had_says_why(pair: Any, phantom_study: PhantomStudy, tmp_path: Path) -> None:
    """Nothing there, another hospital's number, a PACS that does not know us as a place to send to, and none at all."""
    orthanc, node = pair(DicomAlwaysAllowFind=True, DicomAlwaysAllowMove=True)
    (alone,) = films(phantom_study, tmp_path / "alone", "20240610", PatientID="PF2")
    theirs, ours = films(phantom_study, tmp_path / "issuer", "20220315", "20240610", PatientID="PF3")
    for path in theirs:
        dataset = dcmread(path)
        dataset.IssuerOfPatientID = "ELSEWHERE"
        dataset.save_as(path, enforce_file_format=True)
    old, new = films(phantom_study, tmp_path / "unknown", "20220315", "20240610", PatientID="PF4")
    last_old, last = films(phantom_study, tmp_path / "down", "20220315", "20240610", PatientID="PF5")
    for path in (*theirs, *old, *last_old):
        orthanc.upload(path)
    node.start()
    for study in (alone, ours):
        assert dcmsend(node.called, study).returncode == 0
    wait_until(lambda: len(settled(node)) == 2, seconds=120, what="nothing was told")
    assert settled(node) == ["none", "none"]

    orthanc.request("/modalities/dokuei", method="DELETE")
    assert dcmsend(node.called, new).returncode == 0
    wait_until(lambda: len(settled(node)) == 3, seconds=120, what="nothing was told")
    wait_until(lambda: len(results_in(orthanc, study_of(new))) > 0, seconds=240, what="no result in the PACS")
    node.wait_until_idle()
    assert settled(node)[2] == "refused"
    assert said_in(orthanc, study_of(new), "refused the search for older studies of the patient, or to send one")

    orthanc.kill()
    assert dcmsend(node.called, last).returncode == 0
    wait_until(lambda: len(settled(node)) == 4, seconds=120, what="nothing was told")
    assert settled(node)[3] == "unreachable"
    orthanc.start()
    wait_until(lambda: len(results_in(orthanc, study_of(last))) > 0, seconds=240, what="no result in the PACS")
    node.wait_until_idle()
    assert said_in(orthanc, study_of(last), "the archive could not be asked for older studies of the patient")
    assert len(node.studies()) == 4, "no study but those that were sent"


def test_a_node_that_is_killed_while_a_study_waits_compares_after_its_next_start(
    pair: Any, phantom_study: PhantomStudy, tmp_path: Path
) -> None:
    orthanc, node = pair(priors={"wait_seconds": 600})
    old, new = films(phantom_study, tmp_path / "killed", "20220315", "20240610", PatientID="PF6")
    for path in old:
        orthanc.upload(path)
    node.start()
    assert dcmsend(node.called, new).returncode == 0
    wait_until(lambda: bool(asked_studies(node)), seconds=60, what="the PACS was not asked to send")
    node.kill()
    node.start()
    wait_until(lambda: len(results_in(orthanc, study_of(new))) > 0, seconds=240, what="no result in the PACS")
    node.wait_until_idle()
    assert settled(node)[-1:] == ["comparable"]
    assert said_in(orthanc, study_of(new), "Since 2022-03-15: profusion")
    assert results_in(orthanc, study_of(old)) == []


def asked_studies(node: NodeProgram) -> int:
    with node.journal() as journal:
        return int(journal.execute(sa.text("select count(*) from asked_study")).scalar_one())
