# SPDX-License-Identifier: Apache-2.0
"""What IHE AI Results asks of objects, as far as it is known: each row of docs/conformance/ihe.md that is met."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage

from harness.studies import PACKAGE, context_of, result_of
from harness.validators import PIXELMED, pixelmed
from service.domain.instance import Instance
from service.domain.profile import EncodingProfile, ReportClass
from service.domain.result import Outcome, PipelineResult, Priority
from service.ports import ResultKind
from service.results import ENCODERS
from service.results.lint.report import children, concept, content_items, measurement_groups, template

AIR = EncodingProfile(report_class=ReportClass.COMPREHENSIVE_3D)
EXTENSIBLE = "not found in context group 100"
"""PixelMed's release of 2022, which Debian has, takes CID 100 (procedures) for not extensible; later ones only warn."""
PROCEDURES = {"CR": "399208008", "MG": "71651007", "CT": "169069000"}


def report_path(result: PipelineResult, sources: tuple[Instance, ...], folder: Path) -> Path:
    """Encode the report and return the form that is offered first."""
    context = context_of(*sources, profile=AIR, priority=Priority.URGENT)
    return ENCODERS[ResultKind.SR](result, context, folder)[0].path


@pytest.fixture
def report(modality: str, sources: tuple[Instance, ...], tmp_path: Path) -> Dataset:
    return pydicom.dcmread(report_path(result_of(modality, sources, Outcome.FINDINGS), sources, tmp_path / "out"))


def named(parent: Dataset, value: str) -> list[Dataset]:
    return [item for item in children(parent) if concept(item)[0] == value]


def references(dataset: Dataset) -> Iterator[tuple[str, str]]:
    for item in content_items(dataset):
        for reference in item.get("ReferencedSOPSequence") or []:
            yield str(reference.ReferencedSOPClassUID), str(reference.ReferencedSOPInstanceUID)


def test_the_report_is_comprehensive_3d_sr_after_tid_1500(report: Dataset) -> None:
    assert report.SOPClassUID == Comprehensive3DSRStorage
    assert (template(report), concept(report)[:2]) == ("1500", ("126000", "DCM"))


def test_measurements_have_a_ucum_unit(report: Dataset) -> None:
    numbers = [item for group in measurement_groups(report) for item in children(group) if item.ValueType == "NUM"]
    units = {item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodingSchemeDesignator for item in numbers}
    assert units == {"UCUM"}


def test_locations_are_image_regions_on_one_image(report: Dataset) -> None:
    for group in measurement_groups(report):
        (region,) = [item for item in children(group) if item.ValueType == "SCOORD"]
        assert concept(region) == ("111030", "DCM", "Image Region")
        assert [image.ValueType for image in region.ContentSequence] == ["IMAGE"]
    assert not [item for item in content_items(report) if item.ValueType == "SCOORD3D"]


def test_every_group_is_tracked_under_a_uid_of_its_own(report: Dataset) -> None:
    groups = list(measurement_groups(report))
    uids = {named(group, "112040")[0].UID for group in groups}
    assert len(uids) == len(groups) == 2
    assert all(named(group, "112039")[0].TextValue for group in groups)


def test_the_report_refers_to_captures_and_to_no_other_object_of_ours(
    modality: str, sources: tuple[Instance, ...], report: Dataset, tmp_path: Path
) -> None:
    """The row that is not met: a root result would refer to every other object."""
    result = result_of(modality, sources, Outcome.FINDINGS)
    context = context_of(*sources, profile=AIR, priority=Priority.URGENT)
    made = {kind: ENCODERS[kind](result, context, tmp_path / "all") for kind in ENCODERS if kind is not ResultKind.SR}
    uids = {uid for _, uid in references(report)}
    assert {kind for kind, entries in made.items() if uids & {entry.sop_instance_uid for entry in entries}} == {
        ResultKind.HEATMAP
    }


def test_the_model_is_contributing_equipment(report: Dataset) -> None:
    (model,) = report.ContributingEquipmentSequence
    assert model.Manufacturer
    assert model.ManufacturerModelName == PACKAGE.name
    assert list(model.SoftwareVersions) == [PACKAGE.version, PACKAGE.sha256]
    assert str(model.DeviceUID).startswith("2.25.")
    assert model.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"


@pytest.mark.parametrize("change", [{"version": "0.2.0"}, {"sha256": "f" * 64}, {"name": "other"}])
def test_another_model_is_another_device(change: dict[str, str], radiograph: Instance, tmp_path: Path) -> None:
    result = result_of("CR", (radiograph,), Outcome.FINDINGS)
    other = replace(result, package=replace(PACKAGE, **change))
    uids = {
        pydicom.dcmread(report_path(each, (radiograph,), tmp_path)).ContributingEquipmentSequence[0].DeviceUID
        for each in (result, result, other)
    }
    assert len(uids) == 2


def test_the_procedure_is_that_of_the_images(modality: str, report: Dataset) -> None:
    (procedure,) = named(report, "121058")
    assert procedure.ConceptCodeSequence[0].CodeValue == PROCEDURES[modality]


def test_every_group_names_its_algorithm(report: Dataset) -> None:
    for group in measurement_groups(report):
        assert [item.TextValue for item in named(group, "111001")] == [PACKAGE.name]
        assert [item.TextValue for item in named(group, "111003")] == [PACKAGE.version]


@pytest.mark.peers
@pytest.mark.skipif(not PIXELMED.exists(), reason="PixelMed's validator is not installed (Debian: libpixelmed-java)")
@pytest.mark.parametrize("outcome", [Outcome.FINDINGS, Outcome.NOT_ANALYSED])
def test_pixelmed_finds_no_error(outcome: Outcome, radiograph: Instance, tmp_path: Path) -> None:
    errors = pixelmed(report_path(result_of("CR", (radiograph,), outcome), (radiograph,), tmp_path))
    assert [error for error in errors if not error.endswith(EXTENSIBLE)] == []
