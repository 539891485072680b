# SPDX-License-Identifier: Apache-2.0
"""Large opacities and pleura, from packages that read them: the measures are those of what is drawn."""

import numpy as np
import pytest

from service.domain.image import IDENTITY
from service.pipelines.pneumoconiosis.large_opacities import LargeCategory
from service.pipelines.pneumoconiosis.lungs import Film, Lungs
from service.pipelines.pneumoconiosis.optional_heads import (
    longest_diameter_px,
    read_large_opacities,
    read_pleura,
    why_off,
)
from service.pipelines.pneumoconiosis.pleura import FINDINGS

SIZE, PIXEL_MM = 600, 0.5
ROWS, COLUMNS = np.mgrid[0:SIZE, 0:SIZE] + 0.5
HOW = {"graph": "largeop", "input": "film", "output": "scores", "size": SIZE, "threshold": 0.5}


def disc(column: float, row: float, radius: float) -> np.ndarray:
    return np.hypot(COLUMNS - column, ROWS - row) <= radius


@pytest.fixture
def film() -> Film:
    pixels = np.linspace(0, 1, SIZE * SIZE, dtype=np.float32).reshape(SIZE, SIZE)
    return Film(pixels=pixels, pixel_mm=PIXEL_MM, to_source=IDENTITY)


@pytest.fixture
def lungs() -> Lungs:
    right, left = (np.zeros((SIZE, SIZE), dtype=np.bool_) for _ in range(2))
    right[50:550, 20:280] = left[50:550, 320:580] = True
    return Lungs(right=right, left=left, heart=np.zeros_like(right))


class Detector:
    """A package whose large-opacity graph finds what a test has drawn."""

    def __init__(self, scores: np.ndarray, **parameters: object) -> None:
        self.parameters = {"large_opacities": HOW, **parameters}
        self._scores = scores.astype(np.float32)

    def run(self, graph: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert graph == "largeop"
        assert inputs["film"].shape == (1, 1, SIZE, SIZE)
        assert inputs["film"].dtype == np.float32
        assert 0 <= inputs["film"].min() <= inputs["film"].max() <= 1
        return {"scores": self._scores[None, None]}


def test_a_package_without_the_heads_reads_nothing(film, lungs):
    class Bare:
        parameters = {"crop_size": 288}  # noqa: RUF012 - a stand-in

    bare = Bare()
    assert read_large_opacities(film, lungs, bare) is None
    assert read_pleura(film, lungs, bare) is None


def test_opacities_are_measured_in_mm_on_their_side(film, lungs):
    scores = 0.9 * disc(150, 200, 40) + 0.7 * disc(450, 400, 25)
    found = read_large_opacities(film, lungs, Detector(scores))
    assert [opacity.side for opacity in found.opacities] == ["R", "L"]
    assert [opacity.longest_mm for opacity in found.opacities] == pytest.approx([40, 25], abs=1)
    assert [opacity.area_cm2 for opacity in found.opacities] == pytest.approx(
        [np.pi * 2.0**2, np.pi * 1.25**2], rel=0.02
    )
    assert [opacity.score for opacity in found.opacities] == pytest.approx([0.9, 0.7], abs=1e-6)
    assert found.opacities[0].box == pytest.approx((110, 160, 190, 240), abs=1)
    assert found.sum_of_longest_mm == pytest.approx(65, abs=2)
    assert (found.ilo, found.japanese) == (LargeCategory.B, LargeCategory.B)


def test_what_is_small_faint_or_outside_is_none(film, lungs):
    scores = 0.9 * disc(150, 200, 9) + 0.4 * disc(450, 400, 60) + 0.9 * disc(300, 300, 15)
    found = read_large_opacities(film, lungs, Detector(scores))
    assert found.opacities == ()
    assert (found.ilo, found.japanese) == (LargeCategory.NONE, LargeCategory.NONE)


def test_a_mass_as_large_as_the_upper_zone_is_c(film, lungs):
    upper = np.zeros((SIZE, SIZE))
    upper[50:300, 20:280] = 1  # half of the right lung
    found = read_large_opacities(film, lungs, Detector(upper))
    assert (found.ilo, found.japanese) == (LargeCategory.C, LargeCategory.C)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 30), (40, 3), (30, 40)])
def test_the_longest_diameter_of_a_rectangle_is_its_diagonal(rows, columns):
    piece = np.zeros((60, 60), dtype=np.bool_)
    piece[5 : 5 + rows, 7 : 7 + columns] = True
    assert longest_diameter_px(piece) == pytest.approx(np.hypot(rows, columns))


def test_a_switched_off_detector_is_not_run_and_says_why(film, lungs):
    class Off:
        parameters = {"large_opacities": {**HOW, "off": {"called": 4, "films": 22}}}  # noqa: RUF012 - a stand-in

    assert read_large_opacities(film, lungs, Off()) is None
    assert why_off(Off.parameters["large_opacities"]) == "switched off: 4 of 22 normal films were called"
    assert why_off(HOW) == why_off(None) == ""


class Pleural:
    """A package whose pleural graph sees what a test has drawn, finding by finding in the order of FINDINGS."""

    def __init__(self, *maps: np.ndarray, **findings: dict[str, object]) -> None:
        self._maps = np.stack(maps).astype(np.float32)
        how = {"graph": "pleura", "input": "film", "output": "scores", "size": SIZE, "least_mm2": 100}
        told = {name: {"threshold": 0.5} for name in FINDINGS} | findings
        self.parameters = {"pleura": {**how, "findings": told}}
        self.runs = 0

    def run(self, graph: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        assert graph == "pleura"
        assert inputs["film"].shape == (1, 1, SIZE, SIZE)
        self.runs += 1
        return {"scores": self._maps[None]}


NOWHERE = np.zeros((SIZE, SIZE))
"""100 mm2 are 400 pixels of 0.5 mm: a disc of radius 12 has 452, one of radius 11 has 380."""


def test_the_pleura_is_told_by_side_where_enough_of_it_is_seen(film, lungs):
    angle = 0.9 * disc(30, 540, 30) + 0.8 * disc(450, 300, 11)
    found = read_pleura(film, lungs, Pleural(NOWHERE, 0.6 * disc(450, 300, 12), 0.4 * disc(150, 300, 50), angle))
    assert {name: found.sides_of(name) for name in FINDINGS} == {
        "thickening": (),
        "plaque": ("L",),
        "calcification": (),
        "angle": ("R",),
    }
    assert found.sides == ("R", "L")
    assert found.unread == {}
    assert found.scores["R"]["angle"] == pytest.approx(0.9, abs=1e-6)
    assert found.scores["L"]["angle"] == 0.0


@pytest.mark.parametrize(
    ("column", "sides"), [(0, ("R",)), (285, ("R",)), (311, ("L",)), (596, ("L",)), (299, ()), (20, ("R",))]
)
def test_what_lies_around_a_lung_is_of_the_nearer_one(film, lungs, column, sides):
    """The lungs end at 280 and begin at 320; what straddles the middle is of neither, unless half of it would do."""
    strip = np.zeros((SIZE, SIZE))
    strip[60:540, column : column + 2] = 1  # 240 mm2, and 120 mm2 on each side of the middle
    package = Pleural(NOWHERE, strip, NOWHERE, NOWHERE)
    package.parameters["pleura"]["least_mm2"] = 200
    assert read_pleura(film, lungs, package).sides_of("plaque") == sides


def test_what_lies_far_from_both_lungs_is_of_none(film, lungs):
    far = np.zeros((SIZE, SIZE))
    far[:20] = far[582:] = 1
    assert read_pleura(film, lungs, Pleural(*[far] * 4)).sides == ()


def test_thickening_counts_with_an_obliterated_angle_of_its_side_alone(film, lungs):
    band = np.zeros((SIZE, SIZE))
    band[100:540, 20:30] = band[100:540, 570:580] = 1
    found = read_pleura(film, lungs, Pleural(band, NOWHERE, NOWHERE, disc(40, 520, 30)))
    assert found.sides_of("thickening") == ("R",)
    assert found.scores["L"]["thickening"] == 1.0
    alone = Pleural(
        band, NOWHERE, NOWHERE, disc(40, 520, 30), angle={"threshold": 0.5, "off": {"called": 3, "films": 9}}
    )
    assert read_pleura(film, lungs, alone).sides == ()


def test_a_switched_off_finding_is_unread_with_its_reason_and_the_others_are_read(film, lungs):
    off = {"threshold": 0.5, "off": {"called": 5, "films": 22}}
    package = Pleural(*[disc(150, 300, 50)] * 4, plaque=off)
    found = read_pleura(film, lungs, package)
    assert found.unread == {"plaque": "switched off: 5 of 22 normal films were called"}
    assert found.sides_of("plaque") == ()
    assert found.sides_of("calcification") == ("R",)
    silent = Pleural(*[NOWHERE] * 4, **dict.fromkeys(FINDINGS, off))
    assert read_pleura(film, lungs, silent).sides == ()
    assert silent.runs == 0
