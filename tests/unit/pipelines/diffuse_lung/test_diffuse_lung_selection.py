# SPDX-License-Identifier: Apache-2.0
import random
from typing import Any

import pytest
from diffuse_lung_instances import ENHANCED_CT, ct_series, ct_slice
from hypothesis import given
from hypothesis import strategies as st

from service.domain.instance import Instance
from service.domain.study import Completeness, Refusal, Selection
from service.pipelines.diffuse_lung.acceptance import Acceptance
from service.pipelines.diffuse_lung.selection import completeness, select

ACCEPTANCE = Acceptance(kernels=("LUNG",))


def selected(instances: list[Instance], acceptance: Acceptance = ACCEPTANCE) -> Selection:
    chosen = select(instances, acceptance)
    assert isinstance(chosen, Selection), chosen
    return chosen


def refused(instances: list[Instance]) -> dict[str, str]:
    refusal = select(instances, ACCEPTANCE)
    assert isinstance(refusal, Refusal)
    return {reason.code: reason.message for reason in refusal.reasons}


# --- gate G0: each rule alone -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code", "element"),
    [
        ({"RescaleType": "US"}, "rescale_type_not_hu", "(0028,1054)"),
        ({"SliceThickness": None}, "slice_thickness_unknown", "(0018,0050)"),
        ({"SliceThickness": 3.1}, "slice_too_thick", "3.1 mm"),
        ({"PixelSpacing": None}, "pixel_spacing_unknown", "(0028,0030)"),
        ({"PixelSpacing": (0.98, 0.98)}, "pixel_spacing_outside_range", "0.98"),
        ({"PixelSpacing": (0.40, 0.40)}, "pixel_spacing_outside_range", "0.4"),
        ({"GantryDetectorTilt": -12.0}, "gantry_tilted", "-12"),
        ({"ImagePositionPatient": None}, "position_unknown", "(0020,0032)"),
        ({"ImagePositionPatient": ("a", "b", "c")}, "position_unknown", "(0020,0032)"),
        ({"ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 0.98, 0.199)}, "not_axial", "degrees"),
        ({"ImageOrientationPatient": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)}, "not_axial", "(0020,0037)"),
    ],
)
def test_refuses_a_series_that_breaks_one_rule(changes: dict[str, Any], code: str, element: str) -> None:
    reasons = refused(_along_normal(changes) if code == "not_axial" else ct_series(**changes))
    assert list(reasons) == [code]
    assert element in reasons[code]


def _along_normal(changes: dict[str, Any]) -> list[Instance]:
    """Slices whose positions follow their own normal, so that orientation alone is wrong."""
    coronal = changes["ImageOrientationPatient"][5] == -1.0
    position = (lambda n: (0.0, float(n), 0.0)) if coronal else (lambda n: (0.0, 0.0, float(n)))
    return [ct_slice(n, z_mm=0, **(changes | {"ImagePositionPatient": position(n)})) for n in range(20)]


@pytest.mark.parametrize(
    "image_type",
    [
        ("ORIGINAL", "PRIMARY", "LOCALIZER"),
        ("DERIVED", "PRIMARY", "MPR"),
        ("DERIVED", "SECONDARY", "REFORMATTED", "AVERAGE"),
        ("ORIGINAL", "SECONDARY", "AXIAL"),
        ("ORIGINAL", "PRIMARY", "AXIAL", "MIP"),
        ("ORIGINAL", "PRIMARY"),
        None,
    ],
)
def test_refuses_what_is_no_original_axial_image(image_type: tuple[str, ...] | None) -> None:
    reasons = refused(ct_series(ImageType=image_type))
    assert list(reasons) == ["no_original_axial_image"]
    assert "(0008,0008)" in reasons["no_original_axial_image"]


def test_refuses_a_study_without_ct() -> None:
    assert list(refused([ct_slice(1, z_mm=0, sop_class_uid="1.2.840.10008.5.1.4.1.1.4")])) == ["no_ct_image"]


def test_refuses_few_slices_and_says_every_other_reason_too() -> None:
    assert set(refused(ct_series(5, SliceThickness=5.0))) == {"too_few_slices", "slice_too_thick"}


def test_refuses_two_slices_in_one_place() -> None:
    twice = [*ct_series(20), ct_slice(99, z_mm=7.0)]
    assert list(refused(twice)) == ["duplicate_positions"]


def test_refuses_mixed_matrices() -> None:
    assert list(refused([*ct_series(20), ct_slice(20, z_mm=20.0, Rows=256)])) == ["mixed_geometry"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"SliceThickness": 2.5}, "slice_thicker_than_best"),
        ({"ConvolutionKernel": "B30f"}, "kernel_not_listed"),
        ({"ContrastBolusAgent": "NON IONIC"}, "contrast_agent"),
        ({"PatientPosition": "HFP"}, "prone_position"),
        ({"BodyPartExamined": "ABDOMEN"}, "body_part_not_chest"),
        ({"LossyImageCompression": "01"}, "lossy_compression"),
    ],
)
def test_flags_without_refusing(changes: dict[str, Any], code: str) -> None:
    assert [flag.code for flag in selected(ct_series(**changes)).flags] == [code]


def test_flags_gap_hrct_and_missing_slices() -> None:
    assert [flag.code for flag in selected(ct_series(24, spacing_mm=10)).flags] == ["slices_with_gaps"]
    assert [flag.code for flag in selected(ct_series(20)[:9] + ct_series(20)[11:]).flags] == ["slices_missing"]
    uneven = [*ct_series(20)[:-1], ct_slice(19, z_mm=19.4)]
    assert [flag.code for flag in selected(uneven).flags] == ["spacing_uneven"]


def test_a_plain_series_has_no_flag_and_runs_from_head_to_feet() -> None:
    chosen = selected(ct_series(20))
    assert chosen.flags == ()
    heights = [instance.values("ImagePositionPatient")[2] for instance in chosen.instances]
    assert heights == sorted(heights, reverse=True)


# --- which series -----------------------------------------------------------------------------------------------------


def test_takes_the_series_with_fewest_flags_then_the_thinnest_then_the_longest() -> None:
    soft = ct_series(30, series="3", ConvolutionKernel="B30f")
    thick = ct_series(30, series="4", SliceThickness=2.0)
    short = ct_series(20, series="5")
    long = ct_series(30, series="6")
    for others, winner in (((soft, thick), "1.4"), ((soft, thick, short), "1.5"), ((thick, short, long), "1.6")):
        chosen = selected([instance for series in others for instance in series])
        assert {instance.series_instance_uid for instance in chosen.instances} == {winner}


def test_leaves_localizers_of_the_same_series_out() -> None:
    scout = ct_slice(99, z_mm=500, ImageType=("ORIGINAL", "PRIMARY", "LOCALIZER"))
    assert len(selected([*ct_series(20), scout]).instances) == 20


# --- completeness -----------------------------------------------------------------------------------------------------


def test_no_ct_is_not_wanted() -> None:
    assert completeness([ct_slice(1, z_mm=0, sop_class_uid="1.2.840.10008.5.1.4.1.1.1")]) is Completeness.NOT_WANTED


@given(seed=st.integers(0, 10**6), count=st.integers(8, 60), spacing=st.sampled_from([0.625, 1.0, 10.0]))
def test_a_gap_free_stack_settles_in_whatever_order_it_comes(seed: int, count: int, spacing: float) -> None:
    instances = ct_series(count, spacing_mm=spacing)
    random.Random(seed).shuffle(instances)
    assert completeness(instances) is Completeness.SETTLING
    first, second = selected(instances), selected(ct_series(count, spacing_mm=spacing))
    assert first.instances == second.instances


@given(count=st.integers(12, 60), missing=st.integers(1, 10))
def test_a_stack_with_an_inner_slice_missing_is_incomplete(count: int, missing: int) -> None:
    instances = ct_series(count)
    del instances[missing]
    assert completeness(instances) is Completeness.INCOMPLETE


@given(count=st.integers(8, 40), twice=st.integers(0, 7))
def test_a_stack_with_a_slice_twice_is_incomplete(count: int, twice: int) -> None:
    assert completeness([*ct_series(count), ct_slice(900, z_mm=float(twice))]) is Completeness.INCOMPLETE


def test_few_slices_or_only_localizers_are_incomplete() -> None:
    assert completeness(ct_series(7)) is Completeness.INCOMPLETE
    assert completeness(ct_series(9, ImageType=("ORIGINAL", "PRIMARY", "LOCALIZER"))) is Completeness.INCOMPLETE


def test_waits_for_the_second_series_to_lose_its_gaps() -> None:
    second = ct_series(20, series="3")
    assert completeness([*ct_series(20), *second[:4], *second[6:]]) is Completeness.INCOMPLETE
    assert completeness([*ct_series(20), *second]) is Completeness.SETTLING


def test_one_enhanced_image_is_complete() -> None:
    types = ("ORIGINAL", "PRIMARY", "VOLUME", "NONE")
    image = ct_slice(1, z_mm=0, sop_class_uid=ENHANCED_CT, NumberOfFrames=40, ImageType=types)
    assert completeness([image]) is Completeness.COMPLETE


def test_rounded_positions_count_as_even() -> None:
    rounded = [ct_slice(n, z_mm=round(n * 0.625, 1)) for n in range(30)]
    assert completeness(rounded) is Completeness.SETTLING
