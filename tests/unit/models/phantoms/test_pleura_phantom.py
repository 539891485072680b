# SPDX-License-Identifier: Apache-2.0
"""Drawn pleural disease: on its side, where it belongs, as wide as asked for, and nothing else changes."""

import numpy as np
import pytest

from models.phantoms.chest_radiograph.film import Scanner, anatomy, radiograph
from models.phantoms.chest_radiograph.pleura import (
    CLEAR_PLEURA,
    FINDINGS,
    PLACES,
    Pleura,
    SidePleura,
    pleural_path,
    random_pleura,
)

PITCH_MM = 1.0
SIDES = {"R": 0, "L": 1}


@pytest.fixture(scope="module")
def body():
    return anatomy(21, shape=(420, 380), pitch_mm=PITCH_MM)


def drawn(body, side: str, what: SidePleura, *, seed: int = 0):
    pleura = Pleura(sides={side: what})
    return pleural_path(pleura, *body.masks[:2], pitch_mm=PITCH_MM, rng=np.random.default_rng(seed))


def test_a_clear_pleura_adds_nothing(body):
    found = pleural_path(CLEAR_PLEURA, *body.masks[:2], pitch_mm=PITCH_MM, rng=np.random.default_rng(0))
    assert not found.path_mm.any()
    assert not found.places.any()
    assert CLEAR_PLEURA.findings("R") == ()


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    "what",
    [
        SidePleura(thickening_mm=8, angle_mm=30),
        SidePleura(angle_mm=30),
        *(SidePleura(plaques=(place,)) for place in PLACES),
        SidePleura(plaques=PLACES, calcified=True),
    ],
    ids=lambda what: "-".join((*what.findings, *what.plaques)),
)
def test_what_is_asked_for_is_drawn_on_its_side_alone(body, side, what):
    found = drawn(body, side, what)
    own, other = body.masks[SIDES[side]], body.masks[1 - SIDES[side]]
    there = tuple(name for name, place in zip(FINDINGS, found.places, strict=True) if place.any())
    assert there == what.findings
    assert not found.path_mm[other].any()
    assert not found.path_mm[~own].any()
    assert (found.path_mm >= 0).all()


@pytest.mark.parametrize("width_mm", [4.0, 8.0, 14.0])
def test_a_thickening_is_as_wide_as_asked_for(body, width_mm):
    place = drawn(body, "R", SidePleura(thickening_mm=width_mm, extent=0.9, angle_mm=12)).places[0]
    rows = np.flatnonzero(place.any(axis=1))
    widths = place[rows].sum(axis=1) * PITCH_MM
    assert np.median(widths) == pytest.approx(width_mm, abs=0.4 * width_mm + 1)
    lung = body.masks[0]
    inwards = [np.flatnonzero(place[row])[0] - np.flatnonzero(lung[row])[0] for row in rows]
    assert np.median(inwards) <= 3


@pytest.mark.parametrize("side", SIDES)
def test_an_obliterated_angle_is_the_lowest_outer_corner(body, side):
    place = drawn(body, side, SidePleura(angle_mm=30)).places[FINDINGS.index("angle")]
    lung = body.masks[SIDES[side]]
    rows, columns = np.nonzero(place)
    inside_rows, inside_columns = np.nonzero(lung)
    assert rows.mean() > np.quantile(inside_rows, 0.85)
    outer = columns < np.median(inside_columns) if side == "R" else columns > np.median(inside_columns)
    assert outer.mean() > 0.9


def test_calcium_lies_in_its_plaque_and_adds_to_it(body):
    what = SidePleura(plaques=("face on",))
    soft, hard = (drawn(body, "L", SidePleura(plaques=what.plaques, calcified=each), seed=3) for each in (False, True))
    plaque, calcium = hard.places[FINDINGS.index("plaque")], hard.places[FINDINGS.index("calcification")]
    np.testing.assert_array_equal(plaque, soft.places[FINDINGS.index("plaque")])
    assert calcium.any()
    assert not (calcium & ~plaque).any()
    assert (hard.path_mm[calcium] > soft.path_mm[calcium]).all()


def test_random_disease_draws_every_finding_and_thickening_never_without_its_angle():
    sides = [side for seed in range(200) for side in random_pleura(np.random.default_rng(seed)).sides.values()]
    assert {name for side in sides for name in side.findings} == set(FINDINGS)
    assert all("angle" in side.findings for side in sides if side.thickening_mm)
    assert all(side.findings for side in sides)


def test_the_film_gets_brighter_there_and_stays_as_it_is_elsewhere(body):
    found = drawn(body, "R", SidePleura(thickening_mm=10, angle_mm=40))
    scanner = Scanner()
    plain = radiograph(body, scanner=scanner, seed=4, marker=False).pixels
    shown = radiograph(body, scanner=scanner, seed=4, marker=False, added_mm=found.path_mm).pixels
    place = found.places.any(axis=0)
    assert (shown - plain)[place].mean() > 0.03
    far = body.masks[1]
    assert abs((shown - plain)[far].mean()) < 0.005
