# SPDX-License-Identifier: Apache-2.0
"""What must hold for every picture, orientation, map and mask."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from service.domain.image import Affine, StoredImage, VoiFunction, Window
from service.imaging.grayscale import apply_window, to_presentation
from service.imaging.masks import close_gaps, fill_holes, largest_components, remove_thin, split_left_right, thirds
from service.imaging.orientation import orient
from service.imaging.resample import back_to, letter_box, resample_mm

ORIENTATIONS = [(a, b) for a in "LRHF" for b in "LRHF" if (a in "LR") != (b in "LR")]
PICTURES = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))
MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=4, max_side=24))
NUMBERS = st.floats(-100, 100, allow_nan=False)


@given(PICTURES, st.sampled_from(ORIENTATIONS), st.sampled_from(ORIENTATIONS))
def test_every_turned_pixel_is_where_the_map_says(
    picture: np.ndarray, stored: tuple[str, str], target: tuple[str, str]
) -> None:
    turned = orient(picture, stored, target=target)
    assert turned is not None
    pixels, back = turned
    for row, column in np.ndindex(pixels.shape):
        x0, y0, x1, y1 = back.box((column, row, column + 1, row + 1))
        assert (x1 - x0, y1 - y0) == (1, 1)
        assert picture[int(y0), int(x0)] == pixels[row, column]


@given(PICTURES, st.sampled_from(ORIENTATIONS), st.sampled_from(ORIENTATIONS))
def test_turning_there_and_back_changes_nothing(
    picture: np.ndarray, stored: tuple[str, str], target: tuple[str, str]
) -> None:
    there = orient(picture, stored, target=target)
    assert there is not None
    back = orient(there[0], target, target=stored)
    assert back is not None
    assert np.array_equal(back[0], picture)
    x, y = back[1].then(there[1]).apply((0.25, 0.75))
    assert (x, y) == pytest.approx((0.25, 0.75))


@given(st.tuples(*[NUMBERS] * 6), st.tuples(NUMBERS, NUMBERS))
def test_a_map_and_its_inverse_are_identity(numbers: tuple[float, ...], point: tuple[float, float]) -> None:
    affine = Affine(*numbers)
    if abs(affine.a * affine.e - affine.b * affine.d) < 1e-3:
        return
    assert affine.inverse().apply(affine.apply(point)) == pytest.approx(point, abs=1e-3)


@given(st.tuples(*[NUMBERS] * 6), st.tuples(*[NUMBERS] * 6), st.tuples(NUMBERS, NUMBERS))
def test_then_is_one_map_after_the_other(
    first: tuple[float, ...], second: tuple[float, ...], point: tuple[float, float]
) -> None:
    inner, outer = Affine(*first), Affine(*second)
    expected = outer.apply(inner.apply(point))
    assert inner.then(outer).apply(point) == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(
    hnp.arrays(np.int16, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8)),
    st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    st.sampled_from(["", "IDENTITY", "INVERSE"]),
)
def test_presentation_stays_in_range_and_leaves_its_source_alone(
    pixels: np.ndarray, photometric: str, shape: str
) -> None:
    before = pixels.copy()
    image = StoredImage(
        sop_instance_uid="1",
        pixels=pixels,
        bits_stored=16,
        photometric_interpretation=photometric,
        presentation_lut_shape=shape,
    )
    shown = to_presentation(image)
    assert shown.dtype == np.float32
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert np.array_equal(pixels, before)


@given(
    st.sampled_from(VoiFunction), st.floats(-1e4, 1e4), st.floats(1, 1e4), hnp.arrays(np.float64, 8, elements=NUMBERS)
)
def test_windows_never_reverse_an_order(function: VoiFunction, center: float, width: float, values: np.ndarray) -> None:
    shown = apply_window(Window(center=center, width=width, function=function), np.sort(values))
    assert (np.diff(shown) >= 0).all()


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.05, 2.0), st.floats(0.05, 2.0), st.floats(0.05, 4.0))
def test_resampling_keeps_flat_pictures_and_exact_spacing(
    rows: int, columns: int, row_mm: float, column_mm: float, target_mm: float
) -> None:
    small, back = resample_mm(np.full((rows, columns), 7.0), (row_mm, column_mm), target_mm=target_mm)
    if min(rows * row_mm, columns * column_mm) >= target_mm:
        np.testing.assert_allclose(small, 7.0, rtol=1e-5)
    assert back.a * column_mm == pytest.approx(target_mm)
    assert back.e * row_mm == pytest.approx(target_mm)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 64), st.integers(1, 64))
def test_letter_boxing_there_and_back_keeps_a_flat_picture(rows: int, columns: int, high: int, wide: int) -> None:
    small, back = letter_box(np.ones((rows, columns)), (high, wide), fill=1.0)
    assert small.shape == (high, wide)
    np.testing.assert_allclose(back_to(small, back, shape=(rows, columns), fill=1.0), 1.0, rtol=1e-5)


@given(MASKS)
def test_zones_and_sides_part_a_mask_without_loss_or_overlap(mask: np.ndarray) -> None:
    for parts in (thirds(mask), thirds(mask, 1), split_left_right(mask)):
        assert np.array_equal(np.sum(parts, axis=0), mask.astype(int))


@given(MASKS, st.integers(0, 4))
def test_morphology_only_adds_or_only_removes(mask: np.ndarray, radius: int) -> None:
    before = mask.copy()
    assert not (remove_thin(mask, radius) & ~mask).any()
    assert not (largest_components(mask) & ~mask).any()
    assert not (mask & ~close_gaps(mask, radius)).any()
    assert not (mask & ~fill_holes(mask)).any()
    assert np.array_equal(mask, before)


@given(MASKS, st.integers(1, 6))
def test_gaps_are_closed_as_with_a_disc(mask: np.ndarray, radius: int) -> None:
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = rows**2 + columns**2 <= radius**2
    padded = np.pad(mask, 2 * radius, mode="edge")  # far enough that the far side of the padding erodes nothing here
    expected = ndimage.binary_closing(padded, structure=disc)[2 * radius : -2 * radius, 2 * radius : -2 * radius]
    assert np.array_equal(close_gaps(mask, radius), expected)
