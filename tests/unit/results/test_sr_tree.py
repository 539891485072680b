# SPDX-License-Identifier: Apache-2.0
"""Content trees: what is built is what is written, and references lead where they were meant to lead."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from harness.studies import result_of, source_dataset, stored
from service.codes import code, dcm, private
from service.domain.result import Outcome
from service.results.report.sr_document import Identity, Reference, device_observer, document, language
from service.results.report.sr_tree import (
    Coded,
    Container,
    Coordinates,
    Date,
    GraphicType,
    Image,
    Item,
    Link,
    Number,
    Relationship,
    Text,
    Time,
    UidReference,
    by_reference,
    by_value,
    codes_of,
    contains,
    items_of,
    write_tree,
)

MM = code("UCUM", "mm")


def written(root: Item) -> Dataset:
    dataset = Dataset()
    write_tree(root, dataset)
    return dataset


def at(dataset: Dataset, path: list[int]) -> Dataset:
    """Follow a content item identifier from the root, whose own position is 1."""
    item = dataset
    for position in path[1:]:
        item = item.ContentSequence[position - 1]
    return item


def leaf(words: str) -> Item:
    return Item(dcm("121106"), Text(words))


def test_each_value_type_has_its_attributes(tmp_path: Path) -> None:
    image = stored(source_dataset("CR"), tmp_path)
    values = (
        Text("words"),
        Coded(dcm("111222")),
        Number(12.5, MM),
        UidReference("1.2.3"),
        Date("20260701"),
        Time("093015"),
        Image(image, frame_number=2),
        Coordinates(GraphicType.POLYLINE, ((1.5, 2), (3, 4))),
    )
    dataset = written(Item(dcm("111028"), Container("4000"), contains(*(Item(None, value) for value in values))))
    text, coded, number, uid, date, time, picture, coordinates = dataset.ContentSequence
    types = [item.ValueType for item in dataset.ContentSequence]
    assert types == ["TEXT", "CODE", "NUM", "UIDREF", "DATE", "TIME", "IMAGE", "SCOORD"]
    assert (dataset.ValueType, dataset.ContinuityOfContent) == ("CONTAINER", "SEPARATE")
    assert dataset.ContentTemplateSequence[0].TemplateIdentifier == "4000"
    assert text.TextValue == "words"
    assert coded.ConceptCodeSequence[0].CodeMeaning == "Succeeded"
    assert number.MeasuredValueSequence[0].NumericValue == 12.5
    assert number.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "mm"
    assert (uid.UID, date.Date, time.Time) == ("1.2.3", "20260701", "093015")
    assert picture.ReferencedSOPSequence[0].ReferencedFrameNumber == 2
    assert coordinates.GraphicData == [1.5, 2, 3, 4]
    assert all("ConceptNameCodeSequence" not in item for item in dataset.ContentSequence)


def test_reference_is_the_place_of_its_target() -> None:
    target = leaf("meant")
    selected = Item(dcm("111010"), Text("from"), by_reference(Relationship.SELECTED_FROM, target))
    library = Item(dcm("111028"), Container(), contains(leaf("first"), target))
    dataset = written(Item(dcm("111036"), Container(), contains(leaf("before"), library, selected)))
    reference = dataset.ContentSequence[2].ContentSequence[0]
    assert reference.ReferencedContentItemIdentifier == [1, 2, 2]
    assert at(dataset, list(reference.ReferencedContentItemIdentifier)).TextValue == "meant"
    assert reference.RelationshipType == "SELECTED FROM"
    assert "ValueType" not in reference


@given(st.recursive(st.just([]), lambda below: st.lists(below, max_size=4), max_leaves=12), st.data())
def test_every_item_of_every_tree_can_be_referred_to(shape: list[object], data: st.DataObject) -> None:
    counter = iter(range(10_000))

    def grown(children: list[object]) -> Item:
        links = contains(*(grown(child) for child in children if isinstance(child, list)))
        return Item(dcm("121106"), Text(str(next(counter))), links)

    tree = grown(shape)
    target = data.draw(st.sampled_from(list(items_of(tree))))
    place = data.draw(st.integers(0, 3))
    pointer = Item(dcm("111010"), Text("pointer"), by_reference(Relationship.INFERRED_FROM, target))
    fillers = [leaf(f"filler {index}") for index in range(place)]
    dataset = written(Item(dcm("111036"), Container(), contains(*fillers, pointer, tree)))
    (reference,) = dataset.ContentSequence[place].ContentSequence
    assert isinstance(target.value, Text)
    assert at(dataset, list(reference.ReferencedContentItemIdentifier)).TextValue == target.value.text


def test_reference_that_leads_nowhere_is_refused() -> None:
    lost = leaf("never added")
    with pytest.raises(ValueError, match="SELECTED FROM refers to the TEXT item 'Comment', which is not in the tree"):
        written(Item(dcm("111036"), Container(), by_reference(Relationship.SELECTED_FROM, lost)))


def test_item_that_stands_twice_is_refused() -> None:
    twice = leaf("same")
    with pytest.raises(ValueError, match="stands in the tree twice"):
        written(Item(dcm("111036"), Container(), (*contains(twice), *contains(twice))))


def test_number_that_dicom_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="non-finite"):
        written(Item(dcm("111026"), Number(float("inf"), MM)))


def test_numbers_fit_a_decimal_string() -> None:
    (measured,) = written(Item(dcm("111026"), Number(1 / 3, MM))).MeasuredValueSequence
    assert len(str(measured.NumericValue)) <= 16
    assert float(measured.NumericValue) == pytest.approx(1 / 3)


def test_codes_are_collected_with_values_and_units() -> None:
    root = Item(None, Container(), contains(Item(private("SCORE"), Number(1, MM)), Item(dcm("111017"), Coded(MM))))
    assert set(codes_of(root)) == {private("SCORE"), MM, dcm("111017")}


def test_document_lists_evidence_predecessors_and_schemes(tmp_path: Path) -> None:
    instances = [stored(source_dataset("CR", number), tmp_path) for number in (1, 2)]
    root = Item(dcm("112000"), Container("4100"), contains(Item(private("SCORE"), Number(1, MM))))
    dataset = document(
        root,
        Identity(sop_class_uid="1.2.1", sop_instance_uid="1.2.2", series_instance_uid="1.2.3", series_number=9021),
        study_instance_uid="1.2.4",
        evidence=instances,
        predecessors=[Reference(sop_class_uid="1.2.1", sop_instance_uid="1.2.5", series_instance_uid="1.2.6")],
    )
    (study,) = dataset.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    listed = [item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence]
    assert listed == [instance.sop_instance_uid for instance in instances]
    (earlier,) = dataset.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    assert (earlier.SeriesInstanceUID, earlier.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) == ("1.2.6", "1.2.5")
    schemes = [item.CodingSchemeDesignator for item in dataset.CodingSchemeIdentificationSequence]
    assert schemes == ["99DOKUEI", "DCM", "UCUM"]
    assert (dataset.Modality, dataset.SeriesNumber, dataset.CompletionFlag) == ("SR", 9021, "COMPLETE")


def test_link_by_value_is_the_default() -> None:
    item = leaf("x")
    assert by_value(Relationship.HAS_PROPERTIES, item) == (Link(Relationship.HAS_PROPERTIES, item),)


def test_device_observer_names_the_device_and_not_a_person(tmp_path: Path) -> None:
    source = stored(source_dataset("CR"), tmp_path)
    result = result_of("CR", (source,), Outcome.FINDINGS)
    dataset = written(Item(dcm("112000"), Container(), (*language(code("RFC5646", "ja")), *device_observer(result))))
    tag, kind, uid, *texts = dataset.ContentSequence
    assert (tag.RelationshipType, tag.ConceptCodeSequence[0].CodeValue) == ("HAS CONCEPT MOD", "ja")
    assert (kind.RelationshipType, kind.ConceptCodeSequence[0].CodeMeaning) == ("HAS OBS CONTEXT", "Device")
    assert str(uid.UID).startswith("2.25.")
    assert [item.TextValue for item in texts[:3]] == ["DOKUEI", "Dokuei project", "DOKUEI-DEMO"]
