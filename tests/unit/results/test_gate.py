# SPDX-License-Identifier: Apache-2.0
"""Each rule of the gate is seen to hold back the defect that it is there for."""

import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from harness.studies import context_of, result_of
from service.domain.instance import Instance
from service.domain.result import Outcome
from service.ports import ResultKind
from service.results import ENCODERS
from service.results.gate import Gate, check_object
from service.results.lint.every_object import OBJECT_RULES
from service.results.lint.report import children, content_items, measurement_groups
from service.results.lint.rules import RULES
from service.results.validators import dciodvfy, dsr2html, dsrdump

Change = Callable[[Dataset], None]


def changed(kind: ResultKind, change: Change, source: Instance, folder: Path) -> Path:
    result = result_of("CR", (source,), Outcome.FINDINGS)
    entry = ENCODERS[kind](result, context_of(source), folder)[0]
    dataset = pydicom.dcmread(entry.path)
    change(dataset)
    pydicom.dcmwrite(entry.path, dataset)
    return entry.path


def remove(keyword: str) -> Change:
    return lambda dataset: delattr(dataset, keyword)


def put(keyword: str, value: object) -> Change:
    return lambda dataset: setattr(dataset, keyword, value)


def in_group(change: Change) -> Change:
    return lambda dataset: change(measurement_groups(dataset)[0])


def without(value: str) -> Change:
    """Remove the content items of this name."""

    def change(item: Dataset) -> None:
        kept = [child for child in children(item) if child.ConceptNameCodeSequence[0].CodeValue != value]
        item.ContentSequence = kept

    return change


def named(value: str, change: Change) -> Change:
    """Change the first content item of this name, wherever it is."""

    def apply(dataset: Dataset) -> None:
        change(next(item for item in content_items(dataset) if item.ConceptNameCodeSequence[0].CodeValue == value))

    return apply


def same_tracking(dataset: Dataset) -> None:
    first, second = (next(item for item in children(group) if "UID" in item) for group in measurement_groups(dataset))
    second.UID = first.UID


def first_uidref_is_another(group: Dataset) -> None:
    other = Dataset()
    other.ValueType, other.UID, other.RelationshipType = "UIDREF", "1.2.3", "CONTAINS"
    other.ConceptNameCodeSequence = [group.ConceptNameCodeSequence[0]]
    group.ContentSequence.insert(0, other)


def first_code(change: Change) -> Change:
    return lambda dataset: change(measurement_groups(dataset)[0].ContentSequence[2].ConceptCodeSequence[0])


def dangling(dataset: Dataset) -> None:
    item = Dataset()
    item.RelationshipType = "SELECTED FROM"
    item.ReferencedContentItemIdentifier = [1, 99]
    measurement_groups(dataset)[0].ContentSequence.append(item)


def evidence(dataset: Dataset) -> Dataset:
    return dataset.CurrentRequestedProcedureEvidenceSequence[0]


def drop_evidence(dataset: Dataset) -> None:
    del evidence(dataset).ReferencedSeriesSequence[1]


def double_evidence(dataset: Dataset) -> None:
    series = evidence(dataset).ReferencedSeriesSequence[0]
    series.ReferencedSOPSequence.append(series.ReferencedSOPSequence[0])


def heatmap_first(dataset: Dataset) -> None:
    evidence(dataset).ReferencedSeriesSequence.reverse()


def second_image(region: Dataset) -> None:
    region.ContentSequence.append(region.ContentSequence[0])


def highdicoms_source(dataset: Dataset) -> None:
    (name,) = dataset.ContentSequence[0].ConceptNameCodeSequence
    name.CodeValue, name.CodingSchemeDesignator, name.CodeMeaning = "260753009", "SCT", "Source"


def no_unit(number: Dataset) -> None:
    del number.MeasuredValueSequence[0].MeasurementUnitsCodeSequence


def impossible_percent(number: Dataset) -> None:
    number.MeasuredValueSequence[0].NumericValue = "150"


def model(change: Change) -> Change:
    """Change what is said of the model package."""
    return lambda dataset: change(dataset.ContributingEquipmentSequence[0])


def title(value: str) -> Change:
    return lambda dataset: setattr(dataset.ConceptNameCodeSequence[0], "CodeValue", value)


REPORT_DEFECTS: dict[str, tuple[Change, str]] = {
    "class without rules": (put("SOPClassUID", "1.2.840.10008.5.1.4.1.1.88.67"), "no rules for"),
    "wrong title": (title("126001"), "the title is"),
    "no root template": (remove("ContentTemplateSequence"), "the root template is ''"),
    "partial": (put("CompletionFlag", "PARTIAL"), "'CompletionFlag' is 'PARTIAL'"),
    "final": (put("PreliminaryFlag", "FINAL"), "'PreliminaryFlag' is 'FINAL'"),
    "verified": (put("VerificationFlag", "VERIFIED"), "'VerificationFlag' is 'VERIFIED'"),
    "no image library": (without("111028"), "no Image Library"),
    "no library group": (named("111028", without("126200")), "no Image Library"),
    "no measurements": (without("126010"), "no Measurement Group"),
    "no group template": (in_group(remove("ContentTemplateSequence")), "template '', not '1410'"),
    "shared tracking UID": (same_tracking, "is used 2 times"),
    "no tracking UID": (in_group(without("112040")), "first UIDREF"),
    "no tracking identifier": (in_group(without("112039")), "no Tracking Identifier"),
    "another UIDREF first": (in_group(first_uidref_is_another), "first UIDREF"),
    "no region": (in_group(without("111030")), "exactly one Image Region"),
    "region on two images": (named("111030", second_image), "selected from exactly one image"),
    "region on no image": (named("111030", remove("ContentSequence")), "selected from exactly one image"),
    "highdicom's source": (named("111030", highdicoms_source), "named Original Source"),
    "no purpose": (in_group(without("130400")), "no Geometric purpose"),
    "open outline": (named("111030", put("GraphicData", [1, 1, 9, 1, 9, 9, 1, 9])), "not closed"),
    "odd outline": (named("111030", put("GraphicData", [1, 1, 9, 1, 9, 9, 1, 9, 1])), "not a POLYLINE"),
    "point": (named("111030", put("GraphicData", [1, 1])), "not a POLYLINE"),
    "flat outline": (named("111030", put("GraphicData", [1, 1, 9, 1, 9, 1, 1, 1])), "smaller than one pixel"),
    "outside": (named("111030", put("GraphicData", [-5, 1, 9, 1, 9, 9, -5, 1])), "leaves the image"),
    "no finding": (in_group(without("121071")), "no 'Finding'"),
    "no presence": (in_group(without("121052")), "no 'Presence of property'"),
    "no algorithm": (in_group(without("111001")), "no 'Algorithm Name'"),
    "no version": (in_group(without("111003")), "no 'Algorithm Version'"),
    "long label": (in_group(named("121106", put("TextValue", "x" * 65))), "one label of 1 to 64"),
    "no label": (in_group(without("121106")), "one label of 1 to 64"),
    "no unit": (named("111012", no_unit), "has no unit"),
    "150 percent": (named("111012", impossible_percent), "outside 0 to 100 %"),
    "evidence missing": (drop_evidence, "is referenced but is no evidence"),
    "no evidence": (remove("CurrentRequestedProcedureEvidenceSequence"), "is no evidence"),
    "evidence twice": (double_evidence, "evidence lists"),
    "heatmap series first": (heatmap_first, "first series of the evidence"),
    "dangling reference": (dangling, "does not exist"),
    "no comment": (without("121106"), "no Comment"),
    "long code": (first_code(put("CodeValue", "12345678901234567")), "has 17 characters"),
    "long meaning": (first_code(put("CodeMeaning", "x" * 65)), "has 65 characters"),
    "unknown private code": (first_code(put("CodingSchemeDesignator", "99DOKUEI")), "is not in codes.csv"),
    "no patient": (remove("PatientID"), "'PatientID' is missing"),
    "bad UID": (put("SeriesInstanceUID", "1.2.03"), "is not a UID"),
    "other file UID": (put("SOPInstanceUID", "1.2.3"), "differs from 'SOPInstanceUID'"),
    "other maker": (put("ManufacturerModelName", "OTHER"), "loop protection"),
    "no qualification": (remove("ContentQualification"), "'ContentQualification' is None"),
    "silent demonstration": (put("SeriesDescription", "AI SR (research)"), "does not start with '[DEMO]'"),
    "no research": (put("SeriesDescription", "[DEMO] AI SR"), "does not say 'research'"),
    "no package": (remove("ContributingEquipmentSequence"), "does not name the model package"),
    "nameless package": (model(remove("ManufacturerModelName")), "the model package has no name"),
    "half a digest": (model(put("SoftwareVersions", ["0.1.0", "0123456789abcdef"])), "not as version and SHA-256"),
    "no operating point": (model(put("ContributionDescription", "a model")), "does not say the operating point"),
    "name in description": (put("SeriesDescription", "[DEMO] research TEST"), "repeats a part of the patient's name"),
    "ID in description": (put("SeriesDescription", "[DEMO] research 0001"), "repeats a part of the patient's name"),
}

IMAGE_DEFECTS: dict[str, tuple[Change, str]] = {
    "another class": (put("SOPClassUID", "1.2.840.10008.5.1.4.1.1.1"), "no rules for"),
    "original": (put("ImageType", ["ORIGINAL", "PRIMARY"]), "'ImageType' is"),
    "no image type": (remove("ImageType"), "'ImageType' is None"),
    "no burnt-in text": (put("BurnedInAnnotation", "NO"), "'BurnedInAnnotation'"),
    "poses as ultrasound": (put("Modality", "US"), "'Modality' is 'US'"),
    "has a view": (put("ViewPosition", "MLO"), "'ViewPosition' is present"),
    "two sides": (lambda dataset: dataset.update({"Laterality": "L", "ImageLaterality": "L"}), "are both present"),
    "grey": (put("PhotometricInterpretation", "MONOCHROME2"), "not RGB"),
    "short pixels": (put("PixelData", b"\0\0"), "has 2 bytes"),
    "no pixels": (remove("PixelData"), "missing or malformed"),
    "no source": (remove("SourceImageSequence"), "'SourceImageSequence' is missing"),
    "source not listed": (remove("ReferencedSeriesSequence"), "is not in 'ReferencedSeriesSequence'"),
    "half a place": (put("ImagePositionPatient", [0, 0, 0]), "only ImagePositionPatient"),
    "refers to itself": (
        lambda dataset: put("ReferencedSOPInstanceUID", dataset.SOPInstanceUID)(dataset.SourceImageSequence[0]),
        "refers to itself",
    ),
    "no study": (remove("AccessionNumber"), "'AccessionNumber' is missing"),
}


def conclusions(change: Change) -> Change:
    """Change the section with the conclusions."""
    return named("121076", change)


def said(old: str, new: str) -> Change:
    """Replace words wherever they stand in the texts of a section."""

    def change(section: Dataset) -> None:
        for item in content_items(section):
            if "TextValue" in item:
                item.TextValue = item.TextValue.replace(old, new)

    return change


def add_number(dataset: Dataset) -> None:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", "NUM"
    item.ConceptNameCodeSequence = [dataset.ConceptNameCodeSequence[0]]
    dataset.ContentSequence.append(item)


POSITIVE = "The study was analysed, and the model marked findings."
REFUSED = "The study was NOT analysed. This is not a negative result. Read the study as if it had not been sent."
PARTLY = "Only part of the study was analysed. What was left out was not looked at; nothing can be said of it."

TEXT_DEFECTS: dict[str, tuple[Change, str]] = {
    "wrong title": (title("126000"), "the title is"),
    "no root template": (remove("ContentTemplateSequence"), "the root template is ''"),
    "a number": (add_number, "value type 'NUM' is not allowed"),
    "no state": (conclusions(said(POSITIVE, "")), "sentences of 0 states"),
    "two states": (conclusions(said(POSITIVE, f"{POSITIVE} {REFUSED}")), "sentences of 2 states"),
    "no conclusions": (without("121076"), "sentences of 0 states"),
    "unknown language": (named("121049", lambda item: put("CodeValue", "fr")(item.ConceptCodeSequence[0])), "neither"),
    "refused, no reason": (conclusions(said(POSITIVE, REFUSED)), "no reason is given"),
    "partly, no reason": (conclusions(said(POSITIVE, PARTLY)), "no reason is given"),
    "no research": (conclusions(said("Research use - not for diagnosis.", "")), "do not say 'Research use"),
    "silent demonstration": (conclusions(said("DEMONSTRATION - NOT FOR", "FOR")), "do not say 'DEMONSTRATION"),
    "no package": (said("Model package", "Model"), "does not say 'Model package'"),
    "no operating point": (said("Operating point", "Point"), "does not say 'Operating point'"),
    "not ASCII": (said("Software", "\u00b5Software"), "not ASCII"),
    "empty text": (named("121071", put("TextValue", " ")), "cannot be read"),
    "final": (put("PreliminaryFlag", "FINAL"), "'PreliminaryFlag' is 'FINAL'"),
    "no evidence": (remove("CurrentRequestedProcedureEvidenceSequence"), "is no evidence"),
    "no qualification": (remove("ContentQualification"), "'ContentQualification' is None"),
}

PDF_DEFECTS: dict[str, tuple[Change, str]] = {
    "other type": (put("MIMETypeOfEncapsulatedDocument", "text/html"), "'MIMETypeOfEncapsulatedDocument' is"),
    "other modality": (put("Modality", "OT"), "'Modality' is 'OT'"),
    "verified": (put("VerificationFlag", "VERIFIED"), "'VerificationFlag' is 'VERIFIED'"),
    "wrong length": (put("EncapsulatedDocumentLength", 7), "'EncapsulatedDocumentLength' is 7"),
    "no document": (remove("EncapsulatedDocument"), "missing or malformed"),
    "cut short": (
        lambda dataset: put("EncapsulatedDocument", bytes(dataset.EncapsulatedDocument)[:2000])(dataset),
        "does not begin and end as a PDF does",
    ),
    "no PDF": (
        lambda dataset: put("EncapsulatedDocument", b"<html>" + bytes(dataset.EncapsulatedDocument))(dataset),
        "does not begin and end as a PDF does",
    ),
    "active": (
        lambda dataset: put("EncapsulatedDocument", bytes(dataset.EncapsulatedDocument) + b"/JavaScript")(dataset),
        "holds /JavaScript",
    ),
    "silent title": (put("DocumentTitle", "Report"), "does not say one state"),
    "title without research": (put("DocumentTitle", "pneumoconiosis: Analysed: findings"), "does not say one state"),
    "claims identity": (put("BurnedInAnnotation", "YES"), "'BurnedInAnnotation' must be 'NO'"),
    "no source": (remove("SourceInstanceSequence"), "'SourceInstanceSequence' is missing"),
    "no patient": (remove("PatientID"), "'PatientID' is missing"),
}


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.filterwarnings("ignore:.*exceeds the maximum length")
@pytest.mark.filterwarnings("ignore:A value of type")
@pytest.mark.parametrize("defect", REPORT_DEFECTS)
def test_report_defects_are_held_back(defect: str, radiograph: Instance, tmp_path: Path) -> None:
    change, expected = REPORT_DEFECTS[defect]
    path = changed(ResultKind.SR, change, radiograph, tmp_path)
    problems = check_object(path, validators=())
    assert any(expected in problem for problem in problems), problems


@pytest.mark.parametrize("defect", IMAGE_DEFECTS)
def test_image_defects_are_held_back(defect: str, radiograph: Instance, tmp_path: Path) -> None:
    change, expected = IMAGE_DEFECTS[defect]
    path = changed(ResultKind.HEATMAP, change, radiograph, tmp_path)
    problems = check_object(path, validators=())
    assert any(expected in problem for problem in problems), problems


@pytest.mark.parametrize("defect", TEXT_DEFECTS)
def test_text_defects_are_held_back(defect: str, radiograph: Instance, tmp_path: Path) -> None:
    change, expected = TEXT_DEFECTS[defect]
    problems = check_object(changed(ResultKind.TEXT, change, radiograph, tmp_path), validators=())
    assert any(expected in problem for problem in problems), problems


@pytest.mark.parametrize("defect", PDF_DEFECTS)
def test_pdf_defects_are_held_back(defect: str, radiograph: Instance, tmp_path: Path) -> None:
    change, expected = PDF_DEFECTS[defect]
    problems = check_object(changed(ResultKind.PDF, change, radiograph, tmp_path), validators=())
    assert any(expected in problem for problem in problems), problems


OF_A_RADIOGRAPH = (
    ResultKind.SR,
    ResultKind.HEATMAP,
    ResultKind.CHEST_CAD,
    ResultKind.PRESENTATION_STATE,
    ResultKind.TEXT,
    ResultKind.PDF,
)


@pytest.mark.parametrize("kind", OF_A_RADIOGRAPH)
def test_unchanged_object_passes(kind: ResultKind, radiograph: Instance, tmp_path: Path) -> None:
    assert check_object(changed(kind, lambda _: None, radiograph, tmp_path), validators=()) == ()


def test_every_rule_has_a_name_of_its_own() -> None:
    rules = {*OBJECT_RULES, *(rule for rules in RULES.values() for rule in rules)}
    assert len({rule.__name__ for rule in rules}) == len(rules)


def test_problems_never_name_the_patient(radiograph: Instance, tmp_path: Path) -> None:
    change = put("SeriesDescription", "[DEMO] research TEST")
    problems = check_object(changed(ResultKind.SR, change, radiograph, tmp_path), validators=())
    assert problems
    assert not any("Test" in problem or "Patient" in problem.replace("PatientID", "") for problem in problems)


def test_patient_called_like_one_of_our_words_gets_a_result(radiograph: Instance, tmp_path: Path) -> None:
    path = changed(ResultKind.SR, put("PatientName", "Lung^Demo Research"), radiograph, tmp_path)
    assert check_object(path, validators=()) == ()


def test_file_that_is_no_dicom_is_held_back(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(b"not DICOM")
    assert "cannot be read back" in check_object(path)[0]


def test_validators_are_asked(radiograph: Instance, tmp_path: Path) -> None:
    path = changed(ResultKind.SR, lambda _: None, radiograph, tmp_path)
    assert check_object(path, validators=(lambda _: ("from a validator",),)) == ("from a validator",)


@pytest.mark.peers
def test_validators_find_what_our_rules_do_not(radiograph: Instance, tmp_path: Path) -> None:
    picture = changed(ResultKind.HEATMAP, remove("ConversionType"), radiograph, tmp_path / "a")
    assert any("ConversionType" in problem for problem in dciodvfy(picture))
    assert any("ConversionType" in problem for problem in check_object(picture))
    report = changed(ResultKind.SR, named("111030", put("RelationshipType", "HAS PROPERTIES")), radiograph, tmp_path)
    assert dsrdump(report)
    report = changed(ResultKind.SR, remove("ValueType"), radiograph, tmp_path)
    assert dsr2html(report)


@pytest.mark.peers
def test_missing_programs_are_not_asked(radiograph: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = changed(ResultKind.HEATMAP, remove("ConversionType"), radiograph, tmp_path)
    assert check_object(picture) != ()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert check_object(picture) == ()


def test_text_of_the_result_cannot_break_the_gate(radiograph: Instance, tmp_path: Path) -> None:
    result = result_of("CR", (radiograph,), Outcome.FINDINGS)
    odd = replace(result, headline="\\^=\x00\n" + "所見" * 100, summary=("", " ", "x" * 5000))
    for encoder in ENCODERS.values():
        for entry in encoder(odd, context_of(radiograph), tmp_path):
            assert check_object(entry.path, validators=()) == ()


def test_programs_run_beside_the_writing_and_end_with_the_gate(radiograph: Instance, tmp_path: Path) -> None:
    path = changed(ResultKind.SR, lambda _dataset: None, radiograph, tmp_path)
    started, ended, may_end = threading.Event(), threading.Event(), threading.Event()

    def program(_path: Path) -> tuple[str, ...]:
        started.set()
        may_end.wait(10)
        ended.set()
        return ("the program's complaint",)

    with Gate() as gate:
        problems = gate.begin(path, validators=(program,))
        assert started.wait(10)
        assert not ended.is_set()
        may_end.set()
    assert ended.is_set()
    assert problems() == ("the program's complaint",)
