# SPDX-License-Identifier: Apache-2.0
"""Gate G0 and selection, on header attributes alone."""

import pytest

from service.domain.result import Reason
from service.domain.study import Completeness, Refusal, Selection
from service.pipelines.pneumoconiosis import PneumoconiosisPipeline
from service.pipelines.pneumoconiosis.gates import header_flags, header_reasons

CR = "1.2.840.10008.5.1.4.1.1.1"
FOR_PROCESSING = "1.2.840.10008.5.1.4.1.1.1.1.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
PIPELINE = PneumoconiosisPipeline()


def codes(reasons: tuple[Reason, ...]) -> set[str]:
    return {reason.code for reason in reasons}


def test_a_perfect_film_passes_without_a_word(film, acceptance):
    assert header_reasons(film(), acceptance) == ()
    assert header_reasons(film(StudyDescription="MOBILE SCREENING UNIT"), acceptance) == ()
    assert header_reasons(film(ViewPosition=None, **{"ViewCodeSequence.CodeValue": "272479007"}), acceptance) == ()
    assert header_flags(film(), acceptance) == ()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sop_class_uid": SECONDARY_CAPTURE}, "sop_class"),
        ({"sop_class_uid": FOR_PROCESSING, "PresentationIntentType": "FOR PROCESSING"}, "presentation_intent"),
        ({"ViewPosition": "AP"}, "view"),
        ({"ViewPosition": "LL"}, "view"),
        ({"ViewPosition": None, "ViewCodeSequence.CodeValue": "399348003"}, "view"),
        ({"ViewPosition": "PA", "ViewCodeSequence.CodeValue": "399173006"}, "view"),
        ({"BodyPartExamined": "HIP"}, "body_part"),
        ({"BodyPartExamined": None, "AnatomicRegionSequence.CodeValue": "29836001"}, "body_part"),
        ({"ImageType": ("DERIVED", "PRIMARY", "BONE_SUPPRESSED")}, "derivation"),
        ({"SeriesDescription": "Chest PA dual energy soft"}, "derivation"),
        ({"SeriesDescription": "Chest portable"}, "portable"),
        ({"StudyDescription": "BEDSIDE RADIOGRAPH", "ViewPosition": None}, "portable"),
        ({"ImagerPixelSpacing": None}, "pixel_spacing_missing"),
        ({"ImagerPixelSpacing": None, "PixelSpacing": (0.0, 0.0)}, "pixel_spacing_missing"),
        ({"ImagerPixelSpacing": (0.4, 0.4)}, "pixel_spacing"),
        ({"NumberOfFrames": 2}, "multi_frame"),
        ({"BitsStored": 8}, "bits_stored"),
        ({"LossyImageCompression": "01", "LossyImageCompressionRatio": 35.0}, "lossy_ratio"),
        ({"PatientAge": "011M"}, "age"),
        ({"PatientAge": None, "PatientBirthDate": "20150101", "StudyDate": "20260101"}, "age"),
        ({"PatientOrientation": ("A", "F")}, "orientation"),
    ],
)
def test_each_gate_refuses_with_its_own_code(film, acceptance, changes, code):
    assert code in codes(header_reasons(film(**changes), acceptance))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ViewPosition": None}, "view_unknown"),
        ({"BodyPartExamined": None}, "body_part_unknown"),
        ({"PatientOrientation": None}, "orientation_unknown"),
        ({"PatientAge": None}, "age_unknown"),
        ({"LossyImageCompression": "01", "LossyImageCompressionRatio": 8.0}, "lossy"),
        ({"LossyImageCompression": "01"}, "lossy"),
        ({"ImagerPixelSpacing": (0.25, 0.25)}, "pixel_spacing_coarse"),
        ({"ImagerPixelSpacing": None, "PixelSpacing": (0.2, 0.2)}, "pixel_spacing_uncalibrated"),
        ({"BurnedInAnnotation": "YES"}, "burned_in"),
    ],
)
def test_what_is_doubtful_is_flagged_and_let_through(film, acceptance, changes, code):
    instance = film(**changes)
    assert header_reasons(instance, acceptance) == ()
    assert code in codes(header_flags(instance, acceptance))


@pytest.mark.parametrize(
    "changes",
    [
        {"sop_class_uid": CR, "PresentationIntentType": None, "Modality": "CR"},
        {"ViewPosition": None, "ViewCodeSequence.CodeValue": "R-10214"},
        {"BodyPartExamined": None, "AnatomicRegionSequence.CodeValue": "51185008"},
        {"PatientOrientation": ("F", "R")},
        {"QualityControlImage": "YES"},
        {"PatientAge": "016Y"},
    ],
)
def test_other_ways_to_say_the_same_pass(film, acceptance, changes):
    assert header_reasons(film(**changes), acceptance) == ()


def test_every_failed_gate_gives_one_reason(film, acceptance):
    refused = header_reasons(film(ViewPosition="AP", BodyPartExamined="HIP", BitsStored=8), acceptance)
    assert [reason.code for reason in refused] == ["view", "body_part", "bits_stored"]
    assert all(reason.message.startswith("(0") for reason in refused)


def test_completeness_waits_for_the_pa_view(film):
    lateral, unknown, other = film(ViewPosition="LL"), film(ViewPosition=None), film(sop_class_uid="1.2", Modality="CT")
    assert PIPELINE.completeness([other]) is Completeness.NOT_WANTED
    assert PIPELINE.completeness([lateral, unknown]) is Completeness.INCOMPLETE
    assert PIPELINE.completeness([lateral, film()]) is Completeness.COMPLETE


def test_the_largest_matrix_is_chosen_and_the_choice_is_flagged(film, acceptance):
    small, large = film(uid="1.2.4", Rows=1000), film(uid="1.2.5")
    for order in ([small, large], [large, small]):
        chosen = PIPELINE.select(order, acceptance)
        assert isinstance(chosen, Selection)
        assert chosen.instances == (large,)
        assert codes(chosen.flags) == {"several_films"}


def test_a_study_without_a_film_that_passes_is_refused_with_the_reasons_of_the_closest(film, acceptance):
    lateral, hip = film(uid="1.2.4", ViewPosition="LL"), film(uid="1.2.5", ViewPosition="AP", BodyPartExamined="HIP")
    refusal = PIPELINE.select([hip, lateral], acceptance)
    assert isinstance(refusal, Refusal)
    assert codes(refusal.reasons) == {"view"}
    assert [instance.sop_instance_uid for instance in refusal.instances] == ["1.2.4", "1.2.5"]


def test_a_study_without_radiographs_is_refused(film, acceptance):
    refusal = PIPELINE.select([film(sop_class_uid="1.2", Modality="CT")], acceptance)
    assert isinstance(refusal, Refusal)
    assert codes(refusal.reasons) == {"no_radiograph"}
