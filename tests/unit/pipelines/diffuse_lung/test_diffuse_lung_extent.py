# SPDX-License-Identifier: Apache-2.0
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from diffuse_lung_instances import ct_slice
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.phantoms.computed_tomography import ChestPhantom
from service.domain.errors import PackageError
from service.domain.image import Affine, SlicePlane, StoredImage
from service.pipelines.diffuse_lung.acceptance import Acceptance
from service.pipelines.diffuse_lung.airways import Airways
from service.pipelines.diffuse_lung.anatomy import anatomy_flags, anatomy_refusals, lung_litres
from service.pipelines.diffuse_lung.extent import SliceExtent, count_classes, in_batches, in_fields
from service.pipelines.diffuse_lung.findings import absent, make_findings, reported
from service.pipelines.diffuse_lung.lung_extent import LungExtent, gather, measure_slices
from service.pipelines.diffuse_lung.lungs import cut_mm
from service.pipelines.diffuse_lung.patches import PatchRecipe, cut_patches, tile
from service.pipelines.diffuse_lung.patterns import parse_patterns
from service.pipelines.diffuse_lung.reading import Reading
from service.pipelines.diffuse_lung.slices import AxialSlice, upright
from service.pipelines.diffuse_lung.summary import headline
from service.pipelines.diffuse_lung.volume import LungLevel, Lungs
from service.pipelines.diffuse_lung.zones import volume_thirds

RECIPE = PatchRecipe()
PATTERNS = parse_patterns(
    {
        "patterns": [
            {"name": name, "title": title, "scheme": scheme, "value": value, "least_percent": least}
            for name, title, scheme, value, least in (
                ("normal", "Normal lung", "99DOKUEI", "DLD-NORMAL", 0),
                ("reticulation", "Reticulation", "DCM", "112113", 2),
                ("honeycombing", "Honeycombing", "DCM", "112106", 2),
            )
        ]
    }
)


UNSMOOTHED = Reading(smoothing_reach_mm=0)


def section(
    number: int,
    right: list[list[int]],
    left: list[list[int]],
    *,
    height_mm: float,
    low_px: int = 0,
    subpleural: NDArray[np.bool_] | None = None,
) -> SliceExtent:
    """A slice whose left half of tiles is the right lung; every tile is a full one, central unless said otherwise."""
    classes = np.array([[*one, *other] for one, other in zip(right, left, strict=True)], dtype=np.int16)
    half = len(right[0])
    near = np.zeros(classes.shape, dtype=bool) if subpleural is None else subpleural
    on_right = np.arange(classes.shape[1])[None] < np.full((len(right), 1), half)
    tile_px = np.array(
        [[144 * ((classes >= 0) & on_side & shell) for shell in (near, ~near)] for on_side in (on_right, ~on_right)],
        dtype=np.uint16,
    )
    fine = [np.kron(each, np.ones((12, 12))).astype("u1") for each in ((classes >= 0) * np.where(on_right, 1, 2), near)]
    return SliceExtent(
        instance=ct_slice(number, z_mm=height_mm),
        frame_number=None,
        height_mm=height_mm,
        pixel_mm=0.6,
        tile_px=tile_px,
        by_shell=count_classes(classes, tile_px, patterns=3),
        low_px=low_px,
        classes=classes,
        abnormality=(classes > 0).astype(np.float32),
        to_upright=Affine(),
        to_stored=Affine(),
        size=(512, 512),
        level=LungLevel.of(fine[0], fine[1] > 0, 1),
        grid=(fine[0].shape[0], fine[0].shape[1]),
        plane=SlicePlane(position_mm=(0, 0, height_mm), orientation=(1, 0, 0, 0, 1, 0)),
        spacing_mm=(0.6, 0.6),
    )


def extent_of(
    sections: Sequence[SliceExtent], *, carina_mm: float | None = None, jumps: int = 0, has_volumes: bool = True
) -> LungExtent:
    """Add slices up without smoothing, as if their lungs had been settled so."""
    airways = Airways(masks=(), traced=0, carina_mm=carina_mm, leaks=0)
    settled = Lungs(levels=tuple(each.level for each in sections), airways=airways, jumps=jumps)
    return gather(sections, lungs=settled, patterns=3, reading=UNSMOOTHED, has_volumes=has_volumes)


def lungs() -> LungExtent:
    """Upper third normal; middle with a little reticulation; lower with honeycombing on the right alone."""
    normal = [[0, 0], [0, 0]]
    return extent_of(
        [
            section(3, [[2, 2], [0, 0]], normal, height_mm=0),
            section(1, normal, normal, height_mm=20),
            section(2, [[1, 0], [0, 0]], normal, height_mm=10),
        ]
    )


def test_shares_go_to_the_right_zone_and_side() -> None:
    extent = lungs()
    assert extent.zones == (0, 1, 2)
    assert extent.percent(2, zone=2, side=0) == pytest.approx(50)
    assert extent.percent(2, zone=2, side=1) == 0
    assert extent.percent(2, zone=0) == 0
    assert extent.percent(1, zone=1, side=0) == pytest.approx(25)
    assert extent.percent(2) == pytest.approx(100 * 2 / 24)


@given(st.lists(st.lists(st.integers(-1, 2), min_size=4, max_size=4), min_size=1, max_size=12))
def test_percents_of_all_patterns_sum_to_100_wherever_lung_is_classified(rows: list[list[int]]) -> None:
    sections = [section(n, [row[:2]], [row[2:]], height_mm=-n) for n, row in enumerate(rows)]
    extent = extent_of(sections)
    for zone in (None, 0, 1, 2):
        for side in (None, 0, 1):
            total = sum(extent.percent(pattern, zone=zone, side=side) for pattern in range(3))
            assert total == pytest.approx(100) or total == 0
    assert extent.abnormal_share == pytest.approx((extent.percent(1) + extent.percent(2)) / 100)


@given(st.lists(st.floats(0.1, 300), min_size=3, max_size=80))
def test_zones_fall_from_head_to_feet_and_hold_a_third_each_to_within_a_slice(areas: list[float]) -> None:
    zones = volume_thirds(areas)
    assert all(upper <= lower for upper, lower in pairwise(zones))
    for zone in range(3):
        volume = sum(area for area, own in zip(areas, zones, strict=True) if own == zone)
        assert abs(volume - sum(areas) / 3) <= max(areas) + 1e-6


def test_findings_are_coded_and_lie_on_the_slice_that_has_most() -> None:
    extent = lungs()
    findings = {finding.key: finding for finding in make_findings(extent, PATTERNS, recipe=RECIPE)}
    assert set(findings) == {
        "pattern-honeycombing",
        "pattern-honeycombing-RL",
        "pattern-reticulation",
        "pattern-reticulation-RM",
    }
    zone = findings["pattern-honeycombing-RL"]
    assert (zone.finding.value, zone.site and zone.site.value) == ("112106", "ZONE-RL")
    assert zone.laterality is not None
    assert zone.laterality.meaning == "Right"
    assert zone.measurements[0].value == 50.0
    assert zone.region.sop_instance_uid == "1.2.3"
    assert zone.region.points[0] == (0, 0)
    assert zone.region.points[2] == (24, 12)
    assert zone.label == "Honeycombing: 50 % of right lower zone"


def test_a_pattern_below_its_cut_off_is_no_finding() -> None:
    normal = [[0] * 10] * 10
    little = [[1, *[0] * 9], *[[0] * 10] * 9]
    extent = extent_of([section(1, little, normal, height_mm=0)])
    assert 0 < extent.percent(1) < 2
    assert reported(extent, PATTERNS) == ()
    finding = absent(extent, recipe=RECIPE)
    assert finding.presence == "absent"
    assert finding.region.points[2] == (240, 120)


def test_headline_names_the_largest_patterns_and_fits() -> None:
    extent = lungs()
    assert headline(extent, PATTERNS, reported(extent, PATTERNS)) == "Diffuse lung: honeycombing 8 %, reticulation 4 %"
    assert len(headline(extent, PATTERNS, (1, 2) * 10)) <= 64


# --- anatomy ----------------------------------------------------------------------------------------------------------


def chest(tiles: int = 10, *, count: int = 9, left: int = 0) -> LungExtent:
    full, other = [[0] * tiles] * tiles, [[left] * tiles] * tiles
    return extent_of([section(n, full, other, height_mm=-30.0 * n) for n in range(count)])


@pytest.mark.parametrize(
    ("extent", "codes"),
    [
        (chest(12), []),
        (chest(4), ["no_lungs"]),
        (chest(14, left=-1), ["one_lung"]),
        (chest(12, count=2), ["lung_volume_implausible"]),
        (chest(12, count=1), ["lung_volume_implausible"]),
        (extent_of([]), ["no_lungs"]),
    ],
)
def test_anatomy_is_refused_for_what_is_no_pair_of_lungs(extent: LungExtent, codes: list[str]) -> None:
    assert [reason.code for reason in anatomy_refusals(extent, Acceptance())] == codes


def test_open_ends_are_flagged() -> None:
    assert [flag.code for flag in anatomy_flags(chest(12), PATTERNS, Acceptance(), margin=10)] == ["lungs_cut_off"] * 2
    assert lung_litres(chest(12)) == pytest.approx(9 * 288 * 144 * 0.36 * 30 / 1e6)


# --- tiles and patches ------------------------------------------------------------------------------------------------


def test_patches_lie_around_their_tiles() -> None:
    sides = np.ones((96, 96), dtype=np.uint8)
    hounsfield = np.add.outer(np.arange(96.0), 100 * np.arange(96.0)).astype(np.float32)
    wide = PatchRecipe(window_hu=(0.0, 100_000.0))
    tiling = tile(sides, wide)
    patches = cut_patches(hounsfield, tiling, wide) * 100_000
    index = int(np.flatnonzero((tiling.chosen == (4, 3)).all(axis=1))[0])
    np.testing.assert_allclose(patches[index, 0], hounsfield[30:78, 18:66], atol=0.02)


def test_only_patches_with_enough_lung_are_chosen() -> None:
    sides = np.zeros((96, 96), dtype=np.uint8)
    sides[:, 48:] = 1
    columns = {int(column) for _, column in tile(sides, RECIPE).chosen}
    assert columns == {5, 6}, "a patch at column 4 would be five eighths lung; at 7 it would leave the picture"


def test_batches_are_bounded_and_in_order() -> None:
    sizes: list[int] = []

    def classify(patches: NDArray[np.float32]) -> NDArray[np.float32]:
        sizes.append(len(patches))
        return patches[:, 0, 0]

    hounsfield = np.random.default_rng(1).uniform(-1000, 200, (96, 96)).astype(np.float32)
    tiling = tile(np.ones(hounsfield.shape, dtype=np.uint8), RECIPE)
    tiling = replace(tiling, chosen=tiling.chosen[:10])
    expected = cut_patches(hounsfield, tiling, RECIPE)[:, 0, 0]
    np.testing.assert_array_equal(in_batches(classify, 4)(hounsfield, tiling, RECIPE), expected)
    assert sizes == [4, 4, 2]


def test_fields_hold_the_patches_of_the_chosen_tiles_and_tell_of_no_others() -> None:
    """A graph that answers with the patch itself, row by row: what comes back are the cut patches, in their order."""
    hounsfield = np.random.default_rng(2).uniform(-1000, 200, (150, 210)).astype(np.float32)
    sides = np.zeros(hounsfield.shape, dtype=np.uint8)
    sides[10:140, 5:95], sides[40:120, 105:200] = 1, 2
    tiling = tile(sides, RECIPE)
    told: list[Any] = []
    seen: list[tuple[int, ...]] = []

    def read(field: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        seen.append(field.shape)
        views = np.lib.stride_tricks.sliding_window_view(field[0, 0], (48, 48))[::12, ::12].reshape(-1, 48 * 48)
        return {"probability": views, "margin": views[:, 0]}

    found = in_fields(read, tell=told.append)(hounsfield, tiling, RECIPE)
    expected = cut_patches(hounsfield, tiling, RECIPE).reshape(len(tiling.chosen), -1)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(told[0]["margin"], expected[:, 0])
    assert len(seen) == 2
    assert all(shape[:2] == (1, 1) and (shape[2] - 48) % 12 == (shape[3] - 48) % 12 == 0 for shape in seen)


def test_a_slice_without_lung_has_no_share() -> None:
    empty = AxialSlice(
        instance=ct_slice(1, z_mm=0),
        frame_number=None,
        hounsfield=np.full((256, 256), 40, dtype=np.float32),
        spacing_mm=(0.7, 0.7),
        plane=SlicePlane(position_mm=(0, 0, 0), orientation=(1, 0, 0, 0, 1, 0)),
        to_stored=Affine(),
    )
    extent = measure_slices(lambda: [empty], RECIPE, classify=_must_not_run, patterns=3)
    assert extent.slices[0].area_px == 0
    assert extent.by_shell.sum() == 0


def _must_not_run(*_: Any) -> NDArray[np.float32]:
    raise AssertionError("there is nothing to classify")


# --- lying upright ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, -1, 0), (1, 0, 0, 0, -1, 0)])
def test_upright_slices_keep_every_pixel_at_its_place_in_the_patient(orientation: tuple[float, ...]) -> None:
    stored = StoredImage(
        sop_instance_uid="1",
        pixels=np.arange(12).reshape(3, 4),
        bits_stored=12,
        photometric_interpretation="MONOCHROME2",
        spacing_mm=(2.0, 3.0),
        plane=SlicePlane(position_mm=(10.0, 20.0, 30.0), orientation=orientation),
    )
    shown = upright(stored, ct_slice(1, z_mm=30))
    for row in range(3):
        for column in range(4):
            x, y = shown.to_stored.apply((column + 0.5, row + 0.5))
            assert stored.pixels[int(y), int(x)] == shown.hounsfield[row, column]
            there = _place(shown.plane, row=row, column=column)
            assert there == _place(stored.plane, row=int(y), column=int(x))
    assert shown.plane.orientation[0] > 0
    assert shown.plane.orientation[4] > 0


def _place(plane: SlicePlane | None, *, row: int, column: int) -> tuple[float, ...]:
    assert plane is not None
    along, down = np.array(plane.orientation[:3]) * 3.0 * column, np.array(plane.orientation[3:]) * 2.0 * row
    return tuple(np.array(plane.position_mm) + along + down)


# --- manifest ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "acceptance", [{"thickness": 2.0}, {"minimum_slices": "8"}, {"kernels": "B70"}, {"uniformity": True}]
)
def test_an_acceptance_that_is_not_understood_is_refused(acceptance: dict[str, Any]) -> None:
    with pytest.raises(PackageError, match="acceptance"):
        Acceptance.parse(acceptance)


@pytest.mark.parametrize(
    "patterns", [[], [{"name": "normal"}], [{"name": "a", "title": "A", "scheme": "X", "value": "1"}]]
)
def test_patterns_that_are_not_understood_are_refused(patterns: list[dict[str, Any]]) -> None:
    with pytest.raises(PackageError, match=r"parameters\.patterns"):
        parse_patterns({"patterns": patterns})


# --- memory -----------------------------------------------------------------------------------------------------------


def test_a_long_series_needs_no_more_memory_than_a_short_one() -> None:
    short, long = _peak_bytes(10), _peak_bytes(120)
    assert long < short + 8_000_000, "120 slices as float32 on this grid would be 43 MB"


def _peak_bytes(count: int) -> int:
    drawn, coarse = ChestPhantom(seed=1, slices=24).slice(10), PatchRecipe(pixel_mm=1.2)

    def slices() -> Iterator[AxialSlice]:
        for number in range(count):
            yield AxialSlice(
                instance=ct_slice(number, z_mm=-float(number)),
                frame_number=None,
                hounsfield=drawn.hounsfield + number,
                spacing_mm=(0.7, 0.7),
                plane=SlicePlane(position_mm=(0, 0, -float(number)), orientation=(1, 0, 0, 0, 1, 0)),
                to_stored=Affine(),
            )

    tracemalloc.start()
    extent = measure_slices(slices, coarse, classify=in_batches(_all_normal, 64), patterns=3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(extent.slices) == count
    assert extent.percent(0) == 100
    return peak


def _all_normal(patches: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.tile(np.array([[1, 0, 0]], dtype=np.float32), (len(patches), 1))


@pytest.mark.parametrize(
    ("edge", "expected"),
    [
        ([(0, 60, -1000), (60, 90, 40), (90, 150, -860), (150, 180, 40), (180, 256, -1000)], 36.0),
        ([(0, 60, -1000), (60, 90, 40), (90, 150, -990), (150, 180, 40), (180, 256, -1000)], 0.0),
        ([(0, 60, -1000), (60, 180, 40), (180, 256, -1000)], 0.0),
        ([(0, 256, -1000)], 0.0),
        ([(0, 120, -860), (120, 256, 40)], 0.0),
    ],
    ids=["lung", "air under an arm", "chest wall", "outside", "open to the corner"],
)
def test_lung_on_the_edge_of_a_slice_is_measured(edge: list[tuple[int, int, float]], expected: float) -> None:
    hounsfield = np.full((256, 256), 40, dtype=np.float32)
    for start, stop, value in edge:
        hounsfield[start:stop, :6] = value
    hounsfield[:, 250:] = -1000
    assert cut_mm(hounsfield, pixel_mm=0.6) == pytest.approx(expected, abs=2.5)
    assert cut_mm(hounsfield[:, ::-1].copy(), pixel_mm=0.6) == pytest.approx(expected, abs=2.5)
