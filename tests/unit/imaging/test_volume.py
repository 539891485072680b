# SPDX-License-Identifier: Apache-2.0
"""Stacks are judged by where their slices lie."""

import math
from pathlib import Path

import numpy as np
import pytest

from service.domain.image import SlicePlane
from service.domain.instance import AttributeValue, Instance
from service.imaging.volume import measure_stack, patient_axes, slice_planes

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def planes(*heights: float, orientation: tuple[float, float, float, float, float, float] = AXIAL) -> list[SlicePlane]:
    return [SlicePlane(position_mm=(0, 0, height), orientation=orientation) for height in heights]


def test_slices_are_sorted_towards_the_head() -> None:
    stack = measure_stack(planes(3, 1, 2))
    assert stack.order == (1, 2, 0)
    assert (stack.spacing_mm, stack.uniformity, stack.gaps, stack.duplicates) == (1, 0, 0, 0)
    assert stack.axial
    assert stack.extent_mm == 2


def test_a_mirrored_orientation_sorts_the_same_way() -> None:
    assert measure_stack(planes(3, 1, 2, orientation=(-1.0, 0.0, 0.0, 0.0, 1.0, 0.0))).order == (1, 2, 0)


def test_gaps_and_duplicates_are_counted() -> None:
    stack = measure_stack(planes(0, 1, 2, 2, 5, 6))
    assert stack.gaps == 2
    assert stack.duplicates == 1
    assert stack.uniformity == pytest.approx(2)


def test_a_slightly_uneven_stack_has_no_gap() -> None:
    stack = measure_stack(planes(0, 1, 2.02, 3))
    assert stack.gaps == 0
    assert 0.01 < stack.uniformity < 0.03


def test_one_slice_has_no_spacing() -> None:
    stack = measure_stack(planes(5))
    assert stack.spacing_mm is None
    assert stack.extent_mm == 0


def test_tilt_is_the_angle_to_the_nearest_axis() -> None:
    tilt = math.radians(10)
    stack = measure_stack(planes(0, 1, orientation=(1, 0, 0, 0, math.cos(tilt), math.sin(tilt))))
    assert stack.tilt_degrees == pytest.approx(10)
    assert stack.axial
    assert not measure_stack(planes(0, orientation=CORONAL)).axial


def test_mixed_orientations_are_not_parallel() -> None:
    assert not measure_stack([*planes(0, 1), *planes(2, orientation=CORONAL)]).parallel


def test_patient_axes_are_letters() -> None:
    assert patient_axes(planes(0)[0]) == ("L", "P")
    assert patient_axes(planes(0, orientation=CORONAL)[0]) == ("L", "F")


def instance(attributes: dict[str, AttributeValue]) -> Instance:
    return Instance(
        sop_instance_uid="1.2",
        sop_class_uid="1.3",
        study_instance_uid="1.4",
        series_instance_uid="1.5",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        path=Path("none"),
        sha256="",
        size_bytes=0,
        attributes=attributes,
    )


def test_planes_come_from_attributes_or_not_at_all() -> None:
    known = instance({"ImagePositionPatient": (0, 0, 7.5), "ImageOrientationPatient": AXIAL})
    unknown = instance({"ImagePositionPatient": "a"})
    assert slice_planes([known]) == (SlicePlane(position_mm=(0, 0, 7.5), orientation=AXIAL),)
    assert slice_planes([known, unknown]) is None
    assert np.allclose(measure_stack(slice_planes([known]) or ()).positions_mm, [7.5])
