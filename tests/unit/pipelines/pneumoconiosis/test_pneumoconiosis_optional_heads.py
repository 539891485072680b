# SPDX-License-Identifier: Apache-2.0
"""Large opacities and pleura, from packages that read them: the measures are those of what is drawn."""

import numpy as np
import pytest

from service.domain.image import IDENTITY
from service.pipelines.pneumoconiosis.large_opacities import LargeCategory
from service.pipelines.pneumoconiosis.lungs import Film, Lungs
from service.pipelines.pneumoconiosis.optional_heads import longest_diameter_px, read_large_opacities, read_pleura

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


def test_a_package_without_the_heads_reads_nothing(film, lungs, package):
    assert read_large_opacities(film, lungs, package) is None
    assert read_pleura({}, package) is None


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


def test_the_pleura_is_said_by_side():
    class Pleural:
        parameters = {"pleura": {"output": "pleura_logits", "threshold": 0.5}}  # noqa: RUF012 - a stand-in

    logits = np.full((6, 3), -4, dtype=np.float32)
    assert read_pleura({"pleura_logits": logits}, Pleural()) == ()
    logits[4, 1] = 2
    assert read_pleura({"pleura_logits": logits}, Pleural()) == ("L",)
    logits[0, 2] = logits[1, 0] = 2
    assert read_pleura({"pleura_logits": logits}, Pleural()) == ("R", "L")
    assert read_pleura({"pleura_logits": logits[4:]}, Pleural(), zones=("RM", "RL")) == ("R",)
