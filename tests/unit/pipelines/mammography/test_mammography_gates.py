# SPDX-License-Identifier: Apache-2.0
import pytest
from mammography_instances import ACCEPTANCE, PROCESSING, SECONDARY_CAPTURE, TOMOSYNTHESIS, mammogram

from service.domain.study import Completeness, Refusal, Selection
from service.pipelines.mammography import MammographyPipeline
from service.pipelines.mammography.gates import FLAG_CODES

PIPELINE = MammographyPipeline()
STANDARD = [mammogram(side, view) for side in "LR" for view in ("MLO", "CC")]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sop_class": PROCESSING}, "presentation_intent"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "presentation_intent"),
        ({"sop_class": TOMOSYNTHESIS}, "tomosynthesis"),
        ({"sop_class": SECONDARY_CAPTURE}, "digitised_film"),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.1.1", "BodyPartExamined": "CHEST"}, "not_a_mammogram"),
        ({"ImageType": ("DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D")}, "image_type"),
        ({"ImageType": ("DERIVED", "PRIMARY", "STEREO", "LEFT")}, "image_type"),
        ({"view": "ML"}, "view"),
        ({"ViewCodeSequence__CodeValue": None, "ViewPosition": None}, "view"),
        ({"ViewCodeSequence__ViewModifierCodeSequence__CodeValue": "399055006"}, "view_modifier"),
        ({"ViewCodeSequence__ViewModifierCodeSequence__CodeValue": ("442581004", "399163009")}, "view_modifier"),
        ({"ImageLaterality": None}, "laterality"),
        ({"ImageLaterality": "B"}, "laterality"),
        ({"ImageLaterality": "R", "PatientOrientation": ("A", "FR")}, "laterality_disagrees"),
        ({"ImageLaterality": "R", "PatientOrientation": ("HL", "P")}, "laterality_disagrees"),
        ({"ImageLaterality": "L", "PatientOrientation": ("P", "FL")}, "laterality_disagrees"),
        ({"BreastImplantPresent": "YES"}, "implant"),
        ({"ViewCodeSequence__CodeValue": "127457009"}, "specimen"),
        ({"EstimatedRadiographicMagnificationFactor": 1.5}, "magnification"),
        ({"ImagerPixelSpacing": None}, "pixel_spacing"),
        ({"ImagerPixelSpacing": (0.2, 0.2)}, "pixel_spacing"),
        ({"ImagerPixelSpacing": (0.1, 0.01)}, "pixel_spacing"),
        ({"NumberOfFrames": 60}, "multi_frame"),
    ],
)
def test_a_view_is_refused_with_its_reason(changes, code):
    decision = PIPELINE.select([mammogram(**changes)], ACCEPTANCE)
    assert isinstance(decision, Refusal)
    assert code in {reason.code for reason in decision.reasons}
    assert all(len(reason.message) > 30 for reason in decision.reasons)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ViewCodeSequence__CodeValue": "R-10226"},
        {"ViewCodeSequence__CodeValue": None},
        {"ImageLaterality": None, "Laterality": "L"},
        {"PatientOrientation": ("A", "FR")},
        {"PatientOrientation": ("P", "HL")},
        {"PatientOrientation": ("RF", "A")},
        {"PatientOrientation": ("A", "F")},
        {"ImageLaterality": "R", "PatientOrientation": ("P", "FL")},
        {"ImageLaterality": "R", "PatientOrientation": ("P", "L")},
        {"ImageLaterality": "R", "PatientOrientation": ("A", "R")},
        {"PresentationIntentType": None},
        {"ImagerPixelSpacing": (0.05, 0.05)},
        {"ImagerPixelSpacing": (0.0940909, 0.0940909)},
        {"EstimatedRadiographicMagnificationFactor": 1.04},
        {"ViewCodeSequence__ViewModifierCodeSequence__CodeValue": "442581004"},
    ],
)
def test_a_good_view_is_accepted_without_flags(changes):
    decision = PIPELINE.select([mammogram(**changes)], ACCEPTANCE)
    assert isinstance(decision, Selection)
    assert decision.flags == ()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"PartialView": "YES"}, "partial_view"),
        ({"PatientSex": "M"}, "patient_sex"),
        ({"LossyImageCompression": "01"}, "lossy"),
    ],
)
def test_a_flagged_view_is_still_analysed(changes, code):
    decision = PIPELINE.select([mammogram(**changes)], ACCEPTANCE)
    assert isinstance(decision, Selection)
    assert [flag.code for flag in decision.flags] == [code]


def test_every_failed_gate_gives_its_own_reason():
    decision = PIPELINE.select([mammogram(BreastImplantPresent="YES", ImagerPixelSpacing=(0.2, 0.2))], ACCEPTANCE)
    assert isinstance(decision, Refusal)
    assert [reason.code for reason in decision.reasons] == ["implant", "pixel_spacing"]


def test_one_bad_view_does_not_sink_the_exam():
    exam = [mammogram(side, view) for side in "LR" for view in ("MLO", "CC")]
    exam[0] = mammogram("L", "MLO", BreastImplantPresent="YES")
    decision = PIPELINE.select(exam, ACCEPTANCE)
    assert isinstance(decision, Selection)
    assert len(decision.instances) == 3
    assert [flag.code for flag in decision.flags] == ["implant"]
    assert "left MLO" in decision.flags[0].message


def test_views_come_in_standard_order_and_raw_siblings_are_left_out_silently():
    raw = [mammogram(side, view, sop_class=PROCESSING) for side in "LR" for view in ("MLO", "CC")]
    decision = PIPELINE.select([*raw, *STANDARD], ACCEPTANCE)
    assert isinstance(decision, Selection)
    order = [(instance.text("ImageLaterality"), instance.text("ViewPosition")) for instance in decision.instances]
    assert order == [("R", "CC"), ("R", "MLO"), ("L", "CC"), ("L", "MLO")]
    assert {instance.sop_class_uid for instance in decision.instances} == {STANDARD[0].sop_class_uid}
    assert decision.flags == ()


def test_tomosynthesis_beside_standard_views_is_flagged_and_makes_nothing_partial():
    decision = PIPELINE.select([*STANDARD, mammogram(sop_class=TOMOSYNTHESIS)], ACCEPTANCE)
    assert isinstance(decision, Selection)
    assert len(decision.instances) == 4
    assert [flag.code for flag in decision.flags] == ["tomosynthesis"]
    assert "tomosynthesis" in FLAG_CODES


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ([], Completeness.NOT_WANTED),
        ([mammogram(sop_class=SECONDARY_CAPTURE, Modality="OT", BodyPartExamined="CHEST")], Completeness.NOT_WANTED),
        (STANDARD[:3], Completeness.INCOMPLETE),
        ([mammogram(view=view) for view in ("CC", "MLO")] * 2, Completeness.INCOMPLETE),
        ([mammogram(s, v, sop_class=PROCESSING) for s in "LR" for v in ("CC", "MLO")], Completeness.INCOMPLETE),
        (
            [*STANDARD[:3], mammogram("R", "CC", ViewCodeSequence__ViewModifierCodeSequence__CodeValue="399055006")],
            Completeness.INCOMPLETE,
        ),
        ([*STANDARD[:3], mammogram("R", "CC", EstimatedRadiographicMagnificationFactor=1.8)], Completeness.INCOMPLETE),
        (STANDARD, Completeness.COMPLETE),
        ([*STANDARD, mammogram(view="ML")], Completeness.COMPLETE),
    ],
)
def test_an_exam_is_complete_with_both_views_of_both_breasts(instances, expected):
    assert PIPELINE.completeness(instances) is expected


def test_a_study_without_mammograms_is_refused():
    decision = PIPELINE.select(
        [mammogram(sop_class=SECONDARY_CAPTURE, Modality="OT", BodyPartExamined=None)], ACCEPTANCE
    )
    assert isinstance(decision, Refusal)
    assert decision.reasons[0].code == "no_mammogram"


def test_a_view_that_is_there_twice_is_told_once_and_read():
    again = [mammogram("L", "CC"), *STANDARD]
    decision = PIPELINE.select(again, ACCEPTANCE)
    assert isinstance(decision, Selection)
    assert len(decision.instances) == 5
    assert [flag.code for flag in decision.flags] == ["repeated_view"]
    assert decision.flags[0].message.startswith("left CC is there 2 times;")
    assert {"repeated_view", "laterality_doubtful"} <= FLAG_CODES, "they make nothing partial"


@pytest.mark.parametrize(
    ("views", "codes"),
    [
        (("LCC", "LMLO", "RCC", "RCC", "RMLO"), ["repeated_view"]),
        (("LMLO", "RCC", "RCC", "RMLO"), ["laterality_doubtful"]),
        (("RCC", "RCC", "RMLO"), ["repeated_view"]),
        (("LCC", "LMLO"), []),
    ],
)
def test_a_side_is_doubted_where_it_has_what_the_other_lacks(views, codes):
    decision = PIPELINE.select([mammogram(view[0], view[1:]) for view in views], ACCEPTANCE)
    assert isinstance(decision, Selection)
    assert [flag.code for flag in decision.flags] == codes


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"SpecimenDescriptionSequence__SpecimenUID": "2.25.9"}, "specimen"),
        ({"SpecimenDescriptionSequence__SpecimenIdentifier": "S-1"}, "specimen"),
        ({"DetectorType": "FILM"}, "digitised_film"),
    ],
)
def test_what_is_no_digital_image_of_a_patient_is_refused(changes, code):
    decision = PIPELINE.select([mammogram(**changes)], ACCEPTANCE)
    assert isinstance(decision, Refusal)
    assert [reason.code for reason in decision.reasons] == [code]
