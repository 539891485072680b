# SPDX-License-Identifier: Apache-2.0
"""The lungs over all slices: airways traced, strays dropped, sides agreed on, depth under the pleura in mm."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from models.phantoms.computed_tomography import ChestPhantom
from models.recipes.diffuse_lung_evaluation import upright_slice
from service.pipelines.diffuse_lung.airways import Airways, Level, trace_airways
from service.pipelines.diffuse_lung.depth import subpleural_masks
from service.pipelines.diffuse_lung.linking import agree_on_sides, count_jumps, drop_strays
from service.pipelines.diffuse_lung.lung_extent import survey_slices
from service.pipelines.diffuse_lung.lungs import AIRWAY, LEFT, LUMEN, RIGHT
from service.pipelines.diffuse_lung.packed import PackedMap
from service.pipelines.diffuse_lung.patches import PatchRecipe
from service.pipelines.diffuse_lung.smoothing import smooth_classes
from service.pipelines.diffuse_lung.volume import Surveyed, settle

SHAPE = (100, 120)
PIXEL_MM = 1.2
MIDDLE = 60
ROWS, COLUMNS = np.indices(SHAPE)
Codes = NDArray[np.uint8]


def disc(row: float, column: float, radius_mm: float) -> NDArray[np.bool_]:
    return np.hypot(ROWS - row, COLUMNS - column) * PIXEL_MM <= radius_mm


def both_lungs() -> Codes:
    """Two lungs, the right one on the picture's left."""
    codes = np.zeros(SHAPE, dtype=np.uint8)
    codes[20:80, 10:50] = RIGHT
    codes[20:80, 70:110] = LEFT
    return codes


def with_lumen(codes: Codes, *lumens: NDArray[np.bool_]) -> Codes:
    for lumen in lumens:
        codes = codes | np.where(lumen, LUMEN, 0).astype(np.uint8)
    return codes


def levels(codes: Sequence[Codes], *, spacing_mm: float = 5.0) -> list[Level]:
    return [
        Level(codes=PackedMap.of(each), height_mm=-spacing_mm * index, middle_column=MIDDLE)
        for index, each in enumerate(codes)
    ]


def surveyed(codes: Sequence[Codes], *, spacing_mm: float = 5.0) -> list[Surveyed]:
    return [
        Surveyed(height_mm=each.height_mm, codes=each.codes, step=1, middle_column=MIDDLE)
        for each in levels(codes, spacing_mm=spacing_mm)
    ]


def tree(trachea: int = 8, bronchi: int = 4) -> list[Codes]:
    """A trachea of some slices that divides into two bronchi, which part by 4 mm a slice on each side."""
    above = [with_lumen(both_lungs(), disc(50, MIDDLE, 9)) for _ in range(trachea)]
    off = [6 + 3.3 * step for step in range(1, bronchi + 1)]
    below = [with_lumen(both_lungs(), disc(50, MIDDLE - each, 6), disc(50, MIDDLE + each, 6)) for each in off]
    return [*above, *below]


# --- airways ----------------------------------------------------------------------------------------------------------


def test_the_trachea_is_followed_and_divides_at_the_carina() -> None:
    found = trace_airways(levels(tree()), pixel_mm=PIXEL_MM)
    assert (found.traced, found.leaks) == (12, 0)
    assert found.carina_mm == pytest.approx(-37.5), "between the last slice of the trachea and the first of bronchi"
    assert (found.masks[0].values() > 0)[50, MIDDLE]
    wall = found.masks[0].values() > 0
    assert wall.sum() > disc(50, MIDDLE, 9).sum(), "the wall belongs to it"
    assert wall.sum() < disc(50, MIDDLE, 13).sum()


def test_a_leak_is_not_followed() -> None:
    codes = tree()
    codes[10] = with_lumen(both_lungs(), disc(50, MIDDLE - 16, 20), disc(50, MIDDLE + 16, 6))
    found = trace_airways(levels(codes), pixel_mm=PIXEL_MM)
    assert found.leaks == 1
    mask = found.masks[10].values() > 0
    assert mask[50, MIDDLE + 16]
    assert not mask[50, MIDDLE - 16]


@pytest.mark.parametrize(
    "lumen",
    [disc(50, MIDDLE - 40, 9), disc(50, MIDDLE, 3), disc(50, MIDDLE, 20), (ROWS == 50) & (abs(COLUMNS - MIDDLE) < 30)],
    ids=["far from the middle", "too small", "too large", "not round"],
)
def test_what_is_no_trachea_starts_nothing(lumen: NDArray[np.bool_]) -> None:
    found = trace_airways(levels([with_lumen(both_lungs(), lumen)] * 8), pixel_mm=PIXEL_MM)
    assert not found.found
    assert not any(mask.values().any() for mask in found.masks)


def test_a_short_tube_is_no_trachea_and_a_long_one_below_is() -> None:
    short = [with_lumen(both_lungs(), disc(30, MIDDLE, 9))] * 3
    found = trace_airways(levels([*short, both_lungs(), *tree()]), pixel_mm=PIXEL_MM)
    assert found.traced == 12
    assert not found.masks[0].values().any()


def test_slices_far_apart_are_not_linked() -> None:
    assert not trace_airways(levels(tree(), spacing_mm=13.0), pixel_mm=PIXEL_MM).found
    assert trace_airways(levels(tree(), spacing_mm=10.0), pixel_mm=PIXEL_MM).found


def test_a_trachea_alone_has_no_carina() -> None:
    found = trace_airways(levels(tree(bronchi=0)), pixel_mm=PIXEL_MM)
    assert (found.traced, found.carina_mm) == (8, None)


def test_two_branches_on_one_side_are_no_carina() -> None:
    codes = tree(bronchi=0)
    codes.append(with_lumen(both_lungs(), disc(50, MIDDLE, 5), disc(59, MIDDLE + 2, 4)))
    assert trace_airways(levels(codes), pixel_mm=PIXEL_MM).carina_mm is None


# --- lungs ------------------------------------------------------------------------------------------------------------


def test_traced_airways_are_taken_out_of_the_lung() -> None:
    codes = tree()
    hidden = both_lungs()
    hidden[:, 20:110] = RIGHT
    codes[4] = with_lumen(hidden, disc(50, MIDDLE, 9))
    sides = settle(surveyed(codes), pixel_mm=PIXEL_MM, shell_mm=10).levels[4].sides(SHAPE)
    assert sides[50, MIDDLE] == 0
    assert sides[50, 30] == RIGHT


@pytest.mark.parametrize("traced", [True, False])
def test_air_that_one_slice_took_for_an_airway_is_given_back_when_no_tracing_reaches_it(traced: bool) -> None:
    codes = tree() if traced else [both_lungs()] * 8
    bulla = disc(40, 40, 8)
    cut = both_lungs()
    cut[bulla] = AIRWAY
    codes[3] = with_lumen(cut, disc(50, MIDDLE, 9)) if traced else cut
    sides = settle(surveyed(codes), pixel_mm=PIXEL_MM, shell_mm=10).levels[3].sides(SHAPE)
    assert (sides[bulla] == (RIGHT if traced else 0)).all()


def test_air_that_nothing_joins_to_the_lungs_is_dropped() -> None:
    codes = [both_lungs() for _ in range(8)]
    codes[3][90:98, 55:63] = LEFT
    lungs = settle(surveyed(codes), pixel_mm=PIXEL_MM, shell_mm=10)
    assert lungs.dropped == 1
    assert not lungs.levels[3].sides(SHAPE)[90:98].any()
    np.testing.assert_array_equal(lungs.levels[3].sides(SHAPE)[:85], both_lungs()[:85])


def test_far_apart_nothing_is_called_a_stray() -> None:
    codes = [PackedMap.of(both_lungs()) for _ in range(4)]
    odd = both_lungs()
    odd[90:98, 55:63] = LEFT
    kept, dropped = drop_strays([*codes, PackedMap.of(odd)], [0.0, -20.0, -40.0, -60.0, -80.0])
    assert dropped == 0
    np.testing.assert_array_equal(kept[4].values(), odd)


def test_a_lung_in_two_parts_keeps_both() -> None:
    codes = both_lungs()
    codes[45:50] = 0
    kept, dropped = drop_strays([PackedMap.of(codes)] * 5, [-5.0 * index for index in range(5)])
    assert dropped == 0
    np.testing.assert_array_equal(kept[2].values(), codes)


def test_a_piece_on_the_wrong_side_is_put_right_by_its_neighbours() -> None:
    codes = [both_lungs() for _ in range(5)]
    codes[2][20:80, 70:110] = RIGHT
    agreed, changed = agree_on_sides([PackedMap.of(each) for each in codes], [-5.0 * index for index in range(5)])
    assert changed == 1
    np.testing.assert_array_equal(agreed[2].values(), both_lungs())


def test_a_split_that_strays_is_put_right_pixel_by_pixel() -> None:
    joined = both_lungs()
    joined[40:60, 50:60], joined[40:60, 60:70] = RIGHT, LEFT
    codes = [joined.copy() for _ in range(5)]
    codes[2][40:60, 60:66] = RIGHT
    agreed, _ = agree_on_sides([PackedMap.of(each) for each in codes], [-5.0 * index for index in range(5)])
    np.testing.assert_array_equal(agreed[2].values(), joined)


def test_sides_far_apart_are_left_alone() -> None:
    codes = [both_lungs() for _ in range(3)]
    codes[1][20:80, 70:110] = RIGHT
    agreed, changed = agree_on_sides([PackedMap.of(each) for each in codes], [0.0, -15.0, -30.0])
    assert changed == 0
    np.testing.assert_array_equal(agreed[1].values(), codes[1])


def test_jumps_are_counted_for_each_lung() -> None:
    codes = [both_lungs() for _ in range(6)]
    moved = both_lungs()
    moved[20:80, 10:50] = 0
    moved[60:100, 10:50] = RIGHT
    codes[3] = moved
    heights = [-5.0 * index for index in range(6)]
    assert count_jumps([PackedMap.of(each) for each in codes], heights) == 2, "down and up again, on the right"
    assert count_jumps([PackedMap.of(both_lungs())] * 6, heights) == 0
    assert count_jumps([PackedMap.of(each) for each in codes], [-20.0 * index for index in range(6)]) == 0


def test_a_small_apex_is_no_jump() -> None:
    apex = np.zeros(SHAPE, dtype=np.uint8)
    apex[85:95, 12:20] = RIGHT
    heights = [-5.0 * index for index in range(5)]
    assert count_jumps([PackedMap.of(each) for each in [apex, *[both_lungs()] * 4]], heights) == 0


def test_nothing_settles_to_nothing() -> None:
    lungs = settle([], pixel_mm=PIXEL_MM, shell_mm=10)
    assert lungs.levels == ()
    empty = settle(surveyed([np.zeros(SHAPE, dtype=np.uint8)] * 3), pixel_mm=PIXEL_MM, shell_mm=10)
    assert not any(each.sides(SHAPE).any() for each in empty.levels)


def test_a_phantom_is_traced_to_its_carina_and_its_lungs_are_those_drawn() -> None:
    chest = ChestPhantom(seed=1, slices=30, matrix=256, pixel_mm=1.4)
    drawn = [chest.slice(index) for index in range(4, 18)]
    _, lungs = survey_slices(map(upright_slice, drawn), PatchRecipe(), shell_mm=10)
    # The phantom's trachea divides at 0.40 of its 240 mm; slices lie 8 mm apart.
    assert lungs.airways.carina_mm == pytest.approx(0.6 * 240, abs=8)
    assert (lungs.dropped, lungs.relabelled, lungs.jumps) == (0, 0, 0)


# --- depth ------------------------------------------------------------------------------------------------------------


def shells(codes: Sequence[Codes], *, spacing_mm: float, shell_mm: float = 10.0) -> list[NDArray[np.bool_]]:
    packed = [PackedMap.of(each) for each in codes]
    nothing = [PackedMap.of(np.zeros(SHAPE, dtype=np.uint8))] * len(codes)
    heights = [-spacing_mm * index for index in range(len(codes))]
    return list(subpleural_masks(packed, nothing, heights, coarse_mm=PIXEL_MM, shell_mm=shell_mm))


def random_stack(seed: int, count: int) -> list[Codes]:
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(count, *SHAPE)), (1.0, 6, 6))
    lung = noise > np.quantile(noise, 0.35)
    return [np.where(plane, RIGHT, 0).astype(np.uint8) for plane in lung]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1.0, 2.5, 5.0, 9.0, 12.0]), st.sampled_from([4.0, 10.0]))
def test_the_shell_is_that_of_the_distance_transform_in_space(seed: int, spacing_mm: float, shell_mm: float) -> None:
    codes = random_stack(seed, 7)
    volume = np.stack(codes) > 0
    whole = ndimage.distance_transform_edt(volume, sampling=(spacing_mm, PIXEL_MM, PIXEL_MM)) <= shell_mm + 1e-4
    for own, expected, lung in zip(shells(codes, spacing_mm=spacing_mm, shell_mm=shell_mm), whole, volume, strict=True):
        np.testing.assert_array_equal(own & lung, expected & lung)


def test_lung_above_the_diaphragm_is_subpleural_though_it_lies_deep_in_its_slice() -> None:
    bare = np.zeros(SHAPE, dtype=np.uint8)
    codes = [both_lungs()] * 5 + [bare]
    deep = [mask[50, 30] for mask in shells(codes, spacing_mm=5.0)]
    assert deep[:5] == [False, False, False, True, True]


def test_the_wall_of_an_airway_is_no_pleura_and_the_line_between_the_lungs_is() -> None:
    lung = both_lungs()
    hole = disc(50, 30, 5)
    lung[hole] = 0
    airway = PackedMap.of(hole.astype(np.uint8))
    nothing = PackedMap.of(np.zeros(SHAPE, dtype=np.uint8))
    for inside, subpleural in ((airway, False), (nothing, True)):
        (mask,) = subpleural_masks([PackedMap.of(lung)], [inside], [0.0], coarse_mm=PIXEL_MM, shell_mm=10)
        assert mask[50, 36] == subpleural
    touching = np.where(COLUMNS < MIDDLE, RIGHT, LEFT).astype(np.uint8)
    (mask,) = shells([touching], spacing_mm=5.0)
    assert mask[50, MIDDLE - 4]
    assert mask[50, MIDDLE + 4]
    assert not mask[50, MIDDLE + 20]


# --- smoothing --------------------------------------------------------------------------------------------------------


def filled(value: int, shape: tuple[int, int] = (5, 5)) -> NDArray[np.int16]:
    return np.full(shape, value, dtype=np.int16)


def test_a_tile_alone_among_others_takes_their_class() -> None:
    odd = filled(0)
    odd[2, 2] = 3
    (alone,) = smooth_classes([odd], [0.0], reach_mm=7.5)
    assert (alone == 0).all()
    same, *_ = smooth_classes([odd, odd], [0.0, -5.0], reach_mm=7.5)
    assert same[2, 2] == 0, "four beside it against itself and the one below"
    kept, *_ = smooth_classes([odd, odd, odd], [0.0, -5.0, -10.0], reach_mm=7.5)[1:]
    assert kept[2, 2] == 3, "itself and the ones above and below draw with the four beside it"


def test_slices_out_of_reach_have_no_vote() -> None:
    odd = filled(0)
    odd[2, 1:4] = 3
    stack = [filled(0), odd, filled(0)]
    assert smooth_classes(stack, [0.0, -5.0, -10.0], reach_mm=7.5)[1][2, 1] == 0
    assert smooth_classes(stack, [0.0, -10.0, -20.0], reach_mm=7.5)[1][2, 2] == 3


def test_what_is_no_lung_stays_so_and_has_no_vote() -> None:
    rim = filled(-1)
    rim[2, 2] = 3
    (same,) = smooth_classes([rim], [0.0], reach_mm=7.5)
    np.testing.assert_array_equal(same, rim)
    nothing = filled(-1)
    np.testing.assert_array_equal(smooth_classes([nothing], [0.0], reach_mm=7.5)[0], nothing)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_smoothing_invents_no_class_and_no_lung(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stack = [rng.integers(-1, 4, size=(6, 7)).astype(np.int16) for _ in range(4)]
    smooth = smooth_classes(stack, [0.0, -5.0, -10.0, -30.0], reach_mm=7.5)
    again = smooth_classes(stack, [0.0, -5.0, -10.0, -30.0], reach_mm=7.5)
    for index, (before, after) in enumerate(zip(stack, smooth, strict=True)):
        np.testing.assert_array_equal(before < 0, after < 0)
        near = [stack[other] for other in (index - 1, index + 1) if 0 <= other < 4]
        assert set(np.unique(after)) <= set(np.unique(np.stack([before, *near])))
        np.testing.assert_array_equal(after, again[index])


def test_packed_maps_come_back_as_they_were() -> None:
    codes = both_lungs()
    packed = PackedMap.of(codes[::2])
    np.testing.assert_array_equal(packed.values(), codes[::2])
    assert len(packed.packed) < codes.nbytes / 20
    assert Airways(masks=(packed,), traced=1, carina_mm=None, leaks=0).found
