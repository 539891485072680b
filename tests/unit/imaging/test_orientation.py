# SPDX-License-Identifier: Apache-2.0
"""Pictures are turned the right way round, and the way back is known."""

import numpy as np
import pytest

from service.imaging.orientation import CHEST_FRONTAL, mirror, orient, upright_mammogram

PICTURE = np.array([[1, 2, 3], [4, 5, 6]])
CASES = {
    ("L", "F"): [[1, 2, 3], [4, 5, 6]],
    ("R", "F"): [[3, 2, 1], [6, 5, 4]],
    ("L", "H"): [[4, 5, 6], [1, 2, 3]],
    ("R", "H"): [[6, 5, 4], [3, 2, 1]],
    ("F", "L"): [[1, 4], [2, 5], [3, 6]],
    ("F", "R"): [[4, 1], [5, 2], [6, 3]],
    ("H", "L"): [[3, 6], [2, 5], [1, 4]],
    ("H", "R"): [[6, 3], [5, 2], [4, 1]],
}


@pytest.mark.parametrize("stored", CASES)
def test_all_eight_ways_to_store_a_chest_become_one(stored: tuple[str, str]) -> None:
    turned = orient(PICTURE, stored, target=CHEST_FRONTAL)
    assert turned is not None
    assert turned[0].tolist() == CASES[stored]


def test_only_principal_directions_count() -> None:
    turned = orient(PICTURE, ("RA", "FP"), target=("L", "F"))
    assert turned is not None
    assert turned[0].tolist() == CASES["R", "F"]


@pytest.mark.parametrize("stored", [("A", "F"), ("L", "R"), ("X", "F"), ("", "F")])
def test_another_plane_cannot_be_turned(stored: tuple[str, str]) -> None:
    assert orient(PICTURE, stored, target=CHEST_FRONTAL) is None


def test_mirroring_maps_the_left_edge_to_the_right() -> None:
    mirrored, back = mirror(PICTURE)
    assert mirrored[0].tolist() == [3, 2, 1]
    assert back.apply((0, 1)) == (3, 1)


@pytest.mark.parametrize(
    ("stored", "laterality", "upright"),
    [
        (("P", "FL"), "R", ("P", "F")),
        (("A", "FR"), "L", ("A", "F")),
        (("A", "H"), "L", ("A", "F")),
        (("P", "L"), "R", ("P", "L")),
        (("P", "R"), "R", ("P", "L")),
        (("A", "R"), "L", ("A", "R")),
        (("R", "P"), "L", ("A", "R")),
        (("F", "A"), "R", ("P", "F")),
    ],
)
def test_mammograms_stand_upright_with_the_chest_wall_where_it_was(
    stored: tuple[str, str], laterality: str, upright: tuple[str, str]
) -> None:
    assert upright_mammogram(stored, laterality=laterality) == upright


def test_what_is_no_mammogram_has_no_upright() -> None:
    assert upright_mammogram(("L", "F"), laterality="L") is None
    assert upright_mammogram(("A", "F"), laterality="") is None
