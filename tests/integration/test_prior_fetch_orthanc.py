# SPDX-License-Identifier: Apache-2.0
"""A node that is new fetches what its PACS has of a patient: a real Orthanc, by C-FIND and C-MOVE."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from harness.dcmtk import dcmsend
from harness.node import NodeProgram
from harness.orthanc import Orthanc
from harness.phantom import PhantomStudy
from harness.processes import free_port, wait_until

pytestmark = pytest.mark.peers

StartNode = Callable[..., NodeProgram]
StartOrthanc = Callable[..., Orthanc]
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
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)
        written.append(place / f"{number}.dcm")
        dataset.save_as(written[-1], enforce_file_format=True)
    return written


def study_of(files: list[Path]) -> str:
    return str(dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)


def results_in(orthanc: Orthanc, study_uid: str) -> list[Dataset]:
    """Return the headers of the node's results for a study."""
    tags = [orthanc.tags(instance) for instance in orthanc.instances_of_study(study_uid)]
    return [item for item in tags if str(item.get("ManufacturerModelName")) in {"DOKUEI", "DOKUEI-DEMO"}]


def settled(node: NodeProgram) -> list[str]:
    return [event["outcome"] for event in node.events("prior_settled")]


def text_of(orthanc: Orthanc, study_uid: str, folder: Path) -> str:
    """Return all that the node's results of a study say in words."""
    found = []
    for instance in orthanc.instances_of_study(study_uid):
        path = folder / f"{instance}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(orthanc.file(instance))
        dataset = dcmread(path, stop_before_pixels=True)
        if str(dataset.get("ManufacturerModelName")) in {"DOKUEI", "DOKUEI-DEMO"}:
            found.append(str(dataset))
    return "\n".join(found)


@pytest.mark.parametrize("originator", [True], ids=["orthanc"])
def test_the_older_film_comes_from_the_pacs_and_is_compared_with(
    originator: bool, pair: Any, phantom_study: PhantomStudy, tmp_path: Path
) -> None:
    orthanc, node = pair()
    old = dated(phantom_study("2-chest-film-normal"), tmp_path / "old", date="20220315", name="old", PatientID="PF1")
    older = dated(phantom_study("2-chest-film-normal"), tmp_path / "older", date="20200315", name="o", PatientID="PF1")
    new = dated(
        phantom_study("1-chest-film-with-dust-opacities"),
        tmp_path / "new",
        date="20240610",
        name="new",
        PatientID="PF1",
    )
    same_birth_date(old, older, new)
    for path in (*old, *older):
        orthanc.upload(path)
    node.start()
    assert dcmsend(node.called, new).returncode == 0
    wait_until(lambda: len(results_in(orthanc, study_of(new))) > 0, seconds=240, what="no result in the PACS")
    node.wait_until_idle()

    assert settled(node) == ["comparable"]
    assert "2022-03-15" in text_of(orthanc, study_of(new), tmp_path / "results")
    assert results_in(orthanc, study_of(old)) == []
    assert results_in(orthanc, study_of(older)) == []
    with node.journal() as journal:
        jobs = journal.execute(sa.text("select as_prior, state from job order by id")).all()
        studies = journal.execute(sa.text("select count(*) from study")).scalar_one()
    assert [tuple(row) for row in jobs] == [(0, "finished"), (1, "finished")]
    assert studies == 2, "one older study is asked for, the newest"


def same_birth_date(*studies: list[Path]) -> None:
    for path in (path for files in studies for path in files):
        dataset = dcmread(path)
        dataset.PatientBirthDate, dataset.PatientName = "19550101", "PHANTOM^PRIOR"
        dataset.save_as(path, enforce_file_format=True)
