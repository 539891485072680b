# SPDX-License-Identifier: Apache-2.0
"""One report in several SOP classes: which, in what order, and that they say the same."""

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset

from harness.studies import context_of, prior_report, result_of
from service.domain.instance import Instance
from service.domain.profile import DEFAULT_PROFILE, EncodingProfile, Language, ReportClass, TrackingForm
from service.domain.result import Outcome
from service.ports import EncodedObject, ResultKind
from service.results import ENCODERS
from service.results.lint.report import TRACKING_IDENTIFIER, children, concept, content_items, measurement_groups

COMPREHENSIVE_3D, COMPREHENSIVE, ENHANCED, BASIC = (
    f"1.2.840.10008.5.1.4.1.1.88.{number}" for number in (34, 33, 22, 11)
)
AIR = EncodingProfile(report_class=ReportClass.COMPREHENSIVE_3D)
outcomes = pytest.mark.parametrize("outcome", list(Outcome))


def forms(source: Instance, outcome: Outcome, profile: EncodingProfile, folder: Path) -> tuple[EncodedObject, ...]:
    context = context_of(source, profile=profile)
    return ENCODERS[ResultKind.SR](result_of("CR", (source,), outcome), context, folder)


def bare(dataset: Dataset) -> Dataset:
    """Leave what differs between the forms of one report out."""
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"):
        del dataset[keyword]
    return dataset


@outcomes
@pytest.mark.parametrize(
    ("profile", "classes"),
    [
        (DEFAULT_PROFILE, [COMPREHENSIVE, ENHANCED, BASIC]),
        (AIR, [COMPREHENSIVE_3D, COMPREHENSIVE, ENHANCED, BASIC]),
    ],
)
def test_forms_stand_in_the_order_in_which_they_are_offered(
    radiograph: Instance, outcome: Outcome, profile: EncodingProfile, classes: list[str], tmp_path: Path
) -> None:
    made = forms(radiograph, outcome, profile, tmp_path)
    assert [item.sop_class_uid for item in made] == classes
    assert [(item.slot, item.rank) for item in made] == [("report", rank) for rank in range(len(classes))]
    assert len({item.sop_instance_uid for item in made}) == len(classes)
    headers = [pydicom.dcmread(item.path) for item in made]
    assert [header.SOPClassUID for header in headers] == classes
    assert len({header.SeriesInstanceUID for header in headers}) == len(classes)


def test_forms_say_the_same(radiograph: Instance, tmp_path: Path) -> None:
    *reports, words = [pydicom.dcmread(item.path) for item in forms(radiograph, Outcome.FINDINGS, AIR, tmp_path)]
    first, second, third = map(bare, reports)
    assert first == second == third
    assert len(measurement_groups(first)) == 2
    assert words.ConceptNameCodeSequence[0].CodeValue == "18748-4"


def test_a_profile_has_objects_of_its_own(radiograph: Instance, tmp_path: Path) -> None:
    profiles = (DEFAULT_PROFILE, AIR, EncodingProfile(language=Language.JAPANESE))
    made = [item for profile in profiles for item in forms(radiograph, Outcome.FINDINGS, profile, tmp_path)]
    assert len({item.sop_instance_uid for item in made}) == len(made) == 10


def identifiers(dataset: Dataset) -> list[str]:
    return [str(children(group, TRACKING_IDENTIFIER)[0].TextValue) for group in measurement_groups(dataset)]


def test_tracking_identifiers_have_the_form_that_is_asked_for(radiograph: Instance, tmp_path: Path) -> None:
    def of(tracking: TrackingForm) -> list[str]:
        made = forms(radiograph, Outcome.FINDINGS, EncodingProfile(tracking=tracking), tmp_path)
        return identifiers(pydicom.dcmread(made[0].path))

    assert of(TrackingForm.PLAIN) == ["pneumoconiosis zone-RU", "pneumoconiosis zone-LU"]
    assert of(TrackingForm.CORNERSTONE) == [
        "Cornerstone3DTools@^0.1.0:RectangleROI:pneumoconiosis zone-RU",
        "Cornerstone3DTools@^0.1.0:PlanarFreehandROI:pneumoconiosis zone-LU",
    ]


def test_codes_stay_english_in_a_japanese_report(radiograph: Instance, tmp_path: Path) -> None:
    made = forms(radiograph, Outcome.FINDINGS, EncodingProfile(language=Language.JAPANESE), tmp_path)
    for item in made:
        dataset = pydicom.dcmread(item.path)
        names = [concept(entry)[2] for entry in content_items(dataset)]
        assert all(name.isascii() for name in names)
        assert any(not str(entry.TextValue).isascii() for entry in content_items(dataset) if "TextValue" in entry)


def test_every_report_names_package_and_operating_point(radiograph: Instance, tmp_path: Path) -> None:
    for item in forms(radiograph, Outcome.FINDINGS, AIR, tmp_path):
        dataset = pydicom.dcmread(item.path)
        said = " ".join(str(entry.TextValue) for entry in content_items(dataset) if "TextValue" in entry)
        for word in ("pneumoconiosis-demo", "0.1.0", "0123456789abcdef" * 4, "high", "0.5"):
            assert word in said, item.sop_class_uid
        assert f"sha256:{'0123456789abcdef' * 2}" in dataset.SoftwareVersions
        evidence = dataset.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
        assert evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == radiograph.sop_instance_uid


def test_every_form_names_its_predecessor(radiograph: Instance, tmp_path: Path) -> None:
    """A PACS that takes text alone must be told as well which of two results is the later one."""
    context = context_of(radiograph, revision=2, profile=AIR, predecessors=(prior_report("2.25.1"),))
    entries = ENCODERS[ResultKind.SR](result_of("CR", (radiograph,), Outcome.FINDINGS), context, tmp_path)
    assert len(entries) == 4
    for entry in entries:
        assert "2.25.1" in str(pydicom.dcmread(entry.path).PredecessorDocumentsSequence), entry.sop_class_uid
