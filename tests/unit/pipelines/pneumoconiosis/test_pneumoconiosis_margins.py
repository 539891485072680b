# SPDX-License-Identifier: Apache-2.0
"""A closely cropped film is looked at again with margins; any other is looked at once."""

import numpy as np
import pytest

from service.pipelines.pneumoconiosis.lungs import (
    MARGINS,
    Lungs,
    closely_cropped,
    lungs_on,
    segmentation_input,
)

SHAPE = (300, 260)


def lungs_in(top: int, bottom: int, left: int, right: int) -> Lungs:
    mask = np.zeros(SHAPE, dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return Lungs(right=mask, left=np.zeros_like(mask), heart=np.zeros_like(mask))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((10, 290, 10, 250), True),
        ((0, 300, 0, 260), True),
        ((10, 290, 10, 230), False),
        ((40, 290, 10, 250), False),
        ((10, 250, 10, 250), False),
        ((0, 0, 0, 0), False),
    ],
)
def test_close_to_all_four_sides_is_closely_cropped(box, expected):
    assert closely_cropped(lungs_in(*box)) is expected


class Finder:
    """Sees what is bright as right lung and what is grey as left, but nothing at one place near its picture's edge."""

    def __init__(self) -> None:
        self.looks: list[int] = []

    def __call__(self, boxed: np.ndarray) -> np.ndarray:
        self.looks.append(len(boxed))
        seen = np.ones_like(boxed[:, 0])
        seen[:, 100:140, :45] = 0
        right, left = boxed[:, 0] > 0.8, (boxed[:, 0] > 0.3) & (boxed[:, 0] < 0.7)
        return np.stack([right * seen, left * seen, np.zeros_like(seen)], axis=1).astype(np.float32)


def look(inset: int) -> tuple[Lungs, np.ndarray, Finder]:
    """Return what is found on a film whose lungs end `inset` pixels from its sides, the right lung, and the finder."""
    pixels = np.zeros(SHAPE, dtype=np.float32)
    pixels[inset:-inset, inset:125] = 1.0
    pixels[inset:-inset, 135:-inset] = 0.5
    find = Finder()
    boxed, to_film = segmentation_input(pixels)
    return lungs_on(pixels, find(boxed)[0], to_film, find=find), pixels == 1, find


def test_a_whole_film_is_looked_at_once():
    lungs, _, find = look(30)
    assert find.looks == [1]
    assert not closely_cropped(lungs)


def test_a_closely_cropped_film_is_looked_at_again_and_nothing_moves():
    lungs, truth, find = look(10)
    assert find.looks == [1, len(MARGINS)]
    missed, more = truth & ~lungs.right, lungs.right & ~truth
    assert not missed[16:-16, 16:118].any()
    assert more.sum() < 0.02 * truth.sum()
    assert missed.sum() < 0.02 * truth.sum()
