# SPDX-License-Identifier: Apache-2.0
"""A rejection note lists older results and nothing else: an archive hides what it lists."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from harness.studies import context_of, result_of
from service.domain.instance import Instance
from service.domain.result import Outcome
from service.ports import EncodedObject, PriorObject
from service.results.gate import check_object
from service.results.report.predecessors import with_series
from service.results.report.rejection_note import encode_rejection_note
from service.results.report.sr_forms import encode_sr

Change = Callable[[Dataset], object]
REPORT = PriorObject(
    kind="sr",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.88.33",
    sop_instance_uid="2.25.1",
    series_instance_uid="2.25.11",
)
PICTURE = PriorObject(
    kind="heatmap",
    sop_class_uid="1.2.840.10008.5.1.4.1.1.7",
    sop_instance_uid="2.25.2",
    series_instance_uid="2.25.12",
)


def note_of(
    source: Instance, folder: Path, *, outcome: Outcome = Outcome.FINDINGS, rejected: tuple[PriorObject, ...]
) -> EncodedObject:
    result = result_of("CR", (source,), outcome)
    return encode_rejection_note(result, context_of(source), folder, sop_instance_uid="2.25.9", rejected=rejected)


@pytest.mark.peers
@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_note_passes_every_check_and_says_nothing_of_the_patient(
    outcome: Outcome, radiograph: Instance, tmp_path: Path
) -> None:
    note = note_of(radiograph, tmp_path / "a", outcome=outcome, rejected=(REPORT, PICTURE))
    again = note_of(radiograph, tmp_path / "b", outcome=outcome, rejected=(PICTURE, REPORT))
    assert check_object(note.path) == ()
    assert note.path.read_bytes() == again.path.read_bytes()
    dataset = pydicom.dcmread(note.path)
    assert dataset.ConceptNameCodeSequence[0].CodeValue == "113001"
    references = [item for item in dataset.ContentSequence if "ReferencedSOPSequence" in item]
    assert [item.ValueType for item in references] == ["COMPOSITE", "IMAGE"]
    assert not any("ConceptNameCodeSequence" in item for item in references)
    assert "opacities" not in str(dataset)


def test_a_note_that_rejects_nothing_is_not_made(radiograph: Instance, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one object"):
        note_of(radiograph, tmp_path, rejected=())


def title(value: str, meaning: str) -> Change:
    def change(dataset: Dataset) -> None:
        (code,) = dataset.ConceptNameCodeSequence
        code.CodeValue, code.CodeMeaning = value, meaning

    return change


def series(dataset: Dataset) -> list[Dataset]:
    return list(dataset.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence)


def other_study(dataset: Dataset) -> None:
    dataset.CurrentRequestedProcedureEvidenceSequence[0].StudyInstanceUID = "1.2.3"


def source_too(dataset: Dataset) -> None:
    extra = deepcopy(dataset.ContentSequence[-1])
    extra.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3"
    dataset.ContentSequence.append(extra)


def no_content(dataset: Dataset) -> None:
    dataset.ContentSequence = [item for item in dataset.ContentSequence if "ReferencedSOPSequence" not in item]
    del dataset.CurrentRequestedProcedureEvidenceSequence


DEFECTS: dict[str, tuple[Change, str]] = {
    "patient safety": (title("113037", "Rejected for Patient Safety Reasons"), "the title is"),
    "worklist entry": (title("113038", "Incorrect Modality Worklist Entry"), "the title is"),
    "retention": (title("113039", "Data Retention Policy Expired"), "the title is"),
    "template": (lambda dataset: delattr(dataset, "ContentTemplateSequence"), "root template"),
    "modality": (lambda dataset: setattr(dataset, "Modality", "SR"), "'Modality'"),
    "nothing": (no_content, "nothing is rejected"),
    "not in evidence": (lambda dataset: series(dataset)[0].ReferencedSOPSequence.clear(), "is listed 1 times"),
    "another object": (source_too, "is listed 1 times"),
    "twice": (lambda dataset: dataset.ContentSequence.append(dataset.ContentSequence[-1]), "is listed 3 times"),
    "other study": (other_study, "not of the note's own study"),
    "no series": (lambda dataset: setattr(series(dataset)[0], "SeriesInstanceUID", ""), "has no series"),
    "own series": (
        lambda dataset: setattr(series(dataset)[0], "SeriesInstanceUID", dataset.SeriesInstanceUID),
        "its own series",
    ),
    "not research": (lambda dataset: delattr(dataset, "ContentQualification"), "'ContentQualification'"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_the_gate_holds_back_every_defect(defect: str, radiograph: Instance, tmp_path: Path) -> None:
    change, expected = DEFECTS[defect]
    note = note_of(radiograph, tmp_path, rejected=(REPORT, PICTURE))
    dataset = pydicom.dcmread(note.path)
    change(dataset)
    pydicom.dcmwrite(note.path, dataset)
    assert any(expected in problem for problem in check_object(note.path, validators=()))


def test_the_series_of_an_older_object_is_what_its_file_says(radiograph: Instance, tmp_path: Path) -> None:
    note = note_of(radiograph, tmp_path, rejected=(REPORT,))
    prior = PriorObject(kind="x", sop_class_uid="1", sop_instance_uid="2.25.9", path=note.path)
    assert with_series(prior).series_instance_uid == pydicom.dcmread(note.path).SeriesInstanceUID
    gone = PriorObject(kind="sr", sop_class_uid="1", sop_instance_uid="2.25.9", path=tmp_path / "gone")
    assert with_series(gone).series_instance_uid == pydicom.dcmread(note.path).SeriesInstanceUID


def test_a_note_is_said_by_the_same_device_as_a_report(radiograph: Instance, tmp_path: Path) -> None:
    note = pydicom.dcmread(note_of(radiograph, tmp_path, rejected=(REPORT,)).path)
    context = context_of(radiograph)
    (report, *_) = encode_sr(result_of("CR", (radiograph,), Outcome.FINDINGS), context, tmp_path / "report")
    observers = [
        [item for item in dataset.ContentSequence if item.RelationshipType == "HAS OBS CONTEXT"]
        for dataset in (note, pydicom.dcmread(report.path))
    ]
    assert observers[0] == observers[1]
    assert len(observers[0]) == 6
