# SPDX-License-Identifier: Apache-2.0
"""The whole product: DCMTK sends studies, the node analyses them, and the results are in Orthanc."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from harness.dcmtk import Called, dcmsend, echoscu, storescu
from harness.listener import Listener
from harness.node import NodeProgram
from harness.orthanc import Orthanc
from harness.phantom import PhantomStudy
from harness.processes import wait_until
from harness.validators import dcentvfy, dciodvfy, dsr2html, dsrdump

pytestmark = pytest.mark.peers

COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
MAMMOGRAPHY_CAD_SR = "1.2.840.10008.5.1.4.1.1.88.50"
PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.11.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
FOR_EVERY_STUDY = {COMPREHENSIVE_SR, SECONDARY_CAPTURE, PRESENTATION_STATE}
"""What a destination is sent that chooses nothing; a report in one form of four."""
FOR_SOME = {"MG": {MAMMOGRAPHY_CAD_SR}, "CT": {SEGMENTATION}}
TITLES = ("Imaging Measurement Report", "Mammography CAD Report")

StartNode = Callable[..., NodeProgram]


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.dcm"))


def is_own(item: Dataset) -> bool:
    return str(item.ManufacturerModelName) in {"DOKUEI", "DOKUEI-DEMO"}


def results_of(orthanc: Orthanc, folder: Path, study_uid: str) -> list[Dataset]:
    found = [dcmread(path) for path in orthanc.save_files(folder)]
    return [item for item in found if item.StudyInstanceUID == study_uid and is_own(item)]


def test_every_sample_study_comes_back_as_valid_results(
    orthanc: Orthanc, start_node: StartNode, phantom_studies: tuple[Path, ...], tmp_path: Path
) -> None:
    node = start_node(orthanc)
    folders = list(phantom_studies)
    assert echoscu(node.called).returncode == 0
    for folder in folders:
        assert dcmsend(node.called, files_of(folder)).returncode == 0
    studies = node.wait_for_results(len(folders), seconds=240)

    saved = orthanc.save_files(tmp_path / "results")
    outcomes = {}
    for folder in folders:
        source = dcmread(files_of(folder)[0], stop_before_pixels=True)
        outcomes[folder.name] = studies[source.StudyInstanceUID].outcome
        results = [path for path in saved if dcmread(path).StudyInstanceUID == source.StudyInstanceUID]
        classes = {dcmread(path, stop_before_pixels=True).SOPClassUID for path in results}
        assert classes == FOR_EVERY_STUDY | FOR_SOME.get(source.Modality, set()), folder.name
        assert not dcentvfy([*files_of(folder), *results]), folder.name
        for path in results:
            check_result(path, source)
    assert outcomes["1-chest-film-with-dust-opacities"] == "findings"
    assert outcomes["2-chest-film-normal"] == "no_findings"
    assert outcomes["3-chest-film-lateral-to-be-refused"] == "not_analysed"
    assert outcomes["4-chest-ct-with-honeycombing"] == "findings"
    assert outcomes["5-chest-ct-normal"] == "no_findings"
    assert outcomes["6-mammography-with-a-mass"] == "findings"
    assert outcomes["7-mammography-normal"] == "no_findings"
    check_metrics(node, len(folders))
    check_log(node, folders)


def check_result(path: Path, source: Dataset) -> None:
    result = dcmread(path)
    assert dciodvfy(path) == []
    assert result.get_item("PatientName").value == source.get_item("PatientName").value  # the bytes
    assert result.get("SpecificCharacterSet") == source.get("SpecificCharacterSet")
    for keyword in ("PatientID", "StudyID", "AccessionNumber", "StudyDate", "StudyDescription"):
        assert result[keyword].value == source[keyword].value, keyword
    assert "[DEMO]" in result.SeriesDescription
    assert result.ContentQualification == "RESEARCH"
    if result.Modality == "SR":
        assert any(title in dsrdump(path) for title in TITLES)
        assert "<html" in dsr2html(path).lower()


def check_metrics(node: NodeProgram, studies: int) -> None:
    status, text = node.http("/metrics")
    assert status == 200
    assert sum_of(text, "dokuei_results_total") == studies
    assert 'dokuei_delivery_pending{destination="pacs"} 0' in text or "dokuei_delivery_pending{" not in text
    assert 'dokuei_analysis_refused_total{pipeline="pneumoconiosis"' in text
    assert node.http("/livez")[0] == 200
    status, text = node.http("/readyz")
    assert status == 200, text
    json.loads(text)


def sum_of(text: str, metric: str) -> float:
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(f"{metric}{{"))


def check_log(node: NodeProgram, folders: list[Path]) -> None:
    """No identity of any patient or study in any line."""
    sources = [dcmread(files_of(folder)[0], stop_before_pixels=True) for folder in folders]
    for source in sources:
        for keyword in ("PatientID", "StudyInstanceUID", "AccessionNumber", "SOPInstanceUID", "PatientBirthDate"):
            assert str(source[keyword].value) not in node.log, keyword
        assert "PHANTOM^" not in node.log
    assert node.events("result_ready")


def test_a_study_that_comes_again_changes_nothing(
    orthanc: Orthanc, start_node: StartNode, phantom_study: PhantomStudy
) -> None:
    node = start_node(orthanc)
    film = files_of(phantom_study("2-chest-film-normal"))
    dcmsend(node.called, film)
    node.wait_for_results(1)
    before = {instance: orthanc.file(instance) for instance in orthanc.instances()}
    assert dcmsend(node.called, film).returncode == 0
    wait_until(
        lambda: any(event["outcome"] == "duplicate" for event in node.events("instance_received")),
        seconds=20,
        what="the duplicate was not noticed",
    )
    assert {instance: orthanc.file(instance) for instance in orthanc.instances()} == before


def test_other_bytes_under_a_known_uid_are_kept_aside_and_reported(
    orthanc: Orthanc, start_node: StartNode, phantom_study: PhantomStudy, tmp_path: Path
) -> None:
    node = start_node(orthanc)
    (film,) = files_of(phantom_study("2-chest-film-normal"))
    dcmsend(node.called, [film])
    changed = dcmread(film)
    changed.StudyDescription = "changed"
    changed.save_as(tmp_path / "changed.dcm")
    assert dcmsend(node.called, [tmp_path / "changed.dcm"]).returncode == 0
    wait_until(
        lambda: "dokuei_conflicts 1.0" in node.http("/metrics")[1], seconds=20, what="the conflict was not reported"
    )
    (kept,) = (node.folder / "data" / "quarantine").iterdir()
    assert dcmread(kept).StudyDescription == "changed"


def test_a_late_view_makes_a_result_that_supersedes_the_first(
    orthanc: Orthanc, start_node: StartNode, phantom_study: PhantomStudy, tmp_path: Path
) -> None:
    node = start_node(orthanc)
    views = files_of(phantom_study("6-mammography-with-a-mass"))
    study_uid = str(dcmread(views[0], stop_before_pixels=True).StudyInstanceUID)
    dcmsend(node.called, views[:3])
    first = node.wait_for_results(1)[study_uid]
    assert first.revision == 1
    dcmsend(node.called, views[3:])
    wait_until(lambda: node.studies()[study_uid].revision == 2, seconds=60, what="the late view opened no revision")
    node.wait_until_idle()
    reports = [item for item in results_of(orthanc, tmp_path, study_uid) if item.SOPClassUID == COMPREHENSIVE_SR]
    assert len(reports) == 2
    successor = next(item for item in reports if "PredecessorDocumentsSequence" in item)
    predecessor = next(item for item in reports if item is not successor)
    assert predecessor.SOPInstanceUID in str(successor.PredecessorDocumentsSequence)


def test_results_wait_for_a_pacs_that_is_down(
    orthanc: Orthanc, start_node: StartNode, phantom_study: PhantomStudy
) -> None:
    node = start_node(orthanc)
    orthanc.kill()
    dcmsend(node.called, files_of(phantom_study("2-chest-film-normal")))
    wait_until(lambda: bool(node.events("result_ready")), seconds=60, what="no result")
    wait_until(
        lambda: any(event["status"] == "unreachable" for event in node.events("object_delivered")),
        seconds=30,
        what="no attempt failed",
    )
    assert node.http("/readyz")[0] == 200  # a PACS that is down must not stop intake
    orthanc.start()
    node.wait_for_results(1)
    assert len(orthanc.instances()) == next(iter(node.studies().values())).objects


def test_orthanc_forwards_studies_and_gets_each_result_once(
    start_orthanc: Callable[..., Orthanc], start_node: StartNode, phantom_study: PhantomStudy
) -> None:
    """The set-up of the README: the PACS forwards what arrives, and the node's results do not go round in circles."""
    script = Path(__file__).parents[2] / "deploy" / "orthanc" / "dokuei.lua"
    holder = start_orthanc()  # reserves the node's port numbers before the PACS must know them
    node = start_node(holder)
    pacs = start_orthanc(
        ae_title="ORTHANC2", modalities={"dokuei": ("DOKUEI", node.port)}, options={"LuaScripts": [str(script)]}
    )
    node.stop()
    text = node.config.read_text().replace(str(holder.dicom_port), str(pacs.dicom_port)).replace("ORTHANC", "ORTHANC2")
    node.config.write_text(text)
    node.start()
    slices = files_of(phantom_study("4-chest-ct-with-honeycombing"))  # its pictures have modality CT, like the input
    assert storescu(Called(port=pacs.dicom_port, ae_title="ORTHANC2"), slices).returncode == 0
    study = next(iter(node.wait_for_results(1).values()))
    assert len(pacs.instances()) == len(slices) + study.objects
    assert {event["outcome"] for event in node.events("instance_received")} == {"stored"}
    assert len(node.events("instance_received")) == len(slices)


def test_a_priority_is_raised_and_told_where_the_profile_allows_it(
    orthanc: Orthanc, start_node: StartNode, phantom_study: PhantomStudy
) -> None:
    views = files_of(phantom_study("6-mammography-with-a-mass"))
    accession_number = str(dcmread(views[0], stop_before_pixels=True).AccessionNumber)
    worklist = Listener()
    webhooks = [{"name": "ris", "url": worklist.url}]
    ordinary = start_node(orthanc, webhooks=webhooks)
    demo = start_node(orthanc, webhooks=webhooks, site={"profile": "demo"})
    try:
        dcmsend(ordinary.called, views)
        assert [study.priority for study in ordinary.wait_for_results(1).values()] == ["routine"]
        assert not worklist.posted
        dcmsend(demo.called, views)
        assert [study.priority for study in demo.wait_for_results(1).values()] == ["urgent"]
        wait_until(lambda: bool(worklist.posted), seconds=20, what="the worklist was not told")
    finally:
        worklist.stop()
    assert worklist.posted[0]["accession_number"] == accession_number
    assert worklist.posted[0]["priority"] == "urgent"
    assert worklist.posted[0]["demonstration"] is True


def test_sigterm_drains_and_the_next_start_goes_on(
    orthanc: Orthanc, start_node: StartNode, phantom_study: PhantomStudy
) -> None:
    node = start_node(orthanc)
    dcmsend(node.called, files_of(phantom_study("2-chest-film-normal")))
    node.stop()
    assert "Traceback" not in node.log
    node.start()
    node.wait_for_results(1)
