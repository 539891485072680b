# SPDX-License-Identifier: Apache-2.0
"""Every outcome on every modality becomes a report and a picture that the gate lets pass."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import BasicTextSRStorage

from harness.studies import (
    COLUMNS,
    PACKAGE,
    ROWS,
    context_of,
    findings_of,
    heatmap_of,
    prior_report,
    result_of,
    source_dataset,
    stored,
)
from service.domain.instance import Instance
from service.domain.provenance import is_own_result
from service.domain.result import Outcome, PackageStatus, PipelineResult, Presence, Priority, Reason, Region
from service.ports import ResultContext, ResultKind
from service.results import ENCODERS
from service.results.gate import check_object
from service.results.lint.report import COMMENT, FINDING, PRESENCE, children, concept, content_items, measurement_groups
from service.results.object.identifiers import sr_series_instance_uid
from service.results.picture.painting import Page, paint_page
from service.results.picture.preview import write_preview
from service.results.report.sr_group import closed_outline

TRIAGE = ("TRIAGE", "99DOKUEI", "AI triage priority")
outcomes = pytest.mark.parametrize("outcome", list(Outcome))


def encode(kind: ResultKind, result: PipelineResult, context: ResultContext, folder: Path) -> list[Dataset]:
    return [pydicom.dcmread(entry.path) for entry in ENCODERS[kind](result, context, folder)]


def report_of(result: PipelineResult, context: ResultContext, folder: Path) -> Dataset:
    """Return the form that a destination is offered first."""
    return encode(ResultKind.SR, result, context, folder)[0]


def texts(dataset: Dataset) -> list[str]:
    return [str(item.TextValue) for item in children(dataset, COMMENT)]


def coded_values(dataset: Dataset, name: tuple[str, str, str]) -> list[str]:
    items = [item for item in content_items(dataset) if concept(item) == name]
    return [item.ConceptCodeSequence[0].CodeValue for item in items]


@outcomes
def test_own_rules_hold(modality: str, sources: tuple[Instance, ...], outcome: Outcome, tmp_path: Path) -> None:
    result, context = result_of(modality, sources, outcome), context_of(*sources)
    for encoder in ENCODERS.values():
        for entry in encoder(result, context, tmp_path / "out"):
            assert check_object(entry.path, validators=()) == ()


@pytest.mark.peers
@outcomes
def test_validators_find_no_error(
    modality: str, sources: tuple[Instance, ...], outcome: Outcome, tmp_path: Path
) -> None:
    predecessor = (prior_report("2.25.7"),)
    context = context_of(*sources, predecessors=predecessor, revision=2, priority=Priority.URGENT)
    for encoder in ENCODERS.values():
        for entry in encoder(result_of(modality, sources, outcome), context, tmp_path / "out"):
            assert check_object(entry.path) == ()


@pytest.mark.peers
def test_study_stays_one_study(modality: str, sources: tuple[Instance, ...], tmp_path: Path) -> None:
    from harness.validators import dcentvfy

    result, context = result_of(modality, sources, Outcome.FINDINGS), context_of(*sources)
    made = [entry.path for encoder in ENCODERS.values() for entry in encoder(result, context, tmp_path / "out")]
    assert dcentvfy([*made, *(source.path for source in sources)]) == []


@outcomes
def test_encoding_again_writes_the_same_bytes(
    modality: str, sources: tuple[Instance, ...], outcome: Outcome, tmp_path: Path
) -> None:
    result, context = result_of(modality, sources, outcome), context_of(*sources)
    reordered = replace(context, sources=tuple(reversed(sources)))
    for encoder in ENCODERS.values():
        first = encoder(result, context, tmp_path / "first")
        second = encoder(result, reordered, tmp_path / "second")
        assert [entry.sop_instance_uid for entry in first] == [entry.sop_instance_uid for entry in second]
        assert [entry.path.read_bytes() for entry in first] == [entry.path.read_bytes() for entry in second]


def test_another_revision_outcome_or_package_is_another_object(radiograph: Instance, tmp_path: Path) -> None:
    result = result_of("CR", (radiograph,), Outcome.FINDINGS)
    other_package = replace(result, package=replace(PACKAGE, sha256="f" * 64))
    variants = [
        (result, 1),
        (result, 2),
        (result_of("CR", (radiograph,), Outcome.NO_FINDINGS), 1),
        (other_package, 1),
        (replace(result, pipeline="mammography"), 1),
    ]
    context = context_of(radiograph, priority=Priority.URGENT)
    uids = [
        entry.sop_instance_uid
        for variant, revision in variants
        for encoder in ENCODERS.values()
        for entry in encoder(variant, replace(context, revision=revision), tmp_path)
    ]
    kinds_of_a_radiograph = {
        ResultKind.SR,
        ResultKind.HEATMAP,
        ResultKind.PRESENTATION_STATE,
        ResultKind.KEY_OBJECTS,
        ResultKind.TEXT,
        ResultKind.PDF,
    }
    assert len(uids) >= len(variants) * len(kinds_of_a_radiograph)
    assert len(set(uids)) == len(uids)


def test_negative_is_absent_and_unanalysed_is_undetermined(
    modality: str, sources: tuple[Instance, ...], tmp_path: Path
) -> None:
    context = context_of(*sources)
    negative = report_of(result_of(modality, sources, Outcome.NO_FINDINGS), context, tmp_path)
    refused = report_of(result_of(modality, sources, Outcome.NOT_ANALYSED), context, tmp_path)
    assert set(coded_values(negative, PRESENCE)) == {"272519000"}
    assert coded_values(refused, PRESENCE) == ["373068000"]
    assert any(line.startswith("NOT ANALYSED: (0018,5101)") for line in texts(refused))
    assert "This is not a negative result. Read the study as if it had not been sent." in texts(refused)
    region = next(item for item in content_items(refused) if item.ValueType == "SCOORD")
    assert region.GraphicData[4:6] == [COLUMNS[modality], ROWS[modality]]


def test_negative_without_findings_is_still_absent(radiograph: Instance, tmp_path: Path) -> None:
    result = result_of("CR", (radiograph,), Outcome.NO_FINDINGS, findings=())
    report = report_of(result, context_of(radiograph), tmp_path)
    assert coded_values(report, PRESENCE) == ["272519000"]
    assert coded_values(report, FINDING) == ["40122008"]


def test_partly_analysed_names_what_was_left_out(radiograph: Instance, tmp_path: Path) -> None:
    report = report_of(result_of("CR", (radiograph,), Outcome.PARTLY_ANALYSED), context_of(radiograph), tmp_path)
    assert any(line.startswith("PARTLY ANALYSED, left out: (0018,5101)") for line in texts(report))
    assert len(measurement_groups(report)) == 2


def test_not_analysed_is_said_in_a_picture_even_without_image_size(tmp_path: Path) -> None:
    dataset = source_dataset("CR")
    del dataset.Rows, dataset.Columns
    source = stored(dataset, tmp_path / "sources")
    result, context = result_of("CR", (source,), Outcome.NOT_ANALYSED), context_of(source)
    (words,) = ENCODERS[ResultKind.SR](result, context, tmp_path)
    assert words.sop_class_uid == BasicTextSRStorage
    assert check_object(words.path, validators=()) == ()
    (page,) = ENCODERS[ResultKind.HEATMAP](result, context, tmp_path)
    assert check_object(page.path, validators=()) == ()


def test_demonstration_says_so_everywhere(radiograph: Instance, tmp_path: Path) -> None:
    result = result_of("CR", (radiograph,), Outcome.FINDINGS)
    report = report_of(result, context_of(radiograph), tmp_path)
    (picture,) = encode(ResultKind.HEATMAP, result, context_of(radiograph), tmp_path)
    for dataset in (report, picture):
        assert dataset.ManufacturerModelName == "DOKUEI-DEMO"
        assert dataset.SeriesDescription.startswith("[DEMO] AI ")
        assert dataset.ContentQualification == "RESEARCH"
    assert any(line.startswith("DEMONSTRATION - NOT FOR CLINICAL USE") for line in texts(report))


def test_research_package_is_no_demonstration(radiograph: Instance, tmp_path: Path) -> None:
    package = replace(PACKAGE, status=PackageStatus.RESEARCH)
    demonstration = result_of("CR", (radiograph,), Outcome.FINDINGS)
    research = replace(demonstration, package=package)
    report = report_of(research, context_of(radiograph), tmp_path / "a")
    assert report.ManufacturerModelName == "DOKUEI"
    assert not any("DEMONSTRATION" in line for line in texts(report))
    (marked,) = encode(ResultKind.HEATMAP, demonstration, context_of(radiograph), tmp_path / "b")
    (plain,) = encode(ResultKind.HEATMAP, research, context_of(radiograph), tmp_path / "a")
    diagonal = (slice(430, 480), slice(360, 430))
    assert (marked.pixel_array[diagonal] != plain.pixel_array[diagonal]).any()


def test_score_is_a_probability_of_cancer_only_when_calibrated(radiograph: Instance, tmp_path: Path) -> None:
    def names(pipeline: str, *, calibrated: bool) -> set[str]:
        findings = tuple(replace(entry, calibrated=calibrated) for entry in findings_of(radiograph, Presence.PRESENT))
        result = result_of("CR", (radiograph,), Outcome.FINDINGS, pipeline=pipeline, findings=findings)
        report = report_of(result, context_of(radiograph), tmp_path)
        return {concept(item)[0] for item in content_items(report) if item.ValueType == "NUM"}

    assert "111047" not in names("mammography", calibrated=False)
    assert "111012" in names("mammography", calibrated=False)
    assert "111047" in names("mammography", calibrated=True)
    assert "111047" not in names("pneumoconiosis", calibrated=True)


def test_certainty_is_that_of_what_the_group_states(radiograph: Instance, tmp_path: Path) -> None:
    def certainties(presence: Presence) -> list[float]:
        findings = tuple(replace(entry, score=0.04) for entry in findings_of(radiograph, presence)[:1])
        result = result_of("CR", (radiograph,), Outcome.FINDINGS, findings=findings)
        items = content_items(report_of(result, context_of(radiograph), tmp_path))
        certain = [item for item in items if item.ValueType == "NUM" and concept(item)[0] == "111012"]
        return [float(item.MeasuredValueSequence[0].NumericValue) for item in certain]

    assert certainties(Presence.PRESENT) == [4.0]
    assert certainties(Presence.ABSENT) == [96.0]
    assert certainties(Presence.UNDETERMINED) == []


def test_triage_code_is_high_only_when_the_score_raised_the_priority(radiograph: Instance, tmp_path: Path) -> None:
    result = result_of("CR", (radiograph,), Outcome.FINDINGS)
    urgent = report_of(result, context_of(radiograph, priority=Priority.URGENT), tmp_path)
    routine = report_of(result, context_of(radiograph), tmp_path)
    assert coded_values(urgent, TRIAGE) == ["TRIAGE-HIGH"]
    assert coded_values(routine, TRIAGE) == ["TRIAGE-NORM"]
    assert "review first" in urgent.SeriesDescription
    assert result.triage is not None
    by_rule = replace(result, triage=replace(result.triage, above_operating_point=False))
    report = report_of(by_rule, context_of(radiograph, priority=Priority.URGENT), tmp_path)
    assert coded_values(report, TRIAGE) == ["TRIAGE-NORM"]
    untrusted = report_of(result, context_of(radiograph, priority=Priority.URGENT, may_raise=False), tmp_path)
    assert coded_values(untrusted, TRIAGE) == ["TRIAGE-NORM"]
    assert "review first" not in untrusted.SeriesDescription


def test_report_points_to_the_heatmap_of_its_image(radiograph: Instance, tmp_path: Path) -> None:
    result = result_of("CR", (radiograph,), Outcome.FINDINGS)
    report = report_of(result, context_of(radiograph), tmp_path)
    (picture,) = encode(ResultKind.HEATMAP, result, context_of(radiograph), tmp_path)
    explanations = [item for item in content_items(report) if concept(item)[0] == "130401"]
    uids = {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in explanations}
    assert uids == {picture.SOPInstanceUID}
    series = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert [entry.SeriesInstanceUID for entry in series] == [radiograph.series_instance_uid, picture.SeriesInstanceUID]


def test_successor_names_its_predecessor_and_the_series_it_stood_in(radiograph: Instance, tmp_path: Path) -> None:
    result = result_of("CR", (radiograph,), Outcome.FINDINGS)
    first = report_of(result, context_of(radiograph), tmp_path)
    context = context_of(radiograph, revision=2, predecessors=(prior_report(str(first.SOPInstanceUID)),))
    second = report_of(result, context, tmp_path)
    (study,) = second.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    assert study.StudyInstanceUID == first.StudyInstanceUID
    assert series.SeriesInstanceUID == first.SeriesInstanceUID == sr_series_instance_uid(str(first.SOPInstanceUID))
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID


def test_times_are_those_of_the_analysis_in_the_sources_zone(tmp_path: Path) -> None:
    dataset = source_dataset("CR")
    dataset.TimezoneOffsetFromUTC = "-0500"
    abroad = stored(dataset, tmp_path / "abroad")
    report = report_of(result_of("CR", (abroad,), Outcome.FINDINGS), context_of(abroad), tmp_path)
    assert (report.ContentDate, report.ContentTime) == ("20260630", "193015.250000")
    assert report.TimezoneOffsetFromUTC == "-0500"
    here = stored(source_dataset("CR"), tmp_path / "here")
    report = report_of(result_of("CR", (here,), Outcome.FINDINGS), context_of(here), tmp_path)
    assert (report.ContentDate, report.InstanceCreationTime) == ("20260701", "093015.250000")


def test_radiographs_pose_as_nothing_and_ct_keeps_its_place(
    modality: str, sources: tuple[Instance, ...], tmp_path: Path
) -> None:
    result = result_of(modality, sources, Outcome.FINDINGS)
    (picture,) = encode(ResultKind.HEATMAP, result, context_of(*sources), tmp_path)
    assert picture.ImageType == ["DERIVED", "SECONDARY", "AI_HEATMAP"]
    assert picture.Modality == ("CT" if modality == "CT" else "OT")
    assert ("ImagePositionPatient" in picture) == (modality == "CT")
    assert ("ImageLaterality" in picture) == (modality == "MG")
    assert picture.DerivationCodeSequence[0].CodeValue == "130402"
    assert picture.BodyPartExamined == ("BREAST" if modality == "MG" else "CHEST")


def test_spacing_at_the_detector_is_called_so_and_a_calibrated_one_is_not(tmp_path: Path) -> None:
    """Equal spacings say that nobody calibrated the image (PS3.3 10.7.1.3); a CT has none at a detector."""
    plain, calibrated = source_dataset("CR"), source_dataset("CR", 2)
    calibrated.PixelSpacing = [1.3, 1.3]
    for dataset in (plain, calibrated, source_dataset("CT")):
        source = stored(dataset, tmp_path / "s")
        result = result_of(dataset.Modality, (source,), Outcome.FINDINGS)
        (picture,) = encode(ResultKind.HEATMAP, result, context_of(source), tmp_path)
        assert "PixelSpacing" in picture
        assert picture.get("ImagerPixelSpacing") == (picture.PixelSpacing if dataset is plain else None)


def test_equipment_is_the_same_in_every_object(modality: str, sources: tuple[Instance, ...], tmp_path: Path) -> None:
    result, context = result_of(modality, sources, Outcome.FINDINGS), context_of(*sources, priority=Priority.URGENT)
    made = [item for kind in ENCODERS for item in encode(kind, result, context, tmp_path)]
    for item in made:
        moment = (item.InstanceCreationDate, item.InstanceCreationTime)
        assert moment == (item.SeriesDate, item.SeriesTime)
        assert moment == (item.get("DateOfSecondaryCapture", moment[0]), item.get("TimeOfSecondaryCapture", moment[1]))
    equipment = ("Manufacturer", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions")
    assert len({str([item[keyword].value for keyword in equipment]) for item in made}) == 1


def test_enlarged_ct_picture_covers_the_same_millimetres(tmp_path: Path) -> None:
    source = stored(source_dataset("CT"), tmp_path / "sources")
    (picture,) = encode(ResultKind.HEATMAP, result_of("CT", (source,), Outcome.FINDINGS), context_of(source), tmp_path)
    spacing = np.array(picture.PixelSpacing, dtype=float)
    base_edge = np.array([-160.0, -160.0]) - 2.5 / 2
    edge = np.array(picture.ImagePositionPatient[:2], dtype=float) - spacing[::-1] / 2
    np.testing.assert_allclose(edge, base_edge, atol=1e-6)
    assert picture.Rows * spacing[0] == pytest.approx(ROWS["CT"] * 2.5)


def test_ct_without_frame_of_reference_has_no_place(tmp_path: Path) -> None:
    dataset = source_dataset("CT")
    del dataset.FrameOfReferenceUID
    source = stored(dataset, tmp_path / "sources")
    (entry,) = ENCODERS[ResultKind.HEATMAP](result_of("CT", (source,), Outcome.FINDINGS), context_of(source), tmp_path)
    assert "ImagePositionPatient" not in pydicom.dcmread(entry.path)
    assert check_object(entry.path, validators=()) == ()


def test_heatmaps_share_a_series_in_order(tmp_path: Path) -> None:
    sources = tuple(stored(source_dataset("MG", number), tmp_path / "s") for number in (1, 2, 3, 4))
    heatmaps = tuple(heatmap_of("MG", source, f"view-{number}") for number, source in enumerate(sources))
    result = result_of("MG", sources, Outcome.FINDINGS, heatmaps=heatmaps)
    pictures = encode(ResultKind.HEATMAP, result, context_of(*sources), tmp_path)
    assert [picture.InstanceNumber for picture in pictures] == [1, 2, 3, 4]
    assert len({picture.SeriesInstanceUID for picture in pictures}) == 1
    assert [picture.ImageLaterality for picture in pictures] == ["R", "L", "R", "L"]


def test_overlay_is_coloured_and_the_rest_of_the_base_stays_grey(radiograph: Instance, tmp_path: Path) -> None:
    package = replace(PACKAGE, status=PackageStatus.RESEARCH)
    heatmap = replace(heatmap_of("CR", radiograph), marks=(), patient_orientation=None)
    result = result_of("CR", (radiograph,), Outcome.FINDINGS, heatmaps=(heatmap,), package=package)
    (picture,) = encode(ResultKind.HEATMAP, result, context_of(radiograph), tmp_path)
    pixels = picture.pixel_array.astype(int)
    scale = picture.Rows / ROWS["CR"]
    hot = pixels[int(0.35 * picture.Rows), int(0.3 * COLUMNS["CR"] * scale)]
    cold = pixels[int(0.8 * picture.Rows), : int(COLUMNS["CR"] * scale)]
    assert hot.max() - hot.min() > 40
    assert (cold.max(axis=-1) - cold.min(axis=-1)).max() == 0


def test_unscaled_base_is_shown_pixel_for_pixel(radiograph: Instance, tmp_path: Path) -> None:
    base = np.random.default_rng(1).integers(0, 255, (1000, 800), dtype=np.uint8)
    heatmap = replace(
        heatmap_of("CR", radiograph),
        base=base,
        overlay=np.zeros(base.shape, dtype=np.float32),
        marks=(),
        patient_orientation=None,
    )
    package = replace(PACKAGE, status=PackageStatus.RESEARCH)
    result = result_of("CR", (radiograph,), Outcome.FINDINGS, heatmaps=(heatmap,), package=package)
    (picture,) = encode(ResultKind.HEATMAP, result, context_of(radiograph), tmp_path)
    np.testing.assert_array_equal(picture.pixel_array[:900, :800, 0], base[:900])


def test_preview_holds_the_same_pixels(radiograph: Instance, tmp_path: Path) -> None:
    from PIL import Image

    result = result_of("CR", (radiograph,), Outcome.FINDINGS)
    (entry,) = ENCODERS[ResultKind.HEATMAP](result, context_of(radiograph), tmp_path)
    png = write_preview(entry.path, tmp_path / "previews" / "one.png")
    with Image.open(png) as image:
        np.testing.assert_array_equal(np.asarray(image), pydicom.dcmread(entry.path).pixel_array)


def test_own_objects_are_recognised(radiograph: Instance, tmp_path: Path) -> None:
    result = result_of("CR", (radiograph,), Outcome.FINDINGS)
    for kind in ENCODERS:
        for dataset in encode(kind, result, context_of(radiograph), tmp_path):
            assert is_own_result({"ManufacturerModelName": str(dataset.ManufacturerModelName)})


def test_finding_on_a_foreign_image_is_refused(radiograph: Instance, tmp_path: Path) -> None:
    stranger = replace(radiograph, sop_instance_uid="1.2.3.4")
    result = result_of("CR", (radiograph,), Outcome.FINDINGS, findings=findings_of(stranger, Presence.PRESENT))
    with pytest.raises(ValueError, match=r"1\.2\.3\.4, which is not among its 1 sources"):
        ENCODERS[ResultKind.SR](result, context_of(radiograph), tmp_path)


def test_text_outside_ascii_is_written_out(radiograph: Instance, tmp_path: Path) -> None:
    result = result_of("CR", (radiograph,), Outcome.FINDINGS, headline="Zone ≥ 1.5 µm – 所見 é")
    report = report_of(result, context_of(radiograph), tmp_path)
    assert texts(report)[0] == "Zone >= 1.5 um - ?? e"


coordinates = st.floats(min_value=-50, max_value=300, allow_nan=False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(points=st.lists(st.tuples(coordinates, coordinates), min_size=1, max_size=8))
def test_every_outline_is_closed_visible_and_inside(points: list[tuple[float, float]]) -> None:
    outline = closed_outline(Region(sop_instance_uid="1.2", points=tuple(points)), 224, 256)
    assert (outline[0] == outline[-1]).all()
    assert len(outline) >= 4
    assert (outline >= 0).all()
    assert (outline <= (224, 256)).all()
    assert (outline.max(axis=0) - outline.min(axis=0)).min() >= 1


def test_page_says_that_it_is_no_negative_before_reasons_that_overflow_it(radiograph: Instance) -> None:
    def page(count: int) -> NDArray[np.uint8]:
        reasons = tuple(Reason(code=f"r{index}", message=f"reason {index} " * 20) for index in range(count))
        result = result_of("CR", (radiograph,), Outcome.NOT_ANALYSED)
        return paint_page(replace(result, refusals=reasons), Page(number=1, count=1)).pixels

    few, many = page(1), page(12)
    amber_rows = slice(330, 420)
    assert (few[amber_rows, :, 2] < 0.6 * few[amber_rows, :, 0]).sum() > 100
    assert np.array_equal(few[amber_rows], many[amber_rows])
