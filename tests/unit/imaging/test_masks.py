# SPDX-License-Identifier: Apache-2.0
"""Masks of simple bodies."""

import numpy as np

from service.imaging.masks import (
    area_cm2,
    bounding_box,
    breast_mask,
    close_gaps,
    fill_holes,
    largest_components,
    lung_mask_ct,
    otsu,
    remove_thin,
    split_left_right,
    thirds,
)


def discs(shape: tuple[int, int], *circles: tuple[int, int, int]) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    mask = np.zeros(shape, dtype=np.bool_)
    for row, column, radius in circles:
        mask |= (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
    return mask


def chest_slice() -> np.ndarray:
    hounsfield = np.full((128, 128), -1000.0, dtype=np.float32)
    hounsfield[discs((128, 128), (64, 64, 55))] = 40
    hounsfield[discs((128, 128), (64, 40, 18), (64, 88, 18))] = -850
    hounsfield[discs((128, 128), (64, 40, 3))] = 50
    return hounsfield


def test_otsu_separates_two_classes() -> None:
    threshold = otsu(np.array([0.1, 0.12, 0.11, 0.9, 0.88, 0.91]))
    assert 0.12 < threshold < 0.88


def test_largest_components_are_kept_by_size() -> None:
    mask = discs((40, 80), (20, 10, 3), (20, 30, 5), (20, 60, 8))
    assert np.array_equal(largest_components(mask, 2), discs((40, 80), (20, 30, 5), (20, 60, 8)))
    assert not largest_components(np.zeros((3, 3), dtype=np.bool_)).any()


def test_holes_are_filled_slice_by_slice() -> None:
    ring = discs((20, 20), (10, 10, 8)) & ~discs((20, 20), (10, 10, 3))
    assert np.array_equal(fill_holes(np.stack([ring, ring])), np.stack([discs((20, 20), (10, 10, 8))] * 2))


def test_gaps_close_and_thin_things_go() -> None:
    mask = np.zeros((21, 21), dtype=np.bool_)
    mask[5:15, 2:9] = mask[5:15, 11:18] = True
    assert close_gaps(mask, 3)[10, 9:11].all()
    mask[10, :] = True
    assert not remove_thin(mask, 2)[10, 20]
    assert remove_thin(mask, 2)[6:14, 3:8].all()


def test_a_breast_is_found_without_its_label() -> None:
    picture = np.full((200, 160), 0.01, dtype=np.float32)
    breast = discs((200, 160), (100, 0, 70))
    picture[breast] = 0.5
    picture[10:20, 120:150] = 1.0
    found = breast_mask(picture)
    assert np.count_nonzero(found ^ breast) < 0.05 * breast.sum()
    assert not found[10:20, 120:150].any()


def test_lungs_are_found_with_their_vessels_and_without_the_room() -> None:
    lungs = discs((128, 128), (64, 40, 18), (64, 88, 18))
    found = lung_mask_ct(chest_slice(), closing_px=2)
    assert np.count_nonzero(found ^ lungs) < 0.03 * lungs.sum()


def test_lungs_of_a_stack_are_those_of_its_slices() -> None:
    flat = chest_slice()
    assert np.array_equal(lung_mask_ct(np.stack([flat, flat])), np.stack([lung_mask_ct(flat)] * 2))


def test_a_picture_of_air_has_no_lungs() -> None:
    assert not lung_mask_ct(np.full((2, 16, 16), -1000.0, dtype=np.float32)).any()


def test_lungs_split_at_the_emptiest_column() -> None:
    right, left = split_left_right(discs((64, 128), (32, 40, 18), (32, 84, 20)))
    assert np.array_equal(right, discs((64, 128), (32, 40, 18)))
    assert np.array_equal(left, discs((64, 128), (32, 84, 20)))


def test_zones_are_equal_thirds_of_height() -> None:
    mask = np.zeros((20, 4), dtype=np.bool_)
    mask[2:14, 1:3] = True
    upper, middle, lower = thirds(mask)
    assert [bounding_box(zone) for zone in (upper, middle, lower)] == [(1, 2, 3, 6), (1, 6, 3, 10), (1, 10, 3, 14)]


def test_an_empty_mask_has_empty_zones_and_no_box() -> None:
    empty = np.zeros((6, 6), dtype=np.bool_)
    assert not any(zone.any() for zone in thirds(empty))
    assert bounding_box(empty) is None
    assert not any(part.any() for part in split_left_right(empty))


def test_area_is_in_square_centimetres() -> None:
    assert area_cm2(np.ones((100, 50), dtype=np.bool_), (0.2, 0.1)) == 1.0


def test_holes_are_those_of_scipy() -> None:
    """The same masks, in a tenth of the time."""
    from scipy import ndimage

    from service.imaging.masks import fill_holes

    random = np.random.default_rng(3)
    for number in range(60):
        mask = ndimage.gaussian_filter(random.random((1 + number, 50)), number / 30) > 0.5
        np.testing.assert_array_equal(fill_holes(mask), ndimage.binary_fill_holes(mask))
