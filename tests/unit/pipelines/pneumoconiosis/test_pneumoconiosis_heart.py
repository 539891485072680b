# SPDX-License-Identifier: Apache-2.0
"""The cardiothoracic ratio of drawn masks and of phantoms, and when it is doubted."""

import numpy as np
import pytest

from models.phantoms.chest_radiograph.film import anatomy
from service.pipelines.pneumoconiosis.heart import PLAUSIBLE, cardiothoracic_ratio, ratio_flags
from service.pipelines.pneumoconiosis.lungs import Lungs


def drawn(*, heart: tuple[int, int], right: tuple[int, int] = (10, 45), left: tuple[int, int] = (55, 90)) -> Lungs:
    masks = np.zeros((3, 100, 100), dtype=np.bool_)
    masks[0, 20:80, slice(*right)] = masks[1, 20:80, slice(*left)] = True
    masks[2, 50:80, slice(*heart)] = True
    return Lungs(right=masks[0], left=masks[1], heart=masks[2])


def test_it_is_the_hearts_width_over_that_of_the_chest():
    assert cardiothoracic_ratio(drawn(heart=(35, 75))) == pytest.approx(40 / 80)
    assert cardiothoracic_ratio(drawn(heart=(40, 64))) == pytest.approx(24 / 80)


def test_the_chest_is_measured_on_single_rows():
    lungs = drawn(heart=(35, 75))
    lungs.right[70:80, 10:20] = False
    lungs.left[20:70, 80:90] = False  # no row has both outer borders any more
    assert cardiothoracic_ratio(lungs) == pytest.approx(40 / 70)


def test_without_heart_or_lung_it_is_nothing_and_flagged():
    masks = drawn(heart=(40, 40))
    assert cardiothoracic_ratio(masks) == 0.0
    no_left = Lungs(right=masks.right, left=np.zeros_like(masks.left), heart=masks.right)
    assert cardiothoracic_ratio(no_left) == 0.0
    assert [flag.code for flag in ratio_flags(0.0)] == ["cardiothoracic_ratio"]


@pytest.mark.parametrize(
    ("ratio", "is_flagged"), [(0.29, True), (0.30, False), (0.5, False), (0.72, False), (0.73, True)]
)
def test_the_limits_belong_to_the_plausible(ratio, is_flagged):
    flags = ratio_flags(ratio)
    assert bool(flags) is is_flagged
    assert all("not a finding" in flag.message for flag in flags)


def test_a_package_may_say_other_limits():
    assert ratio_flags(0.5, (0.2, 0.4))
    assert not ratio_flags(0.2, (0.2, 0.4))


def test_phantom_hearts_are_plausible():
    for seed in range(40, 46):
        right, left, heart = anatomy(seed, shape=(420, 380), pitch_mm=1.0).masks
        assert PLAUSIBLE[0] < cardiothoracic_ratio(Lungs(right=right, left=left, heart=heart)) < PLAUSIBLE[1]
