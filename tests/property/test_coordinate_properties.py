# SPDX-License-Identifier: Apache-2.0
"""What is found on the grid of a network stands where it is in the stored image, to less than a pixel.

The maps are those that the pipelines compose: presentation and turn, resampling to mm, mirror, crop, and back.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.domain.image import Affine, Box, StoredImage
from service.domain.result import Region
from service.imaging.orientation import CHEST_FRONTAL, mirror
from service.imaging.radiograph import as_radiograph
from service.imaging.resample import letter_box, nearest_on, resample_box, resample_mm
from service.pipelines.mammography.canvas import place
from service.results.report.sr_group import closed_outline

ORIENTATIONS = [(a, b) for a in "LRHF" for b in "LRHF" if (a in "LR") != (b in "LR")]
SIZES = st.integers(60, 130)
SPACINGS = st.floats(0.4, 1.6)
SHARES = st.floats(0.3, 0.7)


def spot(rows: int, columns: int, *, x: float, y: float, radius: float = 5.0) -> NDArray[np.float64]:
    """A smooth spot whose centre is at (x, y) in edge coordinates."""
    yy, xx = np.mgrid[0:rows, 0:columns] + 0.5
    return np.asarray(np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / radius**2))


def centre(picture: NDArray[np.floating]) -> tuple[float, float]:
    """The centre of what is bright, in edge coordinates; what is dimmer than a tenth does not count."""
    weight = np.where(picture > 0.1 * picture.max(), picture, 0)
    rows, columns = np.arange(picture.shape[0]) + 0.5, np.arange(picture.shape[1]) + 0.5
    return (
        float((weight.sum(axis=0) * columns).sum() / weight.sum()),
        float((weight.sum(axis=1) * rows).sum() / weight.sum()),
    )


def film(
    photometric: str, orientation: tuple[str, str], *, size: tuple[int, int], at: tuple[float, float]
) -> StoredImage:
    shown = np.rint(4000 * spot(*size, x=at[0], y=at[1])).astype(np.uint16)
    return StoredImage(
        sop_instance_uid="1",
        pixels=4000 - shown if photometric == "MONOCHROME1" else shown,
        bits_stored=12,
        photometric_interpretation=photometric,
        patient_orientation=orientation,
    )


def assert_back(to_stored: Affine, found: tuple[float, float], true: tuple[float, float]) -> None:
    x, y = to_stored.apply(found)
    assert abs(x - true[0]) < 0.5, "less than a pixel of the stored image"
    assert abs(y - true[1]) < 0.5


@settings(deadline=None)
@given(
    photometric=st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    orientation=st.sampled_from(ORIENTATIONS),
    size=st.tuples(SIZES, SIZES),
    share=st.tuples(SHARES, SHARES),
    spacing_mm=st.tuples(SPACINGS, SPACINGS),
    mirrored=st.booleans(),
)
def test_a_spot_is_found_again_through_turn_polarity_resampling_and_mirror(
    *,
    photometric: str,
    orientation: tuple[str, str],
    size: tuple[int, int],
    share: tuple[float, float],
    spacing_mm: tuple[float, float],
    mirrored: bool,
) -> None:
    true = (share[0] * size[1], share[1] * size[0])
    radiograph = as_radiograph(film(photometric, orientation, size=size, at=true), target_orientation=CHEST_FRONTAL)
    assert_back(radiograph.to_source, centre(radiograph.pixels), true)
    grey, back = resample_mm(radiograph.pixels, spacing_mm, target_mm=1.0)
    if mirrored:
        grey, unmirror = mirror(grey)
        back = unmirror.then(back)
    assert_back(back.then(radiograph.to_source), centre(grey), true)


@settings(deadline=None)
@given(st.tuples(SIZES, SIZES), st.tuples(SHARES, SHARES), st.integers(40, 96), st.integers(40, 96))
def test_a_spot_is_found_again_in_a_letter_box_and_on_a_canvas(
    size: tuple[int, int], share: tuple[float, float], high: int, wide: int
) -> None:
    true = (share[0] * size[1], share[1] * size[0])
    picture = spot(*size, x=true[0], y=true[1]).astype(np.float32)
    boxed, back = letter_box(picture, (high, wide))
    assert_back(back, centre(boxed), true)
    canvas = place(picture, picture > 0.01, shape=(160, 160), percentiles=(0.0, 100.0))
    assert_back(canvas.to_picture, centre(canvas.tensor[0]), true)


@settings(deadline=None)
@given(st.tuples(SIZES, SIZES), st.tuples(SHARES, SHARES), st.floats(-20, 20), st.floats(-20, 20), st.floats(40, 90))
def test_a_spot_is_found_again_in_a_crop_that_starts_between_pixels(
    size: tuple[int, int], share: tuple[float, float], dx: float, dy: float, side: float
) -> None:
    true = (share[0] * size[1], share[1] * size[0])
    box: Box = (true[0] + dx - side / 2, true[1] + dy - side / 2, true[0] + dx + side / 2, true[1] + dy + side / 2)
    picture = spot(*size, x=true[0], y=true[1], radius=3.0)
    crop, back = resample_box(picture, box, shape=(64, 64))
    if min(side / 2 - abs(dx), side / 2 - abs(dy)) > 8:  # the spot lies in the crop as a whole
        assert_back(back, centre(crop), true)


TURNS = st.sampled_from([(1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1), (0, 1, 1, 0), (0, -1, 1, 0)])
SCALES = st.floats(0.05, 20)
OFFSETS = st.floats(-3000, 3000)
MAPS = st.builds(
    lambda turn, sx, sy, c, f: Affine(sx * turn[0], sx * turn[1], c, sy * turn[2], sy * turn[3], f),
    TURNS,
    SCALES,
    SCALES,
    OFFSETS,
    OFFSETS,
)


@given(st.lists(MAPS, min_size=1, max_size=4), st.tuples(st.floats(0, 4096), st.floats(0, 4096)))
def test_a_point_goes_to_the_grid_and_back_to_a_thousandth_of_a_pixel(
    maps: list[Affine], point: tuple[float, float]
) -> None:
    to_stored = maps[0]
    for following in maps[1:]:
        to_stored = to_stored.then(following)
    assert to_stored.apply(to_stored.inverse().apply(point)) == pytest.approx(point, abs=1e-3)


@given(MAPS, st.tuples(st.floats(0, 500), st.floats(0, 500), st.floats(1, 500), st.floats(1, 500)))
def test_a_box_keeps_its_area_and_its_corners_through_turns_and_scales(
    to_stored: Affine, box: tuple[float, float, float, float]
) -> None:
    x, y, width, height = box
    x0, y0, x1, y1 = to_stored.box((x, y, x + width, y + height))
    scale = abs(to_stored.a * to_stored.e - to_stored.b * to_stored.d)
    assert (x1 - x0) * (y1 - y0) == pytest.approx(scale * width * height, rel=1e-3, abs=1e-6)
    back = to_stored.inverse().box((x0, y0, x1, y1))
    assert back == pytest.approx((x, y, x + width, y + height), abs=1e-3)


@given(
    st.tuples(st.floats(-50, 150), st.floats(-50, 150), st.floats(-50, 150), st.floats(-50, 150)),
    st.integers(1, 100),
    st.integers(1, 100),
)
def test_every_outline_lies_on_its_image_closed_and_a_pixel_wide(
    corners: tuple[float, float, float, float], columns: int, rows: int
) -> None:
    x0, x1 = sorted((corners[0], corners[1]))
    y0, y1 = sorted((corners[2], corners[3]))
    outline = closed_outline(Region.box("1", x0=x0, y0=y0, x1=x1, y1=y1), columns, rows)
    assert (outline[0] == outline[-1]).all()
    assert (outline >= 0).all()
    assert (outline <= (columns, rows)).all()
    assert (np.ptp(outline, axis=0) >= 1 - 1e-9).all()


@settings(deadline=None)
@given(
    size=st.tuples(st.integers(4, 40), st.integers(4, 40)),
    flips=st.tuples(st.sampled_from([1, -1]), st.sampled_from([1, -1])),
    scale=st.floats(0.5, 3),
    seed=st.integers(0, 2**31),
)
def test_labels_drawn_on_the_stored_grid_lie_under_their_pixels(
    *, size: tuple[int, int], flips: tuple[int, int], scale: float, seed: int
) -> None:
    """Each stored pixel has the label of the grid's cell that holds its centre, whatever the mirror and the scale."""
    (rows, columns), (flip_x, flip_y) = size, flips
    labels = np.random.default_rng(seed).integers(1, 9, (rows, columns), dtype=np.uint8)
    shape = (max(1, int(rows * scale)), max(1, int(columns * scale)))
    to_stored = Affine(
        a=flip_x * scale, c=0 if flip_x > 0 else shape[1], e=flip_y * scale, f=0 if flip_y > 0 else shape[0]
    )
    drawn = nearest_on(labels, to_stored, shape=shape)
    back = to_stored.inverse()
    for row, column in np.ndindex(shape):
        x, y = back.apply((column + 0.5, row + 0.5))
        if min(x % 1, 1 - x % 1, y % 1, 1 - y % 1) > 1e-6:  # not on the edge between two cells
            inside = 0 <= x < columns and 0 <= y < rows
            assert drawn[row, column] == (labels[int(y), int(x)] if inside else 0)
