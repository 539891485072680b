# SPDX-License-Identifier: Apache-2.0
"""Each destination gets its own: its profile, the first form that it takes, and word of what is replaced."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    CTImageStorage,
    KeyObjectSelectionDocumentStorage,
    SecondaryCaptureImageStorage,
)

import fakes
import node as node_module
from fakes import incoming
from harness.dcmtk import StoreScpProgram, only
from harness.inprocess import InProcessAnalyst, slice_dataset
from harness.orthanc import Orthanc
from harness.validators import dcentvfy, dciodvfy, dsrdump
from node import SETTINGS, Node, running
from service.domain.event import ContextsNegotiated, ObjectDelivered, ResultsSuperseded
from service.ports import StoreOutcome
from service.settings import DestinationSettings
from service.transport.store_scu import StoreScu

pytestmark = pytest.mark.peers

SR, SC, KO = str(ComprehensiveSRStorage), str(SecondaryCaptureImageStorage), str(KeyObjectSelectionDocumentStorage)
REPORTS = "1.2.840.10008.5.1.4.1.1.88."
PRESENTATION_STATE, SEGMENTATION = "1.2.840.10008.5.1.4.1.1.11.1", "1.2.840.10008.5.1.4.1.1.66.4"
THREE_D, TEXT = str(Comprehensive3DSRStorage), str(BasicTextSRStorage)

StartScp = Callable[..., StoreScpProgram]


@pytest.fixture
def start_scp(tmp_path: Path) -> Iterator[StartScp]:
    """Start DCMTK's storescp that takes these SOP classes only."""
    programs = []

    def start(name: str, *sop_class_uids: str) -> StoreScpProgram:
        program = StoreScpProgram(tmp_path / name, *only(tmp_path / f"{name}-settings", *sop_class_uids))
        program.start()
        programs.append(program)
        return program

    yield start
    for program in programs:
        program.stop()


def destination(name: str, port: int, ae_title: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "ae_title": ae_title,
        "host": "127.0.0.1",
        "port": port,
        "retry_first_seconds": 0.05,
        "retry_max_seconds": 0.2,
        **changes,
    }


def to(program: StoreScpProgram, **changes: Any) -> dict[str, Any]:
    return destination(program.folder.name, program.port, "STORESCP", **changes)


@contextmanager
def sending(root: Path, *entries: dict[str, Any], **changes: Any) -> Iterator[Node]:
    """Run a node in this process that sends real results to these destinations."""
    settings = SETTINGS.model_copy(update={"destinations": tuple(map(DestinationSettings.model_validate, entries))})
    observer = fakes.Recorder()
    scus = {item.name: StoreScu(item, ae_title="DOKUEI", observer=observer) for item in settings.destinations}
    values = {"settings": settings, "analyst": InProcessAnalyst(), "destinations": scus, "observer": observer}
    with running(root, reconcile_seconds=0.5, **{**values, **changes}) as node:
        yield node


def send(node: Node, *numbers: int) -> None:
    for number in numbers:
        assert node.receive(incoming(slice_dataset(number))) is StoreOutcome.STORED


def finish(node: Node, jobs: int = 1) -> None:
    node.wait(lambda: node.rows("select state from job") == [("finished",)] * jobs, seconds=60)


def received(program: StoreScpProgram) -> list[Dataset]:
    return [pydicom.dcmread(path) for path in program.files()]


def classes(program: StoreScpProgram) -> list[str]:
    return sorted(str(item.SOPClassUID) for item in received(program))


def test_equal_profiles_share_objects_and_others_have_their_own(tmp_path: Path, start_scp: StartScp) -> None:
    pacs, copy, ward = start_scp("pacs", SR, SC), start_scp("copy", SR, SC), start_scp("ward", SR, SC)
    other = {"results": {"tracking": "cornerstone"}, "objects": ["sr"]}
    with sending(tmp_path, to(pacs), to(copy), to(ward, **other)) as node:
        send(node, 1, 2)
        finish(node)
        request = node.analyst.encoded[-1]
        written = {item.sop_instance_uid: item.path.read_bytes() for item in node.analyst.encode(request)}
        again = {item.sop_instance_uid: item.path.read_bytes() for item in node.analyst.encode(request)}
    assert len(request.sets) == 2
    assert written == again
    uids = {program.folder.name: {item.SOPInstanceUID for item in received(program)} for program in (pacs, copy, ward)}
    assert uids["pacs"] == uids["copy"]
    assert classes(pacs) == sorted([SR, SC])
    assert classes(ward) == [SR]
    assert not uids["pacs"] & uids["ward"]
    for path in (*pacs.files(), *ward.files()):
        assert dciodvfy(path) == []


def test_each_archive_is_sent_the_first_form_that_it_takes(
    tmp_path: Path, start_scp: StartScp, orthanc: Orthanc
) -> None:
    classic, plain = start_scp("classic", SR, TEXT, SC), start_scp("plain", TEXT)
    modern = {"results": {"report_class": "comprehensive3d"}}
    everything = destination("orthanc", orthanc.dicom_port, "ORTHANC", **modern)
    with sending(tmp_path, everything, to(classic, **modern), to(plain, **modern)) as node:
        send(node, 1, 2)
        finish(node)
        rows = node.rows(
            "select destination, kind, delivery.state, count(*) from delivery, result_object "
            "where object_id = result_object.id group by destination, kind, delivery.state"
        )
        declined = {event.destination for event in node.observer.of(ObjectDelivered) if event.status == "declined"}
        answers = {event.destination: event for event in node.observer.of(ContextsNegotiated)}
    assert classes(classic) == sorted([SR, SC])
    assert classes(plain) == [TEXT]
    taken = sorted(orthanc.tags(name)["SOPClassUID"] for name in orthanc.instances())
    assert [uid for uid in taken if uid.startswith(REPORTS)] == [THREE_D], "it takes all four, and is sent one"
    assert {SC, PRESENTATION_STATE, SEGMENTATION} <= set(taken)
    assert ("plain", "heatmap", "declined", 1) in rows, "a picture that is not taken fails nothing"
    assert {row[2] for row in rows} == {"delivered", "unneeded", "declined"}
    assert [row[3] for row in rows if row[1:3] == ("sr", "delivered")] == [1, 1, 1]
    assert [row[3] for row in rows if row[1:3] == ("sr", "unneeded")] == [3, 3, 3]
    assert declined == {"classic", "plain"}
    assert answers["plain"].accepted == (TEXT,)
    assert SC in answers["plain"].declined


def test_an_archive_that_takes_nothing_is_loud_and_delays_nobody(tmp_path: Path, start_scp: StartScp) -> None:
    pacs, stranger = start_scp("pacs", SR, SC), start_scp("stranger", str(CTImageStorage))
    with sending(tmp_path, to(stranger), to(pacs)) as node:
        send(node, 1, 2)
        finish(node)
        rows = node.rows("select state, permanent_refusals from delivery where destination = 'stranger'")
    assert rows == [("refused", 3)] * len(rows)
    assert len(rows) >= 2
    assert classes(pacs) == sorted([SR, SC])


def rejected_uids(note: Dataset) -> set[str]:
    items = [item for item in note.ContentSequence if "ReferencedSOPSequence" in item]
    return {str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for item in items}


def results(items: list[Dataset]) -> set[str]:
    return {str(item.SOPInstanceUID) for item in items if item.SOPClassUID != KO}


def test_replaced_results_are_rejected_after_the_new_ones_are_stored(
    tmp_path: Path, start_scp: StartScp, orthanc: Orthanc
) -> None:
    pacs, quiet = start_scp("pacs", SR, SC, KO), start_scp("quiet", SR, SC, KO)
    wanting = destination("orthanc", orthanc.dicom_port, "ORTHANC", supersede="reject", objects=["sr", "heatmap"])
    with sending(tmp_path, to(pacs, supersede="reject"), to(quiet), wanting) as node:
        send(node, 1, 2)
        finish(node)
        first = results(received(pacs))
        send(node, 3)
        finish(node, 2)
        second = results(received(pacs)) - first
        (note,) = [item for item in received(pacs) if item.SOPClassUID == KO]
        assert rejected_uids(note) == first
        stored = node.rows(
            "select kind, stored_at from delivery, result_object where object_id = result_object.id and "
            "destination = 'pacs' and delivery.job_id = 2 order by stored_at"
        )
        assert [kind for kind, _ in stored][-1] == "rejection_note"
        send(node, 4)
        finish(node, 3)
        superseded = node.observer.of(ResultsSuperseded)
        retired = node.rows("select destination, count(*) from delivery where state = 'retired' group by destination")
    notes = [item for item in received(pacs) if item.SOPClassUID == KO]
    assert sorted(map(sorted, map(rejected_uids, notes))) == sorted([sorted(first), sorted(second)])
    assert retired == [("orthanc", 4), ("pacs", 4)]
    assert sorted((event.destination, event.count) for event in superseded) == [
        *[("orthanc", 2)] * 2,
        *[("pacs", 2)] * 2,
    ]
    assert KO not in classes(quiet), "it asked for references alone"
    assert len(orthanc.instances()) == 8
    for path in pacs.files():
        assert dciodvfy(path) == []
    for path in [path for path in pacs.files() if pydicom.dcmread(path).SOPClassUID == KO]:
        assert "Rejected for Quality Reasons" in dsrdump(path)
    assert not dcentvfy(pacs.files())
    successor = next(item for item in received(quiet) if "PredecessorDocumentsSequence" in item)
    (study,) = successor.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (reference,) = series.ReferencedSOPSequence
    prior = next(item for item in received(quiet) if item.SOPInstanceUID == reference.ReferencedSOPInstanceUID)
    assert (prior.SOPClassUID, prior.SeriesInstanceUID) == (reference.ReferencedSOPClassUID, series.SeriesInstanceUID)


def test_a_predecessor_is_named_in_the_form_that_was_delivered(tmp_path: Path, start_scp: StartScp) -> None:
    """And by a new version of the package just so."""
    pacs = start_scp("pacs", TEXT, SC)
    with sending(tmp_path, to(pacs)) as node:
        send(node, 1, 2)
        finish(node)
    (first,) = [item for item in received(pacs) if item.SOPClassUID == TEXT]
    upgraded = replace(fakes.PACKAGE.identity, version="2", sha256="b" * 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node_module, "PACKAGE", replace(fakes.PACKAGE, identity=upgraded))
        with sending(tmp_path, to(pacs)) as node:
            send(node, 3)
            finish(node, 2)
            wanted = node.analyst.encoded[-1].sets[0].predecessors
            assert node.rows("select package_version from job order by id") == [("1",), ("2",)]
    named = [(item.sop_class_uid, item.sop_instance_uid) for item in wanted if item.kind == "sr"]
    assert named == [(TEXT, str(first.SOPInstanceUID))]
    (second,) = [item for item in received(pacs) if item.SOPClassUID == TEXT and item != first]
    assert str(first.SOPInstanceUID) in str(second.PredecessorDocumentsSequence)
