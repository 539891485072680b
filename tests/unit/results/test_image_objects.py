# SPDX-License-Identifier: Apache-2.0
"""Presentation states, segmentations, parametric maps, key objects and captures: every state, every character set."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from harness.studies import (
    CHARACTER_SETS,
    COLUMNS,
    PACKAGE,
    ROWS,
    context_of,
    heatmap_of,
    label_map_of,
    named_sources,
    result_of,
    source_dataset,
    stored,
)
from service.domain.instance import Instance
from service.domain.profile import CaptureModality, EncodingProfile, encoding_profile
from service.domain.provenance import is_own_result
from service.domain.result import Outcome, PackageStatus, PipelineResult, Presence, Priority, Region
from service.ports import EncodedObject, ResultContext, ResultKind
from service.results import ENCODERS
from service.results.gate import check_object
from service.results.lint.report import TRACKING_IDENTIFIER, TRACKING_UID, children, measurement_groups
from service.results.object.identifiers import tracking_uid
from service.results.picture.painting import Page
from service.results.source.verbatim import stored_bytes
from service.settings.results import ResultSettings

KINDS = (
    ResultKind.HEATMAP,
    ResultKind.PRESENTATION_STATE,
    ResultKind.SEGMENTATION,
    ResultKind.PARAMETRIC_MAP,
    ResultKind.KEY_OBJECTS,
)
outcomes = pytest.mark.parametrize("outcome", list(Outcome))


def encode_all(result: PipelineResult, context: ResultContext, folder: Path) -> list[EncodedObject]:
    return [entry for kind in KINDS for entry in ENCODERS[kind](result, context, folder)]


def encode(kind: ResultKind, result: PipelineResult, context: ResultContext, folder: Path) -> list[Dataset]:
    return [pydicom.dcmread(entry.path) for entry in ENCODERS[kind](result, context, folder)]


def sent(entries: list[EncodedObject]) -> Iterator[EncodedObject]:
    """Yield what a destination is sent that accepts every SOP class."""
    for entry in entries:
        if all(entry.rank <= other.rank for other in entries if entry.slot and other.slot == entry.slot):
            yield entry


# --- every state, every character set ---------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize("charset", CHARACTER_SETS)
def test_every_object_is_valid_and_the_same_again(modality: str, charset: str, tmp_path: Path) -> None:
    from harness.validators import dcentvfy

    sources = named_sources(modality, charset, tmp_path / "sources")
    context = context_of(*sources, priority=Priority.URGENT, profile=EncodingProfile(label_maps=True))
    name = stored_bytes(pydicom.dcmread(sources[0].path).get_item(Tag("PatientName")))
    for outcome in Outcome:
        result = result_of(modality, sources, outcome)
        first = encode_all(result, context, tmp_path / outcome)
        again = encode_all(result, replace(context, sources=tuple(reversed(sources))), tmp_path / "again" / outcome)
        assert [entry.path.read_bytes() for entry in first] == [entry.path.read_bytes() for entry in again]
        for entry in first:
            assert check_object(entry.path) == ()
            assert stored_bytes(pydicom.dcmread(entry.path).get_item(Tag("PatientName"))) == name
        together = [entry.path for entry in sent(first)] + [source.path for source in sources]
        assert dcentvfy(together) == []


BOTH_FORMS = EncodingProfile(label_maps=True)
"""A destination whose segmentations are written as labels, too."""
KINDS_MADE = {
    ("CT", Outcome.FINDINGS): {"heatmap": 1, "presentation_state": 1, "segmentation": 4, "parametric_map": 1},
    ("CT", Outcome.NO_FINDINGS): {"heatmap": 1, "presentation_state": 1, "segmentation": 2, "parametric_map": 1},
    ("CT", Outcome.PARTLY_ANALYSED): {"heatmap": 1, "presentation_state": 1, "segmentation": 4, "parametric_map": 1},
    ("CT", Outcome.NOT_ANALYSED): {"heatmap": 1, "presentation_state": 1},
    ("MG", Outcome.FINDINGS): {"heatmap": 1, "presentation_state": 2},
    ("MG", Outcome.NOT_ANALYSED): {"heatmap": 1, "presentation_state": 2},
    ("CR", Outcome.NO_FINDINGS): {"heatmap": 1, "presentation_state": 1},
}


@pytest.mark.parametrize(("modality", "outcome"), KINDS_MADE)
def test_what_is_made_of_each_state(modality: str, outcome: Outcome, tmp_path: Path) -> None:
    sources = named_sources(modality, "none", tmp_path / "sources")
    entries = encode_all(result_of(modality, sources, outcome), context_of(*sources, profile=BOTH_FORMS), tmp_path)
    kinds = [str(entry.kind) for entry in entries]
    assert {kind: kinds.count(kind) for kind in kinds} == KINDS_MADE[modality, outcome]


@outcomes
def test_no_two_states_make_the_same_object(modality: str, outcome: Outcome, tmp_path: Path) -> None:
    """The words of each object say which of the four states it comes from."""
    sources = named_sources(modality, "none", tmp_path / "sources")
    (*_, state) = encode(
        ResultKind.PRESENTATION_STATE, result_of(modality, sources, outcome), context_of(*sources), tmp_path
    )
    words = str(state.GraphicAnnotationSequence[-1].TextObjectSequence[0].UnformattedTextValue)
    opening = {
        Outcome.FINDINGS: ("AI Analysed: findings", "AI FINDINGS"),
        Outcome.NO_FINDINGS: ("AI Analysed: no findings", "AI NO FINDINGS"),
        Outcome.PARTLY_ANALYSED: ("AI PARTLY ANALYSED", "AI PARTLY"),
        Outcome.NOT_ANALYSED: ("AI NOT ANALYSED", "AI NOT ANALYSED"),
    }[outcome]
    assert (words.splitlines()[0], state.ContentLabel) == opening
    assert ("This is not a negative result" in words) == (outcome is Outcome.NOT_ANALYSED)
    assert ("left out: (0018,5101)" in words) == (outcome is Outcome.PARTLY_ANALYSED)


def test_own_results_are_recognised_when_they_come_back(tmp_path: Path) -> None:
    sources = named_sources("CT", "none", tmp_path / "sources")
    context = context_of(*sources, priority=Priority.URGENT, profile=EncodingProfile(label_maps=True))
    for entry in encode_all(result_of("CT", sources, Outcome.FINDINGS), context, tmp_path):
        dataset = pydicom.dcmread(entry.path)
        attributes = {"Manufacturer": dataset.Manufacturer, "ManufacturerModelName": dataset.ManufacturerModelName}
        assert is_own_result(attributes)


# --- presentation states ----------------------------------------------------------------------------------------------


def outlines(state: Dataset) -> list[Dataset]:
    return [item for entry in state.GraphicAnnotationSequence for item in entry.get("GraphicObjectSequence") or []]


def test_absent_findings_are_not_outlined(radiograph: Instance, tmp_path: Path) -> None:
    context = context_of(radiograph)
    (negative,) = encode(
        ResultKind.PRESENTATION_STATE, result_of("CR", (radiograph,), Outcome.NO_FINDINGS), context, tmp_path
    )
    (positive,) = encode(
        ResultKind.PRESENTATION_STATE, result_of("CR", (radiograph,), Outcome.FINDINGS), context, tmp_path
    )
    assert outlines(negative) == []
    assert [list(item.GraphicData) for item in outlines(positive)] == [
        [10, 20, 60.5, 20, 60.5, 80, 10, 80, 10, 20],
        [70, 20, 110, 25, 90, 60, 70, 20],
    ]


@pytest.mark.parametrize("most", [30, 1])
def test_outlines_share_the_reports_tracking(
    modality: str, sources: tuple[Instance, ...], most: int, tmp_path: Path
) -> None:
    result = result_of(modality, sources, Outcome.FINDINGS)
    context = context_of(*sources, profile=EncodingProfile(max_secondary_captures=most))
    states = encode(ResultKind.PRESENTATION_STATE, result, context, tmp_path)
    report, *_ = encode(ResultKind.SR, result, context, tmp_path)
    tracked = {
        (children(group, TRACKING_IDENTIFIER)[0].TextValue, children(group, TRACKING_UID)[0].UID)
        for group in measurement_groups(report)
    }
    assert {(item.TrackingID, item.TrackingUID) for state in states for item in outlines(state)} == tracked
    for segmentation in encode(ResultKind.SEGMENTATION, result, context, tmp_path):
        if segmentation.ContentLabel == "PATTERNS":
            segment = segmentation.SegmentSequence[-1]
            assert (segment.TrackingID, segment.TrackingUID) in tracked


def test_each_breast_has_a_series_of_its_own(tmp_path: Path) -> None:
    sources = tuple(stored(source_dataset("MG", number), tmp_path / "s") for number in (1, 2, 3))
    states = encode(
        ResultKind.PRESENTATION_STATE, result_of("MG", sources, Outcome.FINDINGS), context_of(*sources), tmp_path
    )
    assert {state.Laterality for state in states} == {"L", "R"}
    assert len({state.SeriesInstanceUID for state in states}) == 2
    images = [len(state.ReferencedSeriesSequence[0].ReferencedImageSequence) for state in states]
    assert sorted(images) == [1, 2]


def test_images_of_other_sizes_and_windows_keep_their_own(tmp_path: Path) -> None:
    datasets = [source_dataset("CR", number) for number in (1, 2)]
    datasets[1].Rows, datasets[1].Columns, datasets[1].ImagerPixelSpacing = 100, 80, [0.5, 0.5]
    datasets[1].WindowCenter, datasets[1].WindowWidth = [100, 200], [300, 400]
    sources = tuple(stored(dataset, tmp_path / "s") for dataset in datasets)
    (entry,) = ENCODERS[ResultKind.PRESENTATION_STATE](
        result_of("CR", sources, Outcome.FINDINGS), context_of(*sources), tmp_path
    )
    state = pydicom.dcmread(entry.path)
    areas = {
        str(area.ReferencedImageSequence[0].ReferencedSOPInstanceUID): (
            list(area.DisplayedAreaTopLeftHandCorner),
            list(area.DisplayedAreaBottomRightHandCorner),
            [float(value) for value in area.PresentationPixelSpacing],
        )
        for area in state.DisplayedAreaSelectionSequence
    }
    assert areas[sources[0].sop_instance_uid] == ([1, 1], [COLUMNS["CR"], ROWS["CR"]], [1.4, 1.4])
    assert areas[sources[1].sop_instance_uid] == ([1, 1], [80, 100], [0.5, 0.5])
    windows = {
        str(item.ReferencedImageSequence[0].ReferencedSOPInstanceUID): item.WindowCenter
        for item in state.SoftcopyVOILUTSequence
    }
    assert windows == {sources[0].sop_instance_uid: 2048, sources[1].sop_instance_uid: [100, 200]}
    assert check_object(entry.path, validators=()) == ()


@pytest.mark.peers
def test_lookup_tables_of_the_source_are_kept(tmp_path: Path) -> None:
    dataset = source_dataset("CR")
    del dataset.WindowCenter, dataset.WindowWidth
    table = Dataset()
    table.add_new("LUTDescriptor", "US", [4096, 0, 12])
    table.add_new("LUTData", "OW", np.arange(4096, dtype="<u2")[::-1].tobytes())
    dataset.VOILUTSequence = [table]
    source = stored(dataset, tmp_path / "s")
    (entry,) = ENCODERS[ResultKind.PRESENTATION_STATE](
        result_of("CR", (source,), Outcome.FINDINGS), context_of(source), tmp_path
    )
    kept = pydicom.dcmread(entry.path).SoftcopyVOILUTSequence[0].VOILUTSequence[0]
    assert list(kept.LUTDescriptor) == [4096, 0, 16], "8 or 16 bits are all that a presentation state may have"
    entries = np.frombuffer(kept.LUTData, dtype="<u2")
    assert (entries[0], entries[-1]) == (65535, 0)
    np.testing.assert_allclose(entries / 65535, np.arange(4096)[::-1] / 4095, atol=1e-4)
    assert check_object(entry.path) == ()


@pytest.mark.parametrize(
    ("photometric", "shape", "expected"),
    [("MONOCHROME1", "", "INVERSE"), ("MONOCHROME2", "INVERSE", "INVERSE"), ("MONOCHROME2", "IDENTITY", "IDENTITY")],
)
def test_polarity_is_the_sources(photometric: str, shape: str, expected: str, tmp_path: Path) -> None:
    dataset = source_dataset("CR")
    dataset.PhotometricInterpretation, dataset.PresentationLUTShape = photometric, shape
    source = stored(dataset, tmp_path / "s")
    (state,) = encode(
        ResultKind.PRESENTATION_STATE, result_of("CR", (source,), Outcome.FINDINGS), context_of(source), tmp_path
    )
    assert state.PresentationLUTShape == expected


def test_images_in_colour_or_of_unknown_size_have_no_presentation_state(tmp_path: Path) -> None:
    colour, sizeless = source_dataset("CR", 1), source_dataset("CR", 2)
    colour.PhotometricInterpretation = "RGB"
    del sizeless.Rows
    sources = tuple(stored(dataset, tmp_path / "s") for dataset in (colour, sizeless))
    result = result_of("CR", sources, Outcome.NOT_ANALYSED)
    assert encode(ResultKind.PRESENTATION_STATE, result, context_of(*sources), tmp_path) == []


def test_an_outline_beyond_the_image_ends_at_its_edge(radiograph: Instance, tmp_path: Path) -> None:
    result = result_of("CR", (radiograph,), Outcome.FINDINGS)
    region = Region.box(radiograph.sop_instance_uid, x0=-20, y0=200, x1=300, y1=400)
    wide = replace(result, findings=(replace(result.findings[0], region=region),))
    (entry,) = ENCODERS[ResultKind.PRESENTATION_STATE](wide, context_of(radiograph), tmp_path)
    (outline,) = outlines(pydicom.dcmread(entry.path))
    assert list(outline.GraphicData) == [0, 200, 224, 200, 224, 256, 0, 256, 0, 200]
    assert check_object(entry.path, validators=()) == ()


# --- segmentations and parametric maps --------------------------------------------------------------------------------


@pytest.fixture
def ct(tmp_path: Path) -> tuple[Instance, ...]:
    return tuple(stored(source_dataset("CT", number), tmp_path / "sources") for number in (1, 2, 3))


def test_highdicom_reads_back_every_pixel(ct: tuple[Instance, ...], tmp_path: Path) -> None:
    drawn = label_map_of(ct, with_findings=True)
    result = result_of("CT", ct, Outcome.FINDINGS)
    uids = [source.sop_instance_uid for source in ct]
    expected = {
        "LUNGS": np.where(drawn.labels == 2, 2, np.isin(drawn.labels, (1, 3)).astype("u1")),
        "PATTERNS": (drawn.labels == 3).astype("u1"),
    }
    objects = encode(ResultKind.SEGMENTATION, result, context_of(*ct, profile=BOTH_FORMS), tmp_path)
    forms = [(str(entry.ContentLabel), str(entry.SegmentationType)) for entry in objects]
    assert forms == [(name, form) for name in ("LUNGS", "PATTERNS") for form in ("BINARY", "LABELMAP")]
    for dataset in objects:
        segmentation = hd.seg.Segmentation.from_dataset(dataset)
        pixels = segmentation.get_pixels_by_source_instance(
            uids, combine_segments=True, assert_missing_frames_are_empty=True
        )
        np.testing.assert_array_equal(pixels, expected[str(dataset.ContentLabel)])


def test_frames_whose_bits_do_not_fill_bytes_follow_one_another(tmp_path: Path) -> None:
    sources = []
    for number in (1, 2):
        dataset = source_dataset("CT", number)
        dataset.Rows, dataset.Columns = 7, 9
        sources.append(stored(dataset, tmp_path / "s"))
    drawn = label_map_of(tuple(sources), with_findings=False)
    labels = np.random.default_rng(1).integers(0, 3, (2, 7, 9), dtype=np.uint8)
    result = result_of("CT", tuple(sources), Outcome.NO_FINDINGS, label_map=replace(drawn, labels=labels))
    (bits, _) = ENCODERS[ResultKind.SEGMENTATION](result, context_of(*sources, profile=BOTH_FORMS), tmp_path)
    segmentation = hd.seg.Segmentation.from_dataset(pydicom.dcmread(bits.path))
    pixels = segmentation.get_pixels_by_source_instance(
        [source.sop_instance_uid for source in sources], combine_segments=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(pixels, labels)
    assert check_object(bits.path, validators=()) == ()


def test_bits_go_first_and_labels_where_bits_are_refused(ct: tuple[Instance, ...], tmp_path: Path) -> None:
    entries = ENCODERS[ResultKind.SEGMENTATION](
        result_of("CT", ct, Outcome.FINDINGS), context_of(*ct, profile=BOTH_FORMS), tmp_path
    )
    assert [(entry.slot, entry.rank, entry.sop_class_uid[-4:]) for entry in entries] == [
        ("segmentation:lungs", 0, "66.4"),
        ("segmentation:lungs", 1, "66.7"),
        ("segmentation:patterns", 0, "66.4"),
        ("segmentation:patterns", 1, "66.7"),
    ]


def test_each_segmentation_has_a_series_of_its_own(ct: tuple[Instance, ...], tmp_path: Path) -> None:
    """OHIF shows only one of the segmentations that share a series."""
    made = encode(ResultKind.SEGMENTATION, result_of("CT", ct, Outcome.FINDINGS), context_of(*ct), tmp_path)
    assert [(each.ContentLabel, each.SeriesNumber) for each in made] == [("LUNGS", 9201), ("PATTERNS", 9202)]
    assert len({each.SeriesInstanceUID for each in made}) == 2
    assert all(each.SeriesDescription.endswith("(research)") for each in made)


def test_segments_without_a_pixel_are_left_out(ct: tuple[Instance, ...], tmp_path: Path) -> None:
    drawn = label_map_of(ct, with_findings=True)
    labels = np.where(drawn.labels == 2, 0, drawn.labels).astype(np.uint8)
    result = result_of("CT", ct, Outcome.FINDINGS, label_map=replace(drawn, labels=labels))
    lungs, *_ = encode(ResultKind.SEGMENTATION, result, context_of(*ct), tmp_path)
    assert [segment.SegmentLabel for segment in lungs.SegmentSequence] == ["right lung"]
    nothing = replace(result, label_map=replace(drawn, labels=np.zeros_like(labels)))
    assert encode(ResultKind.SEGMENTATION, nothing, context_of(*ct), tmp_path) == []


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "ImagePositionPatient"])
def test_without_a_place_in_the_patient_there_is_no_segmentation(keyword: str, tmp_path: Path) -> None:
    datasets = [source_dataset("CT", number) for number in (1, 2)]
    for dataset in datasets:
        delattr(dataset, keyword)
    sources = tuple(stored(dataset, tmp_path / "s") for dataset in datasets)
    result = result_of("CT", sources, Outcome.FINDINGS)
    assert encode(ResultKind.SEGMENTATION, result, context_of(*sources), tmp_path) == []
    maps = encode(ResultKind.PARAMETRIC_MAP, result, context_of(*sources), tmp_path)
    assert len(maps) == (0 if keyword == "FrameOfReferenceUID" else 1), "a map has positions of its own"


def test_highdicom_reads_back_every_value(ct: tuple[Instance, ...], tmp_path: Path) -> None:
    result = result_of("CT", ct, Outcome.FINDINGS)
    (dataset,) = encode(ResultKind.PARAMETRIC_MAP, result, context_of(*ct), tmp_path)
    values = hd.pm.ParametricMap.from_dataset(dataset).get_frames()
    (given,) = result.value_maps
    np.testing.assert_allclose(values, np.where(np.isnan(given.values), -1, given.values), atol=1e-6)
    assert dataset.FloatPixelPaddingValue == -1
    frame = dataset.PerFrameFunctionalGroupsSequence[0]
    assert [float(value) for value in frame.PlanePositionSequence[0].ImagePositionPatient] == [-151.25, -151.25, -10]


@pytest.mark.peers
def test_a_single_slice_of_unknown_thickness_is_no_reason_to_fail(tmp_path: Path) -> None:
    dataset = source_dataset("CT")
    del dataset.SliceThickness
    source = stored(dataset, tmp_path / "s")
    result = result_of("CT", (source,), Outcome.FINDINGS)
    assert ENCODERS[ResultKind.SEGMENTATION](result, context_of(source), tmp_path) == (), "it must have a thickness"
    (entry,) = ENCODERS[ResultKind.PARAMETRIC_MAP](result, context_of(source), tmp_path)
    assert check_object(entry.path) == ()


@pytest.mark.peers
def test_dcmqi_reads_segmentations_and_maps_as_slicer_does(ct: tuple[Instance, ...], tmp_path: Path) -> None:
    from harness.validators import dcmqi

    result, context = result_of("CT", ct, Outcome.FINDINGS), context_of(*ct)
    for entry in ENCODERS[ResultKind.SEGMENTATION](result, context, tmp_path):
        assert dcmqi("segimage2itkimage", entry.path, tmp_path / "itk") == []
    for entry in ENCODERS[ResultKind.PARAMETRIC_MAP](result, context, tmp_path):
        assert dcmqi("paramap2itkimage", entry.path, tmp_path / "itk") == []


# --- key objects ------------------------------------------------------------------------------------------------------


@outcomes
def test_key_objects_are_only_of_a_result_that_raises_the_priority(
    radiograph: Instance, outcome: Outcome, tmp_path: Path
) -> None:
    result = result_of("CR", (radiograph,), outcome)
    routine = context_of(radiograph)
    urgent = replace(routine, priority=Priority.URGENT)
    raises = result.triage is not None and result.triage.above_operating_point
    assert len(encode(ResultKind.KEY_OBJECTS, result, urgent, tmp_path)) == raises
    assert encode(ResultKind.KEY_OBJECTS, result, routine, tmp_path) == []
    assert encode(ResultKind.KEY_OBJECTS, result, replace(urgent, may_raise=False), tmp_path) == []
    below = result.triage and replace(result.triage, above_operating_point=False)
    assert encode(ResultKind.KEY_OBJECTS, replace(result, triage=below), urgent, tmp_path) == []


def test_key_objects_name_sources_and_the_captures_that_are_sent(tmp_path: Path) -> None:
    sources = tuple(stored(source_dataset("CT", number), tmp_path / "s") for number in (1, 2, 3))
    heatmaps = tuple(heatmap_of("CT", source, f"slice-{n}") for n, source in enumerate(sources))
    result = result_of("CT", sources, Outcome.FINDINGS, heatmaps=heatmaps)
    profile = EncodingProfile(max_secondary_captures=2)
    context = context_of(*sources, priority=Priority.URGENT, profile=profile)
    (selection,) = encode(ResultKind.KEY_OBJECTS, result, context, tmp_path)
    captures = encode(ResultKind.HEATMAP, result, context, tmp_path)
    selected = [
        str(item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for item in selection.ContentSequence
        if item.ValueType == "IMAGE"
    ]
    assert selected == [
        *(source.sop_instance_uid for source in sources),
        *(str(capture.SOPInstanceUID) for capture in captures),
    ]
    assert len(captures) == 2


def test_where_no_captures_are_sent_nothing_names_one(modality: str, tmp_path: Path) -> None:
    """A destination whose objects lack `heatmap` would look for pictures that it never gets."""
    sources = named_sources(modality, "none", tmp_path / "sources")
    result = result_of(modality, sources, Outcome.FINDINGS)
    profile = encoding_profile(ResultSettings(), with_captures=False)
    context = context_of(*sources, priority=Priority.URGENT, profile=profile)
    known = {source.sop_instance_uid for source in sources}
    for kind in ENCODERS.keys() - {ResultKind.HEATMAP}:
        for dataset in encode(kind, result, context, tmp_path):
            named = {str(item.value) for item in dataset.iterall() if item.keyword == "ReferencedSOPInstanceUID"}
            assert named <= known, kind
            assert check_object(Path(str(dataset.filename)), validators=()) == ()


# --- captures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("most", "expected"), [(1, ["slice-0"]), (2, ["slice-0", "slice-1"]), (30, None)])
def test_a_destination_gets_as_many_pictures_as_it_takes(most: int, expected: list[str] | None, tmp_path: Path) -> None:
    source = stored(source_dataset("CT"), tmp_path / "s")
    heatmaps = tuple(heatmap_of("CT", source, f"slice-{number}") for number in range(4))
    result = result_of("CT", (source,), Outcome.FINDINGS, heatmaps=heatmaps)
    context = context_of(source, profile=EncodingProfile(max_secondary_captures=most))
    pictures = encode(ResultKind.HEATMAP, result, context, tmp_path)
    kept = [heatmap.key for heatmap in heatmaps] if expected is None else expected
    assert len(pictures) == len(kept)
    assert [picture.InstanceNumber for picture in pictures] == list(range(1, len(kept) + 1))
    whole = encode(ResultKind.HEATMAP, result, context_of(source), tmp_path / "whole")[: len(kept)]
    same = [bool((a.pixel_array == b.pixel_array).all()) for a, b in zip(pictures, whole, strict=True)]
    assert all(same) == (expected is None), "the footer of an incomplete set says what is missing"


def test_pictures_that_are_not_sent_are_said_to_be_missing() -> None:
    assert Page(number=1, count=1, left_out=3).place == "Picture 1/1, not sent here: 3"
    assert Page(number=2, count=4).place == "Picture 2/4"


def test_a_report_refers_to_no_picture_that_is_not_sent(tmp_path: Path) -> None:
    sources = tuple(stored(source_dataset("MG", number), tmp_path / "s") for number in (1, 2))
    heatmaps = tuple(heatmap_of("MG", source, f"view-{n}") for n, source in enumerate(sources))
    result = result_of("MG", sources, Outcome.FINDINGS, heatmaps=heatmaps)
    context = context_of(*sources, profile=EncodingProfile(max_secondary_captures=1))
    report, *_ = encode(ResultKind.SR, result, context, tmp_path)
    pictures = {str(picture.SOPInstanceUID) for picture in encode(ResultKind.HEATMAP, result, context, tmp_path)}
    evidence = {
        str(item.ReferencedSOPInstanceUID)
        for series in report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert evidence - {source.sop_instance_uid for source in sources} == pictures


def test_a_refusal_is_said_even_where_one_picture_is_taken(tmp_path: Path) -> None:
    source = stored(source_dataset("CT"), tmp_path / "s")
    result = result_of("CT", (source,), Outcome.NOT_ANALYSED, heatmaps=(heatmap_of("CT", source),))
    context = context_of(source, profile=EncodingProfile(max_secondary_captures=1))
    (page,) = encode(ResultKind.HEATMAP, result, context, tmp_path)
    assert page.DerivationDescription == "Result page of a computer-aided analysis"


@pytest.mark.peers
@pytest.mark.parametrize("choice", list(CaptureModality))
def test_captures_have_the_modality_that_the_destination_wants(
    modality: str, sources: tuple[Instance, ...], choice: CaptureModality, tmp_path: Path
) -> None:
    context = context_of(*sources, profile=EncodingProfile(capture_modality=choice))
    (entry,) = ENCODERS[ResultKind.HEATMAP](result_of(modality, sources, Outcome.FINDINGS), context, tmp_path)
    is_source = choice is CaptureModality.SOURCE or modality == "CT"
    assert pydicom.dcmread(entry.path).Modality == (modality if is_source else "OT")
    assert check_object(entry.path) == ()


def test_another_profile_is_another_object(modality: str, sources: tuple[Instance, ...], tmp_path: Path) -> None:
    result = result_of(modality, sources, Outcome.FINDINGS)
    profiles = [EncodingProfile(), EncodingProfile(capture_modality=CaptureModality.SOURCE)]
    contexts = [context_of(*sources, priority=Priority.URGENT, profile=profile) for profile in profiles]
    one, other = ([entry.sop_instance_uid for entry in encode_all(result, each, tmp_path)] for each in contexts)
    assert len(one) == len(other) > 0
    assert not set(one) & set(other)


def test_a_research_package_makes_no_demonstration_and_absent_findings_no_key_image(
    radiograph: Instance, tmp_path: Path
) -> None:
    package = replace(PACKAGE, status=PackageStatus.RESEARCH)
    result = result_of("CR", (radiograph,), Outcome.FINDINGS, package=package)
    (state,) = encode(ResultKind.PRESENTATION_STATE, result, context_of(radiograph), tmp_path)
    words = str(state.GraphicAnnotationSequence[-1].TextObjectSequence[0].UnformattedTextValue)
    assert "DEMONSTRATION" not in words
    assert "RESEARCH USE - NOT FOR DIAGNOSIS" in words
    findings = tuple(replace(finding, presence=Presence.ABSENT) for finding in result.findings)
    assert tracking_uid(result, findings[0].key, revision=1) not in {
        str(item.TrackingUID)
        for state in encode(
            ResultKind.PRESENTATION_STATE, replace(result, findings=findings), context_of(radiograph), tmp_path
        )
        for item in outlines(state)
    }
