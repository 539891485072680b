# SPDX-License-Identifier: Apache-2.0
"""CAD reports of real runs reach a real archive, and a second encoding of the same run changes nothing there."""

from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from harness.dcmtk import Called, dcmsend
from harness.orthanc import Orthanc
from harness.shipped import shipped
from harness.studies import context_of, result_of, source_dataset, stored
from models.phantoms.dicom import PhantomStudy
from models.phantoms.mammogram.files import write_mg_exam
from service.dicom.header import read_attributes
from service.domain.instance import Instance
from service.domain.record import load_result, save_result
from service.domain.result import Outcome, PipelineResult, Presence
from service.domain.study import Selection
from service.inference.package import load_package
from service.pipelines.mammography import MammographyPipeline
from service.ports import EncodedObject, ResultKind
from service.results import ENCODERS
from service.results.gate import check_object
from service.results.lint.report import children, concept, content_items

PACKAGE = shipped("mammography-demo")
PIPELINE = MammographyPipeline()

pytestmark = pytest.mark.peers


def instance_of(path: Path) -> Instance:
    """Return a file's instance as the ledger would know it."""
    attributes = read_attributes(path)
    header = pydicom.dcmread(path, stop_before_pixels=True)
    return Instance(
        sop_instance_uid=str(header.SOPInstanceUID),
        sop_class_uid=str(header.SOPClassUID),
        study_instance_uid=str(header.StudyInstanceUID),
        series_instance_uid=str(header.SeriesInstanceUID),
        transfer_syntax_uid=str(header.file_meta.TransferSyntaxUID),
        path=path,
        sha256="0" * 64,
        size_bytes=path.stat().st_size,
        attributes=attributes,
    )


def analysed(folder: Path) -> tuple[PipelineResult, tuple[Instance, ...]]:
    """Run the demonstration package on a phantom exam with a mass, and keep the result as the node does."""
    views = write_mg_exam(folder / "exam", study=PhantomStudy(seed="cad"), seed=9, mass_in="L")
    package = load_package(PACKAGE)
    selection = PIPELINE.select([instance_of(view.path) for view in views], package.acceptance)
    assert isinstance(selection, Selection)
    save_result(PIPELINE.run(selection, package, analysed_at=datetime(2026, 4, 1, tzinfo=UTC)), folder)
    return load_result(folder), selection.instances


def encoded(kind: ResultKind, result: PipelineResult, sources: tuple[Instance, ...], folder: Path) -> EncodedObject:
    (entry,) = ENCODERS[kind](result, context_of(*sources), folder)
    assert check_object(entry.path) == ()
    return entry


def test_marks_of_a_real_run_reach_the_archive(orthanc: Orthanc, tmp_path: Path) -> None:
    result, sources = analysed(tmp_path)
    report = encoded(ResultKind.MAMMOGRAPHY_CAD, result, sources, tmp_path / "out")
    sent = dcmsend(Called(orthanc.dicom_port, ae_title=orthanc.ae_title), [report.path])
    assert sent.returncode == 0, sent.stderr
    identifier = orthanc.find(report.sop_instance_uid)
    assert identifier is not None
    kept = tmp_path / "kept.dcm"
    kept.write_bytes(orthanc.file(identifier))
    found = [item for item in content_items(pydicom.dcmread(kept)) if concept(item)[0] == "111059"]
    marks = [finding for finding in result.findings if finding.presence is Presence.PRESENT]
    assert len(found) == len(marks) > 0
    centers = {tuple(center(item)) for item in found}
    assert centers == {tuple(round(value, 2) for value in mark.center) for mark in marks}
    again = encoded(ResultKind.MAMMOGRAPHY_CAD, load_result(tmp_path), sources, tmp_path / "again")
    assert orthanc.upload(again.path)["Status"] == "AlreadyStored"


def center(finding: Dataset) -> list[float]:
    (item,) = (child for child in children(finding) if concept(child)[0] == "111010")
    return [round(float(value), 2) for value in item.GraphicData]


@pytest.mark.parametrize("modality", ["MG", "CR", "CT"])
def test_every_state_is_stored_once(modality: str, orthanc: Orthanc, tmp_path: Path) -> None:
    kind = ResultKind.MAMMOGRAPHY_CAD if modality == "MG" else ResultKind.CHEST_CAD
    sources = tuple(stored(source_dataset(modality, number), tmp_path / "sources") for number in (1, 2))
    for outcome in Outcome:
        result = result_of(modality, sources, outcome)
        first = encoded(kind, result, sources, tmp_path / "first")
        second = encoded(kind, result, sources, tmp_path / "second")
        assert orthanc.upload(first.path)["Status"] == "Success"
        assert orthanc.upload(second.path)["Status"] == "AlreadyStored"
    (study,) = orthanc.studies()
    assert len(orthanc.series_of(study)) == len(Outcome)
