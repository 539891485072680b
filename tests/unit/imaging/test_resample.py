# SPDX-License-Identifier: Apache-2.0
"""Resampling keeps millimetres, means and places."""

import numpy as np
import pytest

from service.imaging.resample import back_to, letter_box, resample_box, resample_mm


def test_down_sampling_averages_areas_exactly() -> None:
    picture = np.arange(16, dtype=np.float32).reshape(4, 4)
    small, back = resample_mm(picture, (0.5, 0.5), target_mm=1.0)
    np.testing.assert_allclose(small, [[2.5, 4.5], [10.5, 12.5]])
    assert back.box((1, 0, 2, 1)) == (2, 0, 4, 2)


def test_unequal_spacing_becomes_square() -> None:
    small, _ = resample_mm(np.ones((10, 20)), (0.2, 0.1), target_mm=0.5)
    assert small.shape == (4, 4)


def test_the_spacing_is_exact_and_the_rest_is_cut_on_both_sides() -> None:
    small, back = resample_mm(np.ones((10, 11)), (1.0, 1.0), target_mm=3.0)
    assert small.shape == (3, 3)
    assert back.box((0, 0, 3, 3)) == pytest.approx((1, 0.5, 10, 9.5))


def test_up_sampling_interpolates() -> None:
    large, _ = resample_mm(np.array([[0.0, 1.0]]), (1.0, 1.0), target_mm=0.25)
    assert large.shape == (4, 8)
    assert (np.diff(large[0]) >= 0).all()
    assert large[0, 3] < 0.5 < large[0, 4]


def test_a_box_beyond_the_picture_is_filled() -> None:
    part, back = resample_box(np.ones((2, 2)), (-1, -1, 3, 3), shape=(4, 4), fill=9.0)
    assert part.tolist() == [[9, 9, 9, 9], [9, 1, 1, 9], [9, 1, 1, 9], [9, 9, 9, 9]]
    assert back.apply((1, 1)) == (0, 0)


def test_a_box_wholly_outside_is_all_fill() -> None:
    assert resample_box(np.ones((2, 2)), (5, 5, 7, 7), shape=(2, 2), fill=3.0)[0].tolist() == [[3, 3], [3, 3]]


def test_letter_boxing_keeps_proportions() -> None:
    boxed, back = letter_box(np.ones((4, 2)), (8, 8))
    assert boxed.sum(axis=0).tolist() == [0, 0, 8, 8, 8, 8, 0, 0]
    assert back.box((2, 0, 6, 8)) == (0, 0, 2, 4)


def test_a_mask_goes_back_to_its_source() -> None:
    picture = np.zeros((40, 30), dtype=np.float32)
    picture[10:20, 5:25] = 1
    small, back = letter_box(picture, (20, 20))
    assert np.array_equal(back_to(small, back, shape=(40, 30)) > 0.5, picture > 0.5)


def test_weights_are_what_scipy_makes_of_single_entries() -> None:
    """Bit for bit: results of studies must not change with how a matrix is built."""
    from scipy import sparse

    from service.imaging import resample

    picture = np.random.default_rng(4).random((40, 3)).astype(np.float32)
    for start, stop, count in [(0, 40, 13), (-5.5, 47.25, 60), (3.3, 9.9, 40), (-9, -1, 8), (38, 60, 5)]:
        direct, _ = resample._weights(start, stop, size=40, count=count)
        rows = np.repeat(np.arange(count), np.diff(direct.indptr))
        sorted_out = sparse.csr_array((direct.data, (rows, direct.indices)), shape=direct.shape)
        assert (direct @ picture).tobytes() == (sorted_out @ picture).tobytes()
