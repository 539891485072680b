# SPDX-License-Identifier: Apache-2.0
"""Lung without air: what a graph is shown, what is taken of its answer, and what a manifest may say of it."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from models.phantoms.computed_tomography import NOT_LUNG, ChestPhantom, Involvement
from service.domain.errors import PackageError
from service.imaging.resample import nearest_on, resample_mm
from service.pipelines.diffuse_lung.dense import DenseLung, lost_lung, see_with
from service.pipelines.diffuse_lung.lungs import LEFT, RIGHT, Sides, Survey, survey
from service.pipelines.diffuse_lung.volume import Surveyed, settle

PARAMETER = {
    "graph": "lungs",
    "input": "slice",
    "output": "lung",
    "pixel_mm": 2.4,
    "window_hu": [-1000.0, 200.0],
    "threshold": 0.5,
}
PIXEL_MM = 1.2


def test_a_parameter_is_taken_as_it_is_written() -> None:
    how = DenseLung.parse(PARAMETER)

    assert (how.graph, how.pixel_mm, how.window_hu, how.threshold) == ("lungs", 2.4, (-1000.0, 200.0), 0.5)


@pytest.mark.parametrize(
    "changes",
    [
        {"floor": 0.5},
        {"pixel_mm": 0},
        {"window_hu": [200, -1000]},
        {"window_hu": [200]},
        {"threshold": 0},
        {"threshold": "high"},
    ],
    ids=str,
)
def test_a_parameter_that_makes_no_sense_is_refused_by_name(changes: dict[str, Any]) -> None:
    with pytest.raises(PackageError, match=r"parameters\.dense_lung"):
        DenseLung.parse({**PARAMETER, **changes})


def test_a_parameter_that_lacks_a_key_is_refused() -> None:
    with pytest.raises(PackageError, match="threshold"):
        DenseLung.parse({key: value for key, value in PARAMETER.items() if key != "threshold"})


def test_a_graph_is_shown_the_window_at_its_pixel_size_and_multiples_of_32() -> None:
    shown: list[NDArray[np.float32]] = []
    hounsfield = np.full((150, 131), -400, dtype=np.float32)
    hounsfield[:, 66:] = 500

    def run(picture: NDArray[np.float32]) -> NDArray[np.float32]:
        shown.append(picture)
        return picture

    seen = see_with(run, DenseLung.parse(PARAMETER))(hounsfield, PIXEL_MM)

    assert (shown[0].shape, shown[0].dtype) == ((1, 1, 96, 96), np.float32)
    assert shown[0][0, 0, 10, 10] == pytest.approx(0.5)
    assert shown[0][0, 0, 10, 60] == 1
    assert not shown[0][0, 0, 75:].any()
    assert seen.shape == hounsfield.shape
    assert seen[75, 90]


def box(rows: slice, columns: slice) -> NDArray[np.bool_]:
    mask = np.zeros((100, 100), dtype=np.bool_)
    mask[rows, columns] = True
    return mask


def test_a_broad_piece_of_soft_tissue_is_lost_lung_and_what_was_found_is_not() -> None:
    tissue = np.full((100, 100), 30, dtype=np.float32)
    seen, found = box(slice(20, 60), slice(20, 60)), box(slice(20, 40), slice(20, 60))

    lost = lost_lung(tissue, seen, found, pixel_mm=PIXEL_MM)

    assert lost[50, 40]
    assert not (lost & found).any()


@pytest.mark.parametrize(
    ("seen", "hounsfield"),
    [
        (box(slice(20, 25), slice(10, 90)), 30),
        (box(slice(20, 30), slice(20, 30)), 30),
        (box(slice(20, 60), slice(20, 60)), 300),
        (box(slice(20, 60), slice(20, 60)), -100),
        (box(slice(20, 60), slice(20, 60)), -980),
    ],
    ids=["6 mm thin", "1.4 cm2", "as dense as bone", "fat", "gas"],
)
def test_thin_small_bony_fat_and_airy_pieces_are_no_lost_lung(seen: NDArray[np.bool_], hounsfield: float) -> None:
    tissue = np.full((100, 100), hounsfield, dtype=np.float32)

    assert not lost_lung(tissue, seen, np.zeros_like(seen), pixel_mm=PIXEL_MM).any()


def test_a_lung_without_air_is_found_where_it_is_seen_unless_its_side_has_none_anywhere() -> None:
    dense, drawn = _section(Involvement(pattern="consolidation", sides="R"))
    aired = survey(_section()[0], pixel_mm=0.6)
    seen = survey(dense, pixel_mm=0.6, see=lambda *_: drawn != NOT_LUNG)

    alone, helped = _settled(aired, survey(dense, pixel_mm=0.6)), _settled(aired, seen)

    right, left = drawn == 1, drawn == 0
    assert (alone[right] == RIGHT).mean() < 0.1
    assert (helped[right] == RIGHT).mean() > 0.85
    assert (helped[left] == LEFT).mean() == pytest.approx((alone[left] == LEFT).mean(), abs=0.01)
    assert (helped[drawn == NOT_LUNG] > 0).mean() < 0.01
    assert (_settled(seen)[right] == RIGHT).mean() < 0.1, "fluid fills a side as consolidation does"


def _section(*involvements: Involvement) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    section = ChestPhantom(seed=5, involvements=involvements, slices=24).slice(9)
    hounsfield, back = resample_mm(section.hounsfield, (section.pixel_mm, section.pixel_mm), target_mm=0.6)
    shape = (hounsfield.shape[0], hounsfield.shape[1])
    return hounsfield, nearest_on(section.truth, back.inverse(), shape=shape)[::2, ::2]


def _settled(*found: Survey) -> Sides:
    """Settle slices 1 mm apart, and return the lungs of the last."""
    surveyed = [Surveyed.of(-float(number), survey) for number, survey in enumerate(found)]
    level = settle(surveyed, pixel_mm=0.6, shell_mm=10).levels[-1]
    return np.asarray(level.packed.values() & (RIGHT | LEFT))
