# SPDX-License-Identifier: Apache-2.0
"""What the air of the lungs spans: both sides of a slice with one lung, the gap between slices, and nothing beyond."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.pipelines.diffuse_lung.packed import PackedMap
from service.pipelines.diffuse_lung.spans import Spans

SHAPE = (60, 80)


def lungs(rows: slice = slice(20, 40), columns: slice = slice(10, 30)) -> PackedMap:
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[rows, columns] = 1
    return PackedMap.of(mask)


NONE = PackedMap.of(np.zeros(SHAPE, dtype=np.uint8))


def span(maps: list[PackedMap], index: int, *, gap_mm: float = 5.0, margin_px: float = 0.0) -> NDArray[np.bool_]:
    heights = [-gap_mm * number for number in range(len(maps))]
    return Spans.of(maps, heights, [40] * len(maps)).mask(index, margin_px=margin_px)


def test_one_lung_spans_its_own_side_and_the_other_as_its_mirror() -> None:
    found = span([lungs()], 0)

    assert found[20:40, 10:70].all()
    assert found.sum() == 20 * 60


def test_a_margin_reaches_so_far_beyond() -> None:
    assert span([lungs()], 0, margin_px=3).sum() == 26 * 66


def test_lungs_above_and_below_span_a_gap_without_air_however_long() -> None:
    found = span([lungs(), *([NONE] * 20), lungs(slice(10, 30))], 10)

    assert found[10:40, 10:70].all()


@pytest.mark.parametrize(("slices_away", "spanned"), [(5, True), (6, False)])
def test_beyond_the_last_lung_it_spans_25_mm_and_no_more(slices_away: int, spanned: bool) -> None:
    assert span([lungs(), *([NONE] * 8)], slices_away).any() == spanned


def test_slices_too_far_apart_to_be_compared_stand_for_themselves() -> None:
    assert not span([lungs(), NONE, lungs()], 1, gap_mm=20).any()


def test_a_line_of_air_spans_nothing() -> None:
    assert not span([lungs(columns=slice(40, 40))], 0).any()
    assert not span([NONE], 0).any()


def test_where_both_lungs_have_air_an_arm_does_not_shift_the_mirror() -> None:
    both = lungs().values().copy()
    both[25:35, 50:70] = 2
    heights, body_with_arm = [0.0], [48]

    found = Spans.of([PackedMap.of(both)], heights, body_with_arm).mask(0, margin_px=0)

    assert found[20:40, 10:70].all()
    assert not found[:, 70:].any()
