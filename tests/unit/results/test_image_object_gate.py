# SPDX-License-Identifier: Apache-2.0
"""Each rule for presentation states, segmentations, maps and key objects holds back the defect it is there for."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from harness.studies import context_of, result_of, source_dataset, stored
from service.domain.instance import Instance
from service.domain.profile import EncodingProfile
from service.domain.result import Outcome, Priority
from service.ports import ResultKind
from service.results import ENCODERS
from service.results.gate import check_object
from service.results.lint.every_object import OBJECT_RULES
from service.results.lint.key_objects import DESCRIPTION
from service.results.lint.report import children
from service.results.lint.rules import RULES

Change = Callable[[Dataset], None]
PR, SEG, PM, KO = (
    ResultKind.PRESENTATION_STATE,
    ResultKind.SEGMENTATION,
    ResultKind.PARAMETRIC_MAP,
    ResultKind.KEY_OBJECTS,
)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One object of each kind, of a CT study with findings."""
    folder = tmp_path_factory.mktemp("originals")
    sources = tuple(stored(source_dataset("CT", number), folder / "s") for number in (1, 2))
    breast = (stored(source_dataset("MG"), folder / "s"),)
    made = {
        f"{kind}:{index}": entry.path
        for kind in (PR, SEG, PM, KO)
        for index, entry in enumerate(encoded(kind, "CT", sources, folder))
    }
    (refused,) = ENCODERS[PR](result_of("CT", sources, Outcome.NOT_ANALYSED), context_of(*sources), folder)
    (side,) = encoded(PR, "MG", breast, folder)
    return made | {"refused": refused.path, "breast": side.path}


def encoded(kind: ResultKind, modality: str, sources: tuple[Instance, ...], folder: Path) -> tuple:
    context = context_of(*sources, priority=Priority.URGENT, profile=EncodingProfile(label_maps=True))
    return ENCODERS[kind](result_of(modality, sources, Outcome.FINDINGS), context, folder)


def put(keyword: str, value: object) -> Change:
    return lambda dataset: setattr(dataset, keyword, value)


def remove(keyword: str) -> Change:
    return lambda dataset: delattr(dataset, keyword)


def within(sequence: str, change: Change, *, index: int = 0) -> Change:
    """Change an item of a sequence."""
    return lambda dataset: change(dataset[sequence].value[index])


def both(*changes: Change) -> Change:
    def apply(dataset: Dataset) -> None:
        for change in changes:
            change(dataset)

    return apply


def append_first(sequence: str) -> Change:
    return lambda dataset: dataset[sequence].value.append(dataset[sequence].value[0])


def drop_last(sequence: str) -> Change:
    return lambda dataset: dataset[sequence].value.pop()


def outline(change: Change, *, index: int = 0) -> Change:
    return within("GraphicAnnotationSequence", within("GraphicObjectSequence", change), index=index)


def caption(change: Change) -> Change:
    return within("GraphicAnnotationSequence", within("TextObjectSequence", change))


def words(change: Change) -> Change:
    return within("GraphicAnnotationSequence", within("TextObjectSequence", change), index=-1)


def shared(change: Change) -> Change:
    return within("SharedFunctionalGroupsSequence", change)


def frame(change: Change, *, index: int = 0) -> Change:
    return within("PerFrameFunctionalGroupsSequence", change, index=index)


def segment(change: Change, *, index: int = 0) -> Change:
    return within("SegmentSequence", change, index=index)


def same_tracking(sequence: str, item_of: Callable[[Dataset], Dataset]) -> Change:
    def apply(dataset: Dataset) -> None:
        items = dataset[sequence].value
        item_of(items[1]).TrackingUID = item_of(items[0]).TrackingUID

    return apply


def drawn(item: Dataset) -> Dataset:
    return item.GraphicObjectSequence[0]


def same(item: Dataset) -> Dataset:
    return item


def empty_frame(dataset: Dataset) -> None:
    size = dataset.Rows * dataset.Columns // 8
    dataset.PixelData = b"\0" * size + bytes(dataset.PixelData)[size:]


def strange_label(dataset: Dataset) -> None:
    pixels = np.frombuffer(dataset.PixelData, dtype=np.uint8).copy()
    pixels[5] = 77
    dataset.PixelData = pixels.tobytes()


def value(number: float) -> Change:
    def apply(dataset: Dataset) -> None:
        values = np.frombuffer(dataset.FloatPixelData, dtype="<f4").copy()
        values[5] = number
        dataset.FloatPixelData = values.tobytes()

    return apply


def reversed_ranks(dataset: Dataset) -> None:
    for item, rank in zip(dataset.PerFrameFunctionalGroupsSequence, (1, 2), strict=True):
        item.FrameContentSequence[0].DimensionIndexValues = rank


def image_elsewhere(dataset: Dataset) -> None:
    dataset.ReferencedImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"


def key_evidence(change: Change) -> Change:
    return within(
        "CurrentRequestedProcedureEvidenceSequence",
        within("ReferencedSeriesSequence", within("ReferencedSOPSequence", change)),
    )


def other_evidence(item: Dataset) -> None:
    item.ReferencedSOPInstanceUID = "1.2.3"


def named_image(dataset: Dataset) -> None:
    dataset.ContentSequence[-1].ConceptNameCodeSequence = dataset.ConceptNameCodeSequence


def selected_twice(dataset: Dataset) -> None:
    dataset.ContentSequence.append(dataset.ContentSequence[-1])


def without(value_type: str) -> Change:
    def apply(dataset: Dataset) -> None:
        dataset.ContentSequence = [item for item in dataset.ContentSequence if item.ValueType != value_type]

    return apply


def say(text: str) -> Change:
    def apply(dataset: Dataset) -> None:
        (description,) = (item for item in children(dataset, DESCRIPTION))
        description.TextValue = text

    return apply


DEFECTS: dict[str, tuple[str, Change, str]] = {
    # Presentation states
    "PR: another modality": (f"{PR}:0", put("Modality", "OT"), "'Modality' is 'OT'"),
    "PR: no creation time": (f"{PR}:0", put("PresentationCreationTime", ""), "'PresentationCreationDate' or"),
    "PR: label of no state": (f"{PR}:0", put("ContentLabel", "RESULT"), "'ContentLabel' is 'RESULT'"),
    "PR: label of another state": (f"{PR}:0", put("ContentLabel", "AI NO FINDINGS"), "but the content label is"),
    "PR: refusal that looks negative": (
        "refused",
        put("ContentLabel", "AI NO FINDINGS"),
        "no text on every image says",
    ),
    "PR: words on one image": (
        "refused",
        within("GraphicAnnotationSequence", put("ReferencedImageSequence", [Dataset()])),
        "no text on every image says 'AI NOT ANALYSED'",
    ),
    "PR: refusal without warning": (
        "refused",
        words(put("UnformattedTextValue", "AI NOT ANALYSED\r\nRESEARCH USE - NOT FOR DIAGNOSIS")),
        "says 'This is not a negative result",
    ),
    "PR: no banner": (f"{PR}:0", words(put("UnformattedTextValue", "AI Analysed: findings")), "says 'RESEARCH USE"),
    "PR: mark on another image": (
        f"{PR}:0",
        within("GraphicAnnotationSequence", image_elsewhere),
        "refers to 1.2.3, which is not listed",
    ),
    "PR: image listed twice": (
        f"{PR}:0",
        within("ReferencedSeriesSequence", append_first("ReferencedImageSequence")),
        "is listed 2 times",
    ),
    "PR: no image": (
        f"{PR}:0",
        within("ReferencedSeriesSequence", put("ReferencedImageSequence", [])),
        "names no image",
    ),
    "PR: area from 0": (
        f"{PR}:0",
        within("DisplayedAreaSelectionSequence", put("DisplayedAreaTopLeftHandCorner", [0, 0])),
        "begins at [0, 0]",
    ),
    "PR: two areas": (f"{PR}:0", append_first("DisplayedAreaSelectionSequence"), "has 2 displayed areas"),
    "PR: no area": (f"{PR}:0", put("DisplayedAreaSelectionSequence", []), "has 0 displayed areas"),
    "PR: outline beyond the image": (f"{PR}:0", outline(put("GraphicData", [1, 1, 500, 1, 9, 9, 1, 1])), "leaves its"),
    "PR: outline before the image": (f"{PR}:0", outline(put("GraphicData", [-1, 1, 9, 1, 9, 9, -1, 1])), "leaves its"),
    "PR: open outline": (f"{PR}:0", outline(put("GraphicData", [1, 1, 9, 1, 9, 9, 1, 2])), "is not closed"),
    "PR: miscounted outline": (f"{PR}:0", outline(put("NumberOfGraphicPoints", 9)), "as many points as it says"),
    "PR: outline in shares": (f"{PR}:0", outline(put("GraphicAnnotationUnits", "DISPLAY")), "in pixels"),
    "PR: shared tracking": (f"{PR}:0", same_tracking("GraphicAnnotationSequence", drawn), "is used 2 times"),
    "PR: no tracking": (f"{PR}:0", outline(remove("TrackingUID")), "tracking UID ''"),
    "PR: long caption": (f"{PR}:0", caption(put("UnformattedTextValue", "x" * 65)), "one caption of 1 to 64"),
    "PR: unknown layer": (f"{PR}:0", drop_last("GraphicLayerSequence"), "is used but not described"),
    "PR: layers of one order": (
        f"{PR}:0",
        within("GraphicLayerSequence", put("GraphicLayerOrder", 2)),
        "have the same order",
    ),
    "PR: empty layer": (
        "refused",
        both(
            append_first("GraphicLayerSequence"),
            lambda dataset: dataset.GraphicLayerSequence.append(layer_of("OTHER", 5)),
        ),
        "has nothing on it",
    ),
    "PR: chest with a side": (f"{PR}:0", put("Laterality", "L"), "must not be present"),
    "PR: breast without": ("breast", remove("Laterality"), "must be present"),
    "PR: no polarity": (f"{PR}:0", remove("PresentationLUTShape"), "'PresentationLUTShape' is None"),
    "PR: two windows for an image": (f"{PR}:0", append_first("SoftcopyVOILUTSequence"), "has 2 VOI"),
    # Frames
    "SEG: frame not described": (f"{SEG}:0", drop_last("PerFrameFunctionalGroupsSequence"), "but 3 frames are"),
    "SEG: short pixels": (f"{SEG}:0", put("PixelData", b"\1\1"), "has 2 bytes"),
    "SEG: other organization": (
        f"{SEG}:0",
        within("DimensionOrganizationSequence", put("DimensionOrganizationUID", "1.2.3")),
        "of an organization that is not listed",
    ),
    "SEG: one index too few": (
        f"{SEG}:0",
        frame(within("FrameContentSequence", put("DimensionIndexValues", [1]))),
        "one index for each dimension",
    ),
    "SEG: same index": (
        f"{SEG}:0",
        frame(within("FrameContentSequence", put("DimensionIndexValues", [1, 1])), index=0),
        "two frames have the same index",
    ),
    "SEG: two places of one rank": (
        f"{SEG}:0",
        frame(within("PlanePositionSequence", put("ImagePositionPatient", [0, 0, 99]))),
        "is not one number",
    ),
    "PM: ranks against the stack": (f"{PM}:0", reversed_ranks, "does not rise with it"),
    "SEG: no frame of reference": (f"{SEG}:0", remove("FrameOfReferenceUID"), "'FrameOfReferenceUID' is missing"),
    "SEG: no spacing": (
        f"{SEG}:0",
        shared(within("PixelMeasuresSequence", put("SpacingBetweenSlices", "0"))),
        "each must be above 0",
    ),
    "SEG: skew": (
        f"{SEG}:0",
        shared(within("PlaneOrientationSequence", put("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]))),
        "at right angles",
    ),
    "SEG: source not listed": (
        f"{SEG}:0",
        within("ReferencedSeriesSequence", drop_last("ReferencedInstanceSequence")),
        "is not in 'ReferencedSeriesSequence'",
    ),
    "SEG: listed without frame": (
        f"{SEG}:0",
        within(
            "ReferencedSeriesSequence", within("ReferencedInstanceSequence", put("ReferencedSOPInstanceUID", "1.2.3"))
        ),
        "no frame is made from it",
    ),
    "PM: no content label": (f"{PM}:0", put("ContentLabel", ""), "'ContentLabel' is ''"),
    "SEG: no result line": (f"{SEG}:0", put("ContentDescription", ""), "'ContentDescription' is empty"),
    # Segmentations
    "SEG: form of another class": (f"{SEG}:0", put("SegmentationType", "LABELMAP"), "does not go with SOP class"),
    "SEG: eight bits": (f"{SEG}:0", put("BitsAllocated", 8), "which does not go with 'BINARY'"),
    "SEG: original": (f"{SEG}:0", put("ImageType", ["ORIGINAL", "PRIMARY"]), "'ImageType' is"),
    "SEG: modality": (f"{SEG}:0", put("Modality", "CT"), "'Modality' is 'CT'"),
    "SEG: numbers from 2": (f"{SEG}:0", segment(put("SegmentNumber", 2)), "segments are numbered"),
    "SEG: no background": (f"{SEG}:1", lambda dataset: dataset.SegmentSequence.pop(0), "segments are numbered"),
    "SEG: no label": (f"{SEG}:0", segment(put("SegmentLabel", "")), "label of 1 to 64"),
    "SEG: no property": (f"{SEG}:0", segment(remove("SegmentedPropertyTypeCodeSequence")), "does not have one"),
    "SEG: by hand": (f"{SEG}:0", segment(put("SegmentAlgorithmType", "MANUAL")), "which algorithm drew it"),
    "SEG: shared tracking": (f"{SEG}:0", same_tracking("SegmentSequence", same), "is used 2 times"),
    "SEG: no tracking identifier": (f"{SEG}:0", segment(remove("TrackingID")), "no tracking identifier"),
    "SEG: frame of no segment": (
        f"{SEG}:0",
        frame(within("SegmentIdentificationSequence", put("ReferencedSegmentNumber", 9))),
        "of segment 9, which is not described",
    ),
    "SEG: frame of another segment": (
        f"{SEG}:0",
        frame(within("SegmentIdentificationSequence", put("ReferencedSegmentNumber", 2))),
        "another segment than the frame is of",
    ),
    "SEG: segment without frame": (f"{SEG}:2", segment(put("SegmentNumber", 2)), "segment 2 has no frame"),
    "SEG: empty frame": (f"{SEG}:0", empty_frame, "frame 1 is empty"),
    "SEG: unknown label": (f"{SEG}:1", strange_label, "label 77 is not described"),
    "SEG: label without pixel": (f"{SEG}:1", segment(put("SegmentNumber", 5), index=-1), "segment 5 has no pixel"),
    # Parametric maps
    "PM: another class": (
        f"{PM}:0",
        both(put("ImageType", ["DERIVED", "PRIMARY"]), remove("FloatPixelData")),
        "'ImageType' is",
    ),
    "PM: integers": (f"{PM}:0", put("BitsAllocated", 16), "are not 32-bit floating point"),
    "PM: no quantity": (
        f"{PM}:0",
        shared(within("RealWorldValueMappingSequence", remove("QuantityDefinitionSequence"))),
        "quantity is not defined",
    ),
    "PM: no unit": (
        f"{PM}:0",
        shared(within("RealWorldValueMappingSequence", remove("MeasurementUnitsCodeSequence"))),
        "unit is not given",
    ),
    "PM: scaled": (
        f"{PM}:0",
        shared(within("RealWorldValueMappingSequence", put("RealWorldValueSlope", 2.0))),
        "not mapped one to one",
    ),
    "PM: no mapping": (f"{PM}:0", shared(remove("RealWorldValueMappingSequence")), "there is not one"),
    "PM: no anatomy": (f"{PM}:0", shared(remove("FrameAnatomySequence")), "'FrameAnatomySequence' does not"),
    "PM: no number": (f"{PM}:0", value(float("nan")), "no finite number"),
    "PM: out of range": (f"{PM}:0", value(7.0), "lies outside"),
    # Key objects
    "KO: modality": (f"{KO}:0", put("Modality", "SR"), "'Modality' is 'SR'"),
    "KO: for diagnosis": (
        f"{KO}:0",
        within("ConceptNameCodeSequence", put("CodeValue", "113007")),
        "the title is ('113007'",
    ),
    "KO: no template": (f"{KO}:0", remove("ContentTemplateSequence"), "the root template is ''"),
    "KO: no warning": (f"{KO}:0", say("Look at this."), "nothing says 'not for diagnosis'"),
    "KO: no description": (f"{KO}:0", without("TEXT"), "there are 0 descriptions"),
    "KO: routine": (f"{KO}:0", put("SeriesDescription", "[DEMO] AI key images (research)"), "'review first'"),
    "KO: image with a name": (f"{KO}:0", named_image, "have a concept name"),
    "KO: evidence elsewhere": (f"{KO}:0", key_evidence(other_evidence), "is selected but is no evidence"),
    "KO: other evidence": (f"{KO}:0", key_evidence(other_evidence), "1.2.3 is evidence but not selected"),
    "KO: selected twice": (f"{KO}:0", selected_twice, "is selected 2 times"),
    "KO: nothing selected": (f"{KO}:0", without("IMAGE"), "nothing is selected"),
    "KO: another study": (
        f"{KO}:0",
        within("CurrentRequestedProcedureEvidenceSequence", put("StudyInstanceUID", "1.2.3")),
        "is of study 1.2.3",
    ),
}


def layer_of(name: str, order: int) -> Dataset:
    layer = Dataset()
    layer.GraphicLayer, layer.GraphicLayerOrder = name, order
    return layer


@pytest.mark.filterwarnings("ignore:A value of type")
@pytest.mark.parametrize("defect", DEFECTS)
def test_defects_are_held_back(defect: str, originals: dict[str, Path], tmp_path: Path) -> None:
    original, change, expected = DEFECTS[defect]
    assert check_object(originals[original], validators=()) == (), "the object is sound before it is changed"
    dataset = pydicom.dcmread(originals[original])
    change(dataset)
    pydicom.dcmwrite(tmp_path / "changed.dcm", dataset)
    problems = check_object(tmp_path / "changed.dcm", validators=())
    assert any(expected in problem for problem in problems), problems


def test_every_rule_is_seen_to_hold_something_back(originals: dict[str, Path], tmp_path: Path) -> None:
    """A rule that no defect of the table breaks would be a rule that cannot fail."""
    idle = {rule for rules in RULES.values() for rule in rules if rule.__module__.endswith(OURS)}
    assert idle
    for original, change, _ in DEFECTS.values():
        dataset = pydicom.dcmread(originals[original])
        change(dataset)
        idle -= {rule for rule in idle & set(RULES[str(dataset.SOPClassUID)]) if complains(rule, dataset)}
    assert not idle


OURS = ("lint.presentation", "lint.frames", "lint.segmentation", "lint.parametric_map", "lint.key_objects")


def complains(rule: Callable[[Dataset], list[str]], dataset: Dataset) -> bool:
    try:
        return bool(rule(dataset))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        return True


def test_rules_have_names_of_their_own() -> None:
    rules = {rule for rules in RULES.values() for rule in rules} | set(OBJECT_RULES)
    assert len({rule.__name__ for rule in rules}) == len(rules)
