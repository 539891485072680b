# SPDX-License-Identifier: Apache-2.0
"""The demonstration package through the whole pipeline: phantom files in, results with known truth out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from diffuse_lung_instances import CT, ENHANCED_CT

from harness.shipped import shipped
from harness.studies import context_of
from models.phantoms.computed_tomography import NOT_LUNG, ChestPhantom, Involvement
from models.phantoms.computed_tomography.dicom import write_ct_series
from models.phantoms.dicom import PhantomStudy
from service.dicom.header import read_attributes
from service.domain.instance import Instance
from service.domain.prior import Prior
from service.domain.result import Outcome, PipelineResult, Presence, Priority
from service.domain.study import Completeness, Refusal, Selection
from service.imaging.resample import resample_mm
from service.inference.package import LoadedPackage, load_package
from service.pipelines import PIPELINES
from service.pipelines.diffuse_lung.acceptance import Acceptance
from service.pipelines.diffuse_lung.dense import see_lung
from service.pipelines.diffuse_lung.lung_extent import survey_slices
from service.pipelines.diffuse_lung.lungs import LEFT, RIGHT, find_lungs
from service.pipelines.diffuse_lung.plan import Plan
from service.pipelines.diffuse_lung.slices import read_slice
from service.ports import ResultKind
from service.results import ENCODERS
from service.results.gate import check_object

PACKAGE = shipped("diffuse-lung-demo")
ANALYSED_AT = datetime(2026, 4, 1, tzinfo=UTC)
PIPELINE = PIPELINES["diffuse_lung"]
BASAL = (
    Involvement(pattern="reticulation", levels=(0.55, 1.0), depth_mm=22),
    Involvement(pattern="honeycombing", levels=(0.6, 1.0), depth_mm=13),
)


@cache
def package() -> LoadedPackage:
    return load_package(PACKAGE)


def instance(path: Path, **changes: Any) -> Instance:
    attributes = {**read_attributes(path), **changes}
    return Instance(
        sop_instance_uid=str(attributes["SOPInstanceUID"]),
        sop_class_uid=str(attributes["SOPClassUID"]),
        study_instance_uid=str(attributes.get("StudyInstanceUID") or "1.2.3"),
        series_instance_uid=str(attributes.get("SeriesInstanceUID") or "1.2.3.1"),
        transfer_syntax_uid=str(attributes["TransferSyntaxUID"]),
        path=path,
        sha256="0" * 64,
        size_bytes=path.stat().st_size,
        attributes=attributes,
    )


class Relaxed:
    """The real package under a wider acceptance profile, so that real slices reach the pixels."""

    def __init__(self, acceptance: Mapping[str, Any]) -> None:
        self._acceptance = {**package().acceptance, **acceptance}

    @property
    def acceptance(self) -> Mapping[str, Any]:
        return self._acceptance

    def __getattr__(self, name: str) -> Any:
        return getattr(package(), name)


def analyse(instances: Sequence[Instance], *, using: Any = None) -> PipelineResult | Refusal:
    chosen = using or package()
    selection = PIPELINE.select(instances, chosen.acceptance)
    if isinstance(selection, Refusal):
        return selection
    return PIPELINE.run(selection, chosen, analysed_at=ANALYSED_AT)


def result_of(instances: Sequence[Instance], *, using: Any = None) -> PipelineResult:
    result = analyse(instances, using=using)
    assert isinstance(result, PipelineResult), result
    return result


def write(folder: Path, *involvements: Involvement, seed: int = 41, slices: int = 12) -> list[Instance]:
    phantom = ChestPhantom(seed=seed, involvements=involvements, slices=slices)
    return [instance(path) for path in write_ct_series(folder, phantom, study=PhantomStudy(seed=str(seed)))]


@pytest.fixture(scope="module")
def basal(tmp_path_factory: pytest.TempPathFactory) -> list[Instance]:
    return write(tmp_path_factory.mktemp("basal"), *BASAL)


@pytest.fixture(scope="module")
def basal_result(basal: list[Instance]) -> PipelineResult:
    return result_of(basal)


def test_basal_honeycombing_is_found_in_both_lower_zones_and_no_upper_one(basal_result: PipelineResult) -> None:
    assert basal_result.outcome is Outcome.FINDINGS
    keys = {finding.key for finding in basal_result.findings}
    assert {"pattern-honeycombing", "pattern-honeycombing-RL", "pattern-honeycombing-LL"} <= keys
    assert not {key for key in keys if key.endswith(("RU", "LU"))}
    assert "honeycombing" in basal_result.headline
    assert len(basal_result.headline) <= 64
    assert basal_result.triage is not None
    assert basal_result.triage.above_operating_point


def test_shares_come_near_to_what_was_drawn(basal_result: PipelineResult) -> None:
    phantom = ChestPhantom(seed=41, involvements=BASAL, slices=12)
    truth = np.concatenate([section.truth[section.truth != 255] for section in phantom])
    for index, name in ((0, "normal"), (6, "honeycombing")):
        drawn = 100 * float((truth == index).mean())
        assert basal_result.values["percent"][name] == pytest.approx(drawn, abs=12)
    assert sum(basal_result.values["percent"].values()) == pytest.approx(100, abs=0.1)


def test_boxes_lie_on_slices_of_the_series_and_inside_them(basal: list[Instance], basal_result: PipelineResult) -> None:
    uids = {each.sop_instance_uid for each in basal}
    for finding in basal_result.findings:
        assert finding.region.sop_instance_uid in uids
        assert all(0 <= value <= 512 for point in finding.region.points for value in point)
        assert len(finding.label) <= 64


def test_a_finding_of_the_right_zone_lies_on_the_picture_left(basal_result: PipelineResult) -> None:
    boxes = {finding.key: finding.region.points for finding in basal_result.findings}
    assert max(x for x, _ in boxes["pattern-honeycombing-RL"]) <= 270
    assert min(x for x, _ in boxes["pattern-honeycombing-LL"]) >= 240


def test_pictures_stand_where_their_slices_are(basal: list[Instance], basal_result: PipelineResult) -> None:
    by_uid = {each.sop_instance_uid: each for each in basal}
    assert 1 <= len(basal_result.heatmaps) <= 3
    for heatmap in basal_result.heatmaps:
        source = by_uid[heatmap.source_sop_instance_uid]
        assert heatmap.position_mm == source.values("ImagePositionPatient")
        assert heatmap.orientation == (1, 0, 0, 0, 1, 0)
        assert heatmap.pixel_spacing_mm == (0.7, 0.7)
        assert heatmap.base.shape == heatmap.overlay.shape == (512, 512)
        assert 0.2 < float(heatmap.overlay.max()) <= 1
        assert heatmap.overlay[heatmap.base > 250].mean() < heatmap.overlay[heatmap.base < 150].mean()


def test_wide_gaps_make_shares_of_area_and_no_volume(basal_result: PipelineResult) -> None:
    values = basal_result.values
    assert basal_result.summary[0].startswith("% of lung area on 12 slices, 20 mm apart, no volumes")
    assert (values["mode"], values["lung_litres"], values["zones"]["rule"]) == ("slices", None, "equal_area_thirds")
    assert "slices_with_gaps" in {flag.code for flag in basal_result.flags}
    assert values["lungs"]["airway_slices"] == 0, "slices 20 mm apart cannot be traced"


def test_the_sheet_and_the_rules_say_what_was_drawn(basal_result: PipelineResult) -> None:
    grades = basal_result.values["icoerd"]["grades"]
    assert grades["honeycombing"]["RU"] == grades["honeycombing"]["LU"] == 0
    assert grades["honeycombing"]["RL"] >= 1
    assert grades["honeycombing"]["LL"] >= 1
    assert grades["large_opacities"] is None
    assert len(basal_result.evaluations) == 5 * 6
    assert {each.name.value for each in basal_result.measurements} == {
        f"ICO-{name}-SUM" for name in ("RO", "IR", "GGO", "HC", "EM")
    }
    fired = {entry["rule"] for entry in basal_result.values["rules"]}
    assert {"R01", "R11", "R12", "R21"} <= fired, "honeycombing, subpleural and basal, was drawn"
    assert "R08" not in fired
    assert any(line.endswith("[R21]") for line in basal_result.summary)
    assert "ICOERD not read: large opacities, pleura, symbols" in basal_result.summary


def test_areas_of_all_places_add_up(basal_result: PipelineResult) -> None:
    places = basal_result.values["cm2"]
    assert set(places) == {"RU", "RM", "RL", "LU", "LM", "LL"}
    total = sum(area for shells in places.values() for shares in shells.values() for area in shares.values())
    classified = basal_result.values["classified_percent"] / 100 * basal_result.values["lung_cm2"]
    assert total == pytest.approx(classified, rel=0.01)
    honeycombing = sum(shares["honeycombing"] for shells in places.values() for shares in shells.values())
    assert 100 * honeycombing / total == pytest.approx(basal_result.values["percent"]["honeycombing"], abs=0.1)
    shells = basal_result.values["percent_by_shell"]
    assert shells["subpleural"]["honeycombing"] > shells["central"]["honeycombing"], "it was drawn under the pleura"


@pytest.mark.parametrize("digest", [None, "c" * 64])
def test_a_prior_study_is_compared_and_named(
    basal: list[Instance], basal_result: PipelineResult, digest: str | None
) -> None:
    identity = package().identity
    before = {**basal_result.values["percent"], "honeycombing": 5.0}
    prior = Prior(
        study_instance_uid="1.2.9",
        study_date="20240301",
        package=identity if digest is None else replace(identity, sha256=digest, version="0.0.9"),
        outcome=Outcome.FINDINGS,
        values={**basal_result.values, "percent": before},
    )
    selection = PIPELINE.select(basal, package().acceptance)
    assert isinstance(selection, Selection)
    result = PIPELINE.run(replace(selection, prior=prior), package(), analysed_at=ANALYSED_AT)
    now = basal_result.values["percent"]["honeycombing"]
    assert result.values["change"]["study_instance_uid"] == "1.2.9"
    assert result.values["change"]["points"]["honeycombing"] == pytest.approx(now - 5.0, abs=0.02)
    assert result.values["change"]["points"]["normal"] == pytest.approx(0, abs=0.02)
    assert any(line.startswith("Change since the study of 2024-03-01") for line in result.summary)
    assert result.findings == basal_result.findings, "a prior changes nothing of what is seen"
    flags = {flag.code for flag in result.flags} - {flag.code for flag in basal_result.flags}
    assert flags == (set() if digest is None else {"prior_of_other_package"})


def test_maps_hold_the_shares_that_are_reported(basal: list[Instance], basal_result: PipelineResult) -> None:
    drawn = basal_result.label_map
    assert drawn is not None
    assert {place.sop_instance_uid for place in drawn.slices} <= {each.sop_instance_uid for each in basal}
    lung = np.count_nonzero(drawn.labels)
    shares = {
        segment.key: 100 * np.count_nonzero(np.isin(drawn.labels, segment.values)) / lung for segment in drawn.segments
    }
    for finding in basal_result.findings:
        if finding.key in shares:
            # Unclassified lung counts as lung in the map but not in the share: a percent or so.
            assert shares[finding.key] == pytest.approx(finding.measurements[0].value, abs=2)
    assert {key for key in shares if key.startswith("pattern")} <= {finding.key for finding in basal_result.findings}
    (abnormality,) = basal_result.value_maps
    assert abnormality.values.shape[0] == len(drawn.slices)
    assert 0.05 < np.nanmean(abnormality.values) < 0.6


def test_the_same_input_gives_the_same_result(basal: list[Instance], basal_result: PipelineResult) -> None:
    again = result_of(list(reversed(basal)))
    assert again.findings == basal_result.findings
    assert again.values == basal_result.values
    np.testing.assert_array_equal(again.heatmaps[0].overlay, basal_result.heatmaps[0].overlay)
    assert again.label_map is not None
    assert basal_result.label_map is not None
    np.testing.assert_array_equal(again.label_map.labels, basal_result.label_map.labels)


def test_healthy_lungs_have_no_finding_but_an_absent_one(tmp_path: Path) -> None:
    result = result_of(write(tmp_path, seed=42))
    assert result.outcome is Outcome.NO_FINDINGS
    assert [finding.presence for finding in result.findings] == [Presence.ABSENT]
    patterns = package().parameters["patterns"]
    looked_for = [each["value"] for each in patterns if each["name"] != "normal"]
    assert [(run.subject.value, run.status) for run in result.runs] == [(value, "succeeded") for value in looked_for]
    assert result.triage is not None
    assert not result.triage.above_operating_point
    assert len(result.heatmaps) == 1
    assert result.label_map is not None
    assert [segment.key for segment in result.label_map.segments] == ["lung-right", "lung-left"]


def test_prone_pictures_are_turned_but_boxes_stay_on_the_stored_image(
    basal: list[Instance], basal_result: PipelineResult, tmp_path: Path
) -> None:
    turned = [instance(_turn(each.path, tmp_path / each.path.name)) for each in basal]
    result = result_of(turned)
    assert {finding.key for finding in result.findings} == {finding.key for finding in basal_result.findings}
    boxes = {finding.key: finding.region.points for finding in result.findings}
    assert min(x for x, _ in boxes["pattern-honeycombing-RL"]) >= 240, "right lung is on the stored image's right"
    assert result.heatmaps[0].orientation == (1, 0, 0, 0, 1, 0)
    assert result.label_map is not None
    assert basal_result.label_map is not None
    np.testing.assert_array_equal(result.label_map.labels[:, ::-1, ::-1], basal_result.label_map.labels)
    for one, other in zip(result.value_maps[0].planes, basal_result.value_maps[0].planes, strict=True):
        assert one.position_mm == pytest.approx(other.position_mm), "maps lie upright, at the same place"


def _turn(source: Path, target: Path) -> Path:
    """Store the same slice turned by 180 degrees, as for a prone patient: same place in the patient."""
    dataset = pydicom.dcmread(source)
    dataset.PixelData = np.ascontiguousarray(dataset.pixel_array[::-1, ::-1]).tobytes()
    x, y, z = dataset.ImagePositionPatient
    dataset.ImagePositionPatient = [float(x) + 511 * 0.7, float(y) + 511 * 0.7, z]
    dataset.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
    dataset.save_as(target)
    return target


def test_the_triage_point_and_the_acceptance_profile_are_understood() -> None:
    assert package().triage_operating_point in package().operating_points
    assert Acceptance.parse(package().acceptance).minimum_slices == 8
    assert sum(path.stat().st_size for path in PACKAGE.rglob("*") if path.is_file()) < 8_000_000


# --- real images ------------------------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_every_single_slice_ends_in_a_reasoned_refusal(real_data_folder: Path) -> None:
    files = sorted((real_data_folder / "ct_covid_nysbu_slices").rglob("*.dcm"))
    assert len(files) > 20
    for path in files:
        assert PIPELINE.completeness([instance(path)]) is Completeness.INCOMPLETE
        refusal = analyse([instance(path)])
        assert isinstance(refusal, Refusal)
        codes = {reason.code for reason in refusal.reasons}
        assert codes & {"no_original_axial_image", "too_few_slices"}


LUNGS_CM2 = {
    "19001231-076": (110, 53),
    "19010112-135": (102, 44),
    "19001111-045": (73, 36),
    "19010101-23": (51, 34),
    "19001231-30": (90, 93),
    "19010410-30": (91, 100),
    "19001229-053": (94, 55),
    "19010107-111": (128, 89),
}
"""Right and left lung on the chest slices, as measured when their outlines were looked at and found right."""


@pytest.mark.real_data
def test_lungs_are_found_on_every_real_chest_slice_and_not_in_the_abdomen(real_data_folder: Path) -> None:
    files = sorted((real_data_folder / "ct_covid_nysbu_slices").rglob("axial/*.dcm"))
    found = {path.stem: _lungs_cm2(path) for path in files}
    assert set(LUNGS_CM2) < set(found)
    for name, areas in found.items():
        assert areas == pytest.approx(LUNGS_CM2.get(name, (0, 0)), rel=0.1, abs=1), name


ADDED_CM2 = {
    "19001231-076": (0, 7),
    "19001111-045": (0, 39),
    "19010101-23": (35, 0),
    "19001231-30": (2, 0),
    "19001229-053": (2, 3),
}
"""What the graph adds to them, as measured when it was looked at; of the 39 about half is consolidation, half heart."""


@pytest.mark.real_data
def test_lung_without_air_is_added_to_real_chest_slices_and_nothing_to_the_abdomen(real_data_folder: Path) -> None:
    plan = Plan.of(package().parameters)
    assert plan.dense_lung is not None
    see = see_lung(package(), plan.dense_lung)
    for path in sorted((real_data_folder / "ct_covid_nysbu_slices").rglob("axial/*.dcm")):
        section = read_slice(instance(path))
        (alone,), (helped,) = (
            survey_slices([section], plan.recipe, shell_mm=10, see=seen)[1].levels for seen in (None, see)
        )
        found, more = (level.packed.values() & (RIGHT | LEFT) for level in (alone, helped))
        assert (more[found > 0] == found[found > 0]).all()
        added = [np.count_nonzero((more == side) & (found == 0)) * 1.2**2 / 100 for side in (RIGHT, LEFT)]
        assert added == pytest.approx(ADDED_CM2.get(path.stem, (0, 0)), rel=0.2, abs=1), path.stem


def test_consolidation_of_a_whole_lung_is_lung_and_has_its_share(tmp_path: Path) -> None:
    whole = Involvement(pattern="consolidation", sides="R", levels=(0.3, 0.7))
    phantom = ChestPhantom(seed=12, slices=24, involvements=(whole,))
    drawn = np.concatenate([section.truth[section.truth != NOT_LUNG] for section in phantom])
    files = write_ct_series(tmp_path, phantom, study=PhantomStudy(seed="whole-lung"))
    result = result_of([instance(path) for path in files])
    percent = 100 * float((drawn == 1).mean())
    assert percent > 15
    assert result.values["percent"]["consolidation"] == pytest.approx(percent, abs=4)


def _lungs_cm2(path: Path) -> tuple[float, float]:
    section = read_slice(instance(path))
    hounsfield, _ = resample_mm(section.hounsfield, section.spacing_mm, target_mm=0.6)
    sides = find_lungs(hounsfield, pixel_mm=0.6)
    right, left = (float(np.count_nonzero(sides == side)) * 0.6**2 / 100 for side in (RIGHT, LEFT))
    return right, left


@pytest.mark.real_data
@pytest.mark.parametrize("plane", ["sagittal", "coronal"])
def test_real_sagittal_and_coronal_series_are_refused_for_their_plane(real_data_folder: Path, plane: str) -> None:
    files = sorted((real_data_folder / "ct_covid_nysbu_slices").rglob(f"{plane}/*.dcm"))
    assert len(files) == 10
    wide = Relaxed({"minimum_slices": 1, "largest_thickness_mm": 10.0, "smallest_pixel_mm": 0.1, "largest_pixel_mm": 2})
    for path in files:
        original = instance(path, ImageType=("ORIGINAL", "PRIMARY", "AXIAL"))
        for image, codes in ((instance(path), {"no_original_axial_image", "not_axial"}), (original, {"not_axial"})):
            refusal = analyse([image], using=wide)
            assert isinstance(refusal, Refusal)
            assert {reason.code for reason in refusal.reasons} & codes


@pytest.mark.real_data
def test_real_axial_slices_reach_the_pixels_and_abdomen_is_told_from_chest(real_data_folder: Path) -> None:
    relaxed = {"minimum_slices": 1, "smallest_lung_litres": 0.0, "largest_thickness_mm": 6.0}
    # Images of patients are outside of what a package of phantoms has seen; here the way behind that gate is looked at.
    wide = Relaxed({**relaxed, "largest_out_of_distribution_share": 1.0})
    files = sorted((real_data_folder / "ct_covid_nysbu_slices").rglob("axial/*.dcm"))
    outcomes = {path.stem: result_of([instance(path)], using=wide) for path in files}
    abdomen = {name for name, result in outcomes.items() if result.outcome is Outcome.NOT_ANALYSED}
    assert {"19000925-116", "19001231-131"} <= abdomen
    assert all(outcomes[name].refusals[0].code == "no_lungs" for name in abdomen)
    assert len(outcomes) - len(abdomen) >= 7, "seven of the slices show both lungs"


@pytest.mark.real_data
def test_a_real_series_at_the_lung_base_is_refused_by_pixel_size_then_by_anatomy(real_data_folder: Path) -> None:
    files = sorted((real_data_folder / "ct_totalsegmentator").rglob("CT.*"))
    assert len(files) == 20
    instances = [instance(path, SOPClassUID=CT, SOPInstanceUID=path.name[3:]) for path in files]
    refusal = analyse(instances)
    assert isinstance(refusal, Refusal)
    assert [reason.code for reason in refusal.reasons] == ["pixel_spacing_outside_range"]
    result = result_of(instances, using=Relaxed({"largest_pixel_mm": 1.0}))
    assert result.outcome is Outcome.NOT_ANALYSED
    assert [reason.code for reason in result.refusals] == ["no_lungs"]


# --- enhanced CT ------------------------------------------------------------------------------------------------------


def _item(**values: Any) -> pydicom.Dataset:
    item = pydicom.Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def _write_enhanced(slices: Sequence[Instance], target: Path) -> Instance:
    """Put slices into one multi-frame file, in mixed order; as much of the IOD as is read (PS3.3 A.38)."""
    mixed = [*slices[1::2], *slices[::2]]
    sources = [pydicom.dcmread(each.path) for each in mixed]
    dataset = sources[0]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = ENHANCED_CT
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.SharedFunctionalGroupsSequence = [
        _item(
            PixelMeasuresSequence=[_item(PixelSpacing=[0.7, 0.7], SliceThickness=1.0)],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            PixelValueTransformationSequence=[_item(RescaleIntercept=-1024, RescaleSlope=1, RescaleType="HU")],
            CTReconstructionSequence=[_item(ConvolutionKernel="PHANTOM-LUNG")],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        _item(PlanePositionSequence=[_item(ImagePositionPatient=source.ImagePositionPatient)]) for source in sources
    ]
    dataset.NumberOfFrames = len(sources)
    dataset.PixelData = b"".join(source.PixelData for source in sources)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        delattr(dataset, keyword)
    dataset.save_as(target)
    return instance(target)


def test_an_enhanced_image_gives_what_its_slices_give(
    basal: list[Instance], basal_result: PipelineResult, tmp_path: Path
) -> None:
    enhanced = _write_enhanced(basal, tmp_path / "enhanced.dcm")
    assert PIPELINE.completeness([enhanced]) is Completeness.COMPLETE
    result = result_of([enhanced])
    assert result.values["percent"] == basal_result.values["percent"]
    assert {flag.code for flag in result.flags} == {flag.code for flag in basal_result.flags}
    assert all(finding.region.frame_number for finding in result.findings)
    frames = {heatmap.frame_number: heatmap.position_mm for heatmap in result.heatmaps}
    assert [z for _, _, z in frames.values()] == [
        heatmap.position_mm[2] for heatmap in basal_result.heatmaps if heatmap.position_mm
    ]
    assert result.label_map is not None
    assert basal_result.label_map is not None
    np.testing.assert_array_equal(result.label_map.labels, basal_result.label_map.labels)
    assert {place.sop_instance_uid for place in result.label_map.slices} == {enhanced.sop_instance_uid}


def test_results_of_an_enhanced_image_refer_to_its_frames(basal: list[Instance], tmp_path: Path) -> None:
    enhanced = _write_enhanced(basal, tmp_path / "enhanced.dcm")
    result, context = result_of([enhanced]), context_of(enhanced, priority=Priority.URGENT)
    kinds = (ResultKind.SEGMENTATION, ResultKind.PARAMETRIC_MAP, ResultKind.PRESENTATION_STATE, ResultKind.KEY_OBJECTS)
    for kind in kinds:
        entries = ENCODERS[kind](result, context, tmp_path)
        assert entries
        assert [check_object(entry.path, validators=()) for entry in entries] == [()] * len(entries)
    (bits, *_) = ENCODERS[ResultKind.SEGMENTATION](result, context, tmp_path)
    frames = pydicom.dcmread(bits.path).PerFrameFunctionalGroupsSequence
    numbers = [int(frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber) for frame in frames]
    heights = [float(frame.PlanePositionSequence[0].ImagePositionPatient[2]) for frame in frames]
    of_frame = pydicom.dcmread(enhanced.path).PerFrameFunctionalGroupsSequence
    expected = [float(of_frame[number - 1].PlanePositionSequence[0].ImagePositionPatient[2]) for number in numbers]
    assert heights == expected
