# SPDX-License-Identifier: Apache-2.0
"""Finding lungs on a slice: the parts that are written out for speed say what scipy says."""

import numpy as np
from scipy import ndimage

from service.pipelines.diffuse_lung.lungs import _medians, _split


def test_medians_of_pieces_are_those_of_scipy() -> None:
    rng = np.random.default_rng(3)
    for share in (0.05, 0.3, 0.5):
        labels, count = ndimage.label(rng.random((40, 50)) < share)
        hounsfield = rng.normal(-800, 100, labels.shape).astype(np.float32)
        expected = ndimage.median(hounsfield, labels, np.arange(1, count + 1))
        assert np.array_equal(_medians(hounsfield, labels, count), expected)


def test_a_label_without_pixels_has_the_median_0() -> None:
    labels = np.array([[0, 1, 3, 3]], dtype=np.int32)
    assert _medians(np.array([[9, 5, 2, 4]], dtype=np.float32), labels, 4).tolist() == [5, 0, 3, 0]


def test_pieces_go_to_their_side_and_one_across_the_middle_is_cut_where_it_is_thinnest() -> None:
    air = np.zeros((20, 40), dtype=np.bool_)
    air[2:5, 2:18] = True  # the right side alone
    air[2:5, 30:38] = True  # the left side alone
    air[10:18, 5:35] = True
    air[10:17, 21:23] = False  # the bridge between two lungs
    right, left = _split(air, 20)
    assert right[2:5, 2:18].all()
    assert left[2:5, 30:38].all()
    assert right[10:18, 5:21].all()
    assert left[10:18, 23:35].all()
    assert not (right & left).any()
    assert np.array_equal(right | left, air)
