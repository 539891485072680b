# SPDX-License-Identifier: Apache-2.0
"""CAD reports say what the result says: findings with their places, candidates, and how every algorithm ended."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from harness.studies import (
    cad_result_of,
    context_of,
    findings_of,
    prior_report,
    result_of,
    runs_of_exam,
    source_dataset,
    stored,
)
from service.codes import Code, code, dcm, private, sct
from service.domain.instance import Instance
from service.domain.profile import CharacterSet, EncodingProfile
from service.domain.result import (
    AlgorithmRun,
    Evaluation,
    Measurement,
    Outcome,
    PipelineResult,
    Presence,
    Region,
    RenderingIntent,
    RunKind,
    RunStatus,
)
from service.ports import ResultContext, ResultKind
from service.results import ENCODERS
from service.results.gate import check_object
from service.results.lint.report import children, concept, content_items, item_at
from service.results.object.identifiers import sr_series_instance_uid
from service.results.report.chest_cad import coded

CAD = {"MG": ResultKind.MAMMOGRAPHY_CAD, "CR": ResultKind.CHEST_CAD, "CT": ResultKind.CHEST_CAD}
SUMMARY, DETECTIONS, ANALYSES = "111017", "111064", "111065"
FINDING, COMPOSITE, INTENT, IMPRESSION = "111059", "111015", "111056", "111034"


@pytest.fixture
def mammograms(tmp_path: Path) -> tuple[Instance, ...]:
    return tuple(stored(source_dataset("MG", number), tmp_path / "sources") for number in (1, 2, 3))


def encoded(kind: ResultKind, result: PipelineResult, context: ResultContext, folder: Path) -> Dataset:
    (entry,) = ENCODERS[kind](result, context, folder / "out")
    assert check_object(entry.path, validators=()) == ()
    return pydicom.dcmread(entry.path)


def report_of(modality: str, outcome: Outcome, folder: Path, *, images: int = 2, **changes: object) -> Dataset:
    sources = tuple(stored(source_dataset(modality, number), folder / "sources") for number in range(1, images + 1))
    result = result_of(modality, sources, outcome, **changes)
    return encoded(CAD[modality], result, context_of(*sources), folder)


def named(dataset: Dataset, value: str) -> Iterator[Dataset]:
    return (item for item in content_items(dataset) if concept(item)[0] == value)


def one(dataset: Dataset, value: str) -> Dataset:
    (item,) = named(dataset, value)
    return item


def value_of(dataset: Dataset, name: str) -> str:
    return str(one(dataset, name).ConceptCodeSequence[0].CodeValue)


def values_of(dataset: Dataset, name: str) -> list[str]:
    return [str(item.ConceptCodeSequence[0].CodeValue) for item in named(dataset, name)]


def numbers_of(dataset: Dataset, name: str) -> list[float]:
    return [float(item.MeasuredValueSequence[0].NumericValue) for item in named(dataset, name)]


def child_values(item: Dataset) -> list[str]:
    return [concept(child)[0] for child in children(item)]


STATES = {
    Outcome.FINDINGS: ("111242", "111222"),
    Outcome.NO_FINDINGS: ("111241", "111222"),
    Outcome.PARTLY_ANALYSED: ("111244", "111223"),
    Outcome.NOT_ANALYSED: ("111245", "111225"),
}


@pytest.mark.parametrize("outcome", list(Outcome))
@pytest.mark.parametrize("modality", list(CAD))
def test_each_state_has_codes_that_no_other_has(modality: str, outcome: Outcome, tmp_path: Path) -> None:
    report = report_of(modality, outcome, tmp_path)
    assert (value_of(report, SUMMARY), value_of(report, DETECTIONS)) == STATES[outcome]
    has_findings = outcome in {Outcome.FINDINGS, Outcome.PARTLY_ANALYSED}
    assert bool(list(named(report, FINDING))) == has_findings
    assert ("NOT ANALYSED" in report.SeriesDescription) == (outcome is Outcome.NOT_ANALYSED)
    failed = list(named(report, "111025"))
    assert bool(failed) == (outcome is Outcome.PARTLY_ANALYSED)


def test_partly_analysed_without_marks_is_not_without_findings_alone(tmp_path: Path) -> None:
    report = report_of("MG", Outcome.PARTLY_ANALYSED, tmp_path, findings=())
    assert value_of(report, SUMMARY) == "111243"
    assert value_of(report, DETECTIONS) == "111223"


@pytest.mark.parametrize("modality", list(CAD))
def test_report_of_a_result_that_contradicts_itself_is_held_back(modality: str, tmp_path: Path) -> None:
    sources = (stored(source_dataset(modality), tmp_path),)
    result = result_of(modality, sources, Outcome.FINDINGS, findings=())
    (entry,) = ENCODERS[CAD[modality]](result, context_of(*sources), tmp_path / "out")
    (problem,) = check_object(entry.path, validators=())
    assert "'All algorithms succeeded; with findings', which the findings contradict" in problem


@pytest.mark.parametrize("modality", list(CAD))
def test_each_report_belongs_to_its_pipelines(modality: str, tmp_path: Path) -> None:
    sources = (stored(source_dataset(modality), tmp_path),)
    result, context = result_of(modality, sources, Outcome.FINDINGS), context_of(*sources)
    made = {kind for kind in set(CAD.values()) if ENCODERS[kind](result, context, tmp_path / "out")}
    assert made == {CAD[modality]}


def test_series_numbers_and_classes(tmp_path: Path) -> None:
    mammography = report_of("MG", Outcome.FINDINGS, tmp_path / "a")
    chest = report_of("CR", Outcome.FINDINGS, tmp_path / "b")
    assert (mammography.SeriesNumber, mammography.SOPClassUID.name) == (9011, "Mammography CAD SR Storage")
    assert (chest.SeriesNumber, chest.SOPClassUID.name) == (9021, "Chest CAD SR Storage")
    assert mammography.ManufacturerModelName == "DOKUEI-DEMO"
    assert mammography.SeriesDescription.startswith("[DEMO] AI CAD SR")


def test_views_that_failed_are_named(mammograms: tuple[Instance, ...], tmp_path: Path) -> None:
    runs = runs_of_exam(mammograms, mammograms[2])
    partly = cad_result_of(mammograms, runs=runs, outcome=Outcome.PARTLY_ANALYSED)
    report = encoded(CAD["MG"], partly, context_of(*mammograms), tmp_path)
    assert (value_of(report, DETECTIONS), value_of(report, ANALYSES)) == ("111223", "111224")
    for name, views in (("111063", mammograms[:2]), ("111025", mammograms[2:])):
        (performed,) = children(one(report, name))
        assert performed.ConceptCodeSequence[0].CodeValue == "129793001"
        assert images_of(report, performed) == {view.sop_instance_uid for view in views}
    assert one(report, "111004").ConceptCodeSequence[0].CodeValue == "111234"


def images_of(report: Dataset, performed: Dataset) -> set[str]:
    paths = [child.get("ReferencedContentItemIdentifier") for child in children(performed)]
    targets = [item_at(report, list(path)) for path in paths if path is not None]
    return {str(target.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for target in targets if target is not None}


def test_positive_exam_tells_of_its_analysis(mammograms: tuple[Instance, ...], tmp_path: Path) -> None:
    report = encoded(CAD["MG"], cad_result_of(mammograms), context_of(*mammograms), tmp_path)
    assert [value_of(report, name) for name in (SUMMARY, DETECTIONS, ANALYSES)] == ["111242", "111222", "111222"]


def test_runs_that_failed_make_no_success(mammograms: tuple[Instance, ...], tmp_path: Path) -> None:
    uids = tuple(view.sop_instance_uid for view in mammograms)
    run = AlgorithmRun(
        kind=RunKind.DETECTION, subject=sct("129793001"), status=RunStatus.FAILED, sop_instance_uids=uids
    )
    refused = result_of("MG", mammograms, Outcome.NOT_ANALYSED, runs=(run,))
    report = encoded(CAD["MG"], refused, context_of(*mammograms), tmp_path)
    assert [value_of(report, name) for name in (SUMMARY, DETECTIONS, ANALYSES)] == ["111245", "111224", "111225"]
    not_tried = replace(refused, runs=(replace(run, status=RunStatus.NOT_ATTEMPTED),))
    report = encoded(CAD["MG"], not_tried, context_of(*mammograms), tmp_path)
    assert value_of(report, DETECTIONS) == "111225"


def test_mark_stands_on_its_view_by_reference(mammograms: tuple[Instance, ...], tmp_path: Path) -> None:
    report = encoded(CAD["MG"], cad_result_of(mammograms), context_of(*mammograms), tmp_path)
    places = {}
    for finding in named(report, FINDING):
        tracked = one(finding, "112039").TextValue
        (reference,) = children(one(finding, "111010"))
        assert "ValueType" not in reference
        image = item_at(report, list(reference.ReferencedContentItemIdentifier))
        assert image is not None
        uid = image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        places[tracked] = (uid, list(one(finding, "111010").GraphicData), one(finding, "111041").GraphicData[:4])
    first, second = (view.sop_instance_uid for view in mammograms[:2])
    assert places == {
        "mammography zone-RU": (first, [35.25, 50], [10, 20, 60.5, 20]),
        "mammography candidate-1": (second, [20, 12.5], [5, 5, 25, 5]),
        "mammography zone-LU": (first, [90, 40], [70, 20, 110, 25]),
    }


def test_library_says_side_view_and_spacing(tmp_path: Path) -> None:
    report = report_of("MG", Outcome.FINDINGS, tmp_path)
    right, left = children(one(report, "111028"))
    assert (value_of(right, "111027"), value_of(left, "111027")) == ("73056007", "80248007")
    assert value_of(right, "111031") == "399162004"
    assert (one(right, "111044").TextValue, one(right, "111043").TextValue) == ("P", "L")
    assert (one(right, "111060").Date, one(right, "111061").Time) == ("20260701", "085900")
    assert (numbers_of(right, "111026"), numbers_of(right, "110911")) == ([0.4], [128.0])


def test_view_comes_from_its_code_also_in_the_retired_scheme(tmp_path: Path) -> None:
    def view(scheme: str, value: str, position: str) -> list[str]:
        dataset = source_dataset("MG")
        item, modifier = Dataset(), Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "as the device calls it"
        modifier.CodeValue, modifier.CodingSchemeDesignator = "399163009", "SCT"
        item.ViewModifierCodeSequence = [modifier]
        dataset.ViewCodeSequence, dataset.ViewPosition = [item], position
        sources = (stored(dataset, tmp_path),)
        result = result_of("MG", sources, Outcome.NO_FINDINGS)
        report = encoded(CAD["MG"], result, context_of(*sources), tmp_path)
        return values_of(report, "111031") + values_of(report, "111032")

    assert view("SRT", "R-10226", "") == ["399368009", "399163009"]
    assert view("SCT", "399260004", "CC") == ["399260004", "399163009"]
    assert view("99VENDOR", "77", "MLO") == ["399368009", "399163009"]
    assert view("99VENDOR", "77", "SPECIAL") == []


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_header_that_is_damaged_is_not_repeated(tmp_path: Path) -> None:
    dataset = source_dataset("MG")
    dataset.StudyDate, dataset.StudyTime = "2026.7.1", "noon"
    dataset.ImagerPixelSpacing = [0, 1000]
    dataset.PatientOrientation = ["north", "L"]
    dataset.ImageLaterality = "X"
    del dataset.Rows
    sources = (stored(dataset, tmp_path),)
    result = result_of("MG", sources, Outcome.NOT_ANALYSED)
    (entry,) = ENCODERS[CAD["MG"]](result, context_of(*sources), tmp_path / "out")
    (image,) = children(one(pydicom.dcmread(entry.path), "111028"))
    assert child_values(image) == ["111031", "110911"]


def test_candidates_are_optional_from_an_operating_point_on(mammograms: tuple[Instance, ...], tmp_path: Path) -> None:
    report = encoded(CAD["MG"], cad_result_of(mammograms), context_of(*mammograms), tmp_path)
    intents = {
        one(finding, "112039").TextValue: next(child for child in children(finding) if concept(child)[0] == INTENT)
        for finding in named(report, FINDING)
    }
    optional = intents.pop("mammography candidate-1")
    assert optional.ConceptCodeSequence[0].CodeValue == "111151"
    assert numbers_of(optional, "111071") == [1]
    assert {intent.ConceptCodeSequence[0].CodeValue for intent in intents.values()} == {"111150"}
    assert (numbers_of(report, "111072"), numbers_of(report, "111092")) == ([1], [0])
    assert "CAD operating point 1: candidate, score 0.25 or more" in parameters_of(report)


def parameters_of(report: Dataset) -> set[str]:
    return {str(item.TextValue) for item in named(report, "111002")}


def test_package_without_a_floor_has_no_operating_points(tmp_path: Path) -> None:
    report = report_of("MG", Outcome.FINDINGS, tmp_path)
    assert not [item for name in ("111071", "111072", "111092") for item in named(report, name)]
    assert "triage operating point: high, score 0.5 or more" in parameters_of(report)


@pytest.mark.parametrize("outcome", [Outcome.NO_FINDINGS, Outcome.NOT_ANALYSED])
def test_report_without_findings_offers_no_candidates(
    mammograms: tuple[Instance, ...], outcome: Outcome, tmp_path: Path
) -> None:
    positive = cad_result_of(mammograms)
    silent = result_of("MG", mammograms, outcome, candidates=positive.candidates, composites=positive.composites)
    report = encoded(CAD["MG"], silent, context_of(*mammograms), tmp_path)
    assert not list(named(report, FINDING))
    assert not list(named(report, IMPRESSION))


def test_mass_of_two_views_holds_its_members(mammograms: tuple[Instance, ...], tmp_path: Path) -> None:
    report = encoded(CAD["MG"], cad_result_of(mammograms), context_of(*mammograms), tmp_path)
    composite = one(report, COMPOSITE)
    assert composite.ConceptCodeSequence[0].CodeValue == "129788004"
    assert (value_of(composite, "111016"), value_of(composite, "111057")) == ("111154", "111158")
    assert numbers_of(composite, "111011") == [60]
    members = [one(item, "112039").TextValue for item in named(composite, FINDING)]
    assert members == ["mammography zone-RU", "mammography candidate-1"]
    outside = [one(item, "112039").TextValue for item in named(report, FINDING)]
    assert outside == [*members, "mammography zone-LU"]


def test_member_of_two_masses_is_referred_to_the_second_time(mammograms: tuple[Instance, ...], tmp_path: Path) -> None:
    result = cad_result_of(mammograms)
    (mass,) = result.composites
    other = replace(mass, key="mass-2", members=("zone-RU", "zone-LU"))
    twice = replace(result, composites=(mass, other))
    report = encoded(CAD["MG"], twice, context_of(*mammograms), tmp_path)
    _, second = named(report, COMPOSITE)
    (reference,) = (child for child in children(second) if "ReferencedContentItemIdentifier" in child)
    member = item_at(report, list(reference.ReferencedContentItemIdentifier))
    assert member is not None
    assert one(member, "112039").TextValue == "mammography zone-RU"
    assert len(list(named(report, FINDING))) == 3


def test_impression_is_shown_when_anything_in_it_is(mammograms: tuple[Instance, ...], tmp_path: Path) -> None:
    result = cad_result_of(mammograms, composites=())
    hidden = tuple(replace(each, rendering=RenderingIntent.NOT_FOR_PRESENTATION) for each in result.findings)
    report = encoded(CAD["MG"], replace(result, findings=hidden), context_of(*mammograms), tmp_path)
    intents = [value_of_intent(impression) for impression in named(report, IMPRESSION)]
    assert intents == ["111151", "111152"]


def value_of_intent(item: Dataset) -> str:
    (intent,) = (child for child in children(item) if concept(child)[0] == INTENT)
    return str(intent.ConceptCodeSequence[0].CodeValue)


def test_score_is_a_probability_of_cancer_only_when_calibrated(tmp_path: Path) -> None:
    sources = (stored(source_dataset("MG"), tmp_path / "sources"),)
    marks = findings_of(sources[0], Presence.PRESENT, "MG")
    for is_calibrated, expected in ((False, ([87.34], [])), (True, ([], [87.34]))):
        findings = tuple(replace(each, calibrated=is_calibrated) for each in marks)
        result = result_of("MG", sources, Outcome.FINDINGS, findings=findings)
        report = encoded(CAD["MG"], result, context_of(*sources), tmp_path)
        assert (numbers_of(report, "111012"), numbers_of(report, "111047")) == expected


def test_descriptors_with_a_row_are_written_and_others_are_not(tmp_path: Path) -> None:
    sources = (stored(source_dataset("MG"), tmp_path / "sources"),)
    kind, margin = Code("111009", "DCM", "Calcification Type"), Code("111037", "DCM", "Margins")
    cluster = replace(
        findings_of(sources[0], Presence.PRESENT, "MG")[0],
        finding=sct("129769006"),
        evaluations=(Evaluation(name=kind, value=sct("129760005")), Evaluation(name=margin, value=sct("129742005"))),
        measurements=(Measurement(name=dcm("111038"), value=7, unit=code("UCUM", "1")),),
    )
    result = result_of("MG", sources, Outcome.FINDINGS, findings=(cluster,))
    report = encoded(CAD["MG"], result, context_of(*sources), tmp_path)
    assert values_of(report, "111009") == ["129760005"]
    assert numbers_of(report, "111038") == [7]
    assert not list(named(report, "111037"))


def test_impression_says_what_was_left_out_and_that_it_is_a_demonstration(tmp_path: Path) -> None:
    words = one(report_of("MG", Outcome.NOT_ANALYSED, tmp_path), "111033").TextValue
    assert "NOT ANALYSED: (0018,5101) 'View Position' value 'LL' is not supported" in words
    assert "This is not a negative result. Read the study as if it had not been sent." in words
    words = one(report_of("MG", Outcome.FINDINGS, tmp_path), "111033").TextValue
    assert "DEMONSTRATION - NOT FOR CLINICAL USE" in words


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        (dcm("112126"), ("112033", "112126")),
        (dcm("112106"), ("112064", "112106")),
        (dcm("112114"), ("112061", "112114")),
        (sct("76171001"), ("112062", "76171001")),
        (dcm("112079"), ("112064", "112079")),
        (sct("95436008"), ("112033", "95436008")),
        (private("DLD-CYST"), ("112062", "DLD-CYST")),
        (dcm("112033"), ("112033", None)),
    ],
)
def test_chest_findings_are_an_abnormality_and_its_kind(finding: Code, expected: tuple[str, str | None]) -> None:
    kind, modifier = coded(finding)
    assert (kind.value, modifier and modifier.value) == expected


def test_chest_finding_has_the_templates_relationships(tmp_path: Path) -> None:
    report = report_of("CR", Outcome.FINDINGS, tmp_path)
    finding = next(named(report, FINDING))
    relationships = {concept(child)[0]: child.RelationshipType for child in children(finding)}
    assert relationships["112024"] == "HAS CONCEPT MOD"
    assert relationships["111001"] == "HAS OBS CONTEXT"
    assert relationships["111010"] == "HAS PROPERTIES"
    assert "111028" in child_values(report)


@pytest.mark.parametrize(
    ("site", "expected"),
    [(private("ZONE-RU"), "281392002"), (private("ZONE-LL"), "281394001"), (sct("45653009"), "45653009")],
)
def test_zones_are_locations_in_the_chest_with_their_side(site: Code, expected: str, tmp_path: Path) -> None:
    sources = (stored(source_dataset("CR"), tmp_path / "sources"),)
    finding = replace(findings_of(sources[0], Presence.PRESENT)[0], site=site)
    result = result_of("CR", sources, Outcome.FINDINGS, findings=(finding,))
    report = encoded(CAD["CR"], result, context_of(*sources), tmp_path)
    assert value_of(report, "112013") == expected
    assert value_of(one(report, "112013"), "272741003") == "24028007"
    lung = replace(finding, site=sct("39607008"))
    result = result_of("CR", sources, Outcome.FINDINGS, findings=(lung,))
    assert not list(named(encoded(CAD["CR"], result, context_of(*sources), tmp_path), "112013"))


def test_ct_names_its_series_and_keeps_the_slices_with_findings(tmp_path: Path) -> None:
    report = report_of("CT", Outcome.FINDINGS, tmp_path, images=20)
    (image,) = children(one(report, "111028"))
    performed = one(report, "111022")
    assert [item.UID for item in named(performed, "112002")] == [source_dataset("CT").SeriesInstanceUID]
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == source_dataset("CT").SOPInstanceUID
    (series,) = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert len(series.ReferencedSOPSequence) == 20
    negative = report_of("CT", Outcome.NO_FINDINGS, tmp_path / "negative", images=20)
    assert not list(named(negative, "111028"))


def test_frame_is_the_single_image_of_its_finding(tmp_path: Path) -> None:
    source = stored(source_dataset("CT"), tmp_path / "sources")
    region = Region.box(source.sop_instance_uid, x0=1, y0=2, x1=30, y1=40, frame_number=7)
    finding = replace(findings_of(source, Presence.PRESENT, "CT")[0], region=region)
    result = result_of("CT", (source,), Outcome.FINDINGS, findings=(finding,))
    report = encoded(CAD["CT"], result, context_of(source), tmp_path)
    frames = [image.ReferencedSOPSequence[0].get("ReferencedFrameNumber") for image in children(one(report, "111028"))]
    assert frames == [None, 7]
    (reference,) = children(one(report, "111010"))
    assert list(reference.ReferencedContentItemIdentifier) == [1, 2, 2]


def test_successor_names_its_predecessor(mammograms: tuple[Instance, ...], tmp_path: Path) -> None:
    context = context_of(*mammograms, revision=2, predecessors=(prior_report("2.25.7"),))
    report = encoded(CAD["MG"], cad_result_of(mammograms), context, tmp_path)
    (study,) = report.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    assert study.StudyInstanceUID == report.StudyInstanceUID
    assert series.SeriesInstanceUID == sr_series_instance_uid("2.25.7")
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "2.25.7"


def test_tracking_is_that_of_the_report_for_every_viewer(mammograms: tuple[Instance, ...], tmp_path: Path) -> None:
    result, context = result_of("MG", mammograms, Outcome.FINDINGS), context_of(*mammograms)
    cad = encoded(CAD["MG"], result, context, tmp_path)
    report = pydicom.dcmread(ENCODERS[ResultKind.SR](result, context, tmp_path)[0].path)
    uids = [{item.UID for item in named(each, "112040")} for each in (cad, report)]
    assert uids[0] == uids[1]


@pytest.mark.parametrize("modality", list(CAD))
def test_another_profile_is_another_object_and_the_same_is_the_same_bytes(modality: str, tmp_path: Path) -> None:
    sources = tuple(stored(source_dataset(modality, number), tmp_path / "sources") for number in (1, 2))
    result = result_of(modality, sources, Outcome.FINDINGS)
    profiles = (EncodingProfile(), EncodingProfile(), EncodingProfile(character_set=CharacterSet.UTF8))
    first, again, other = (
        ENCODERS[CAD[modality]](result, context_of(*order, profile=profile), tmp_path / name)[0]
        for name, profile, order in zip("abc", profiles, (sources, sources[::-1], sources), strict=True)
    )
    assert first.path.read_bytes() == again.path.read_bytes()
    assert first.sop_instance_uid != other.sop_instance_uid
