# SPDX-License-Identifier: Apache-2.0
"""Grey values for networks come from the anatomy, never from the air around it."""

import numpy as np

from service.imaging.normalise import normalise_in_mask, window_ct


def test_air_does_not_move_the_scale() -> None:
    inside = np.linspace(0.4, 0.6, 101)
    mask = np.arange(1101) < 101
    with_air = normalise_in_mask(np.concatenate([inside, np.zeros(1000)])[None], mask[None])
    assert np.allclose(with_air[0, :101], normalise_in_mask(inside[None], np.ones((1, 101), dtype=np.bool_))[0])
    assert with_air[0, 0] == 0
    assert with_air[0, 100] == 1


def test_nothing_to_normalise_is_zero() -> None:
    flat = np.ones((3, 3))
    assert not normalise_in_mask(flat, flat.astype(bool)).any()
    assert not normalise_in_mask(flat, ~flat.astype(bool)).any()


def test_ct_window_is_clipped() -> None:
    assert window_ct(np.array([-2000, -1000, -400, 200, 900]), low=-1000, high=200).tolist() == [0, 0, 0.5, 1, 1]
