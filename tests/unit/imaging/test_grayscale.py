# SPDX-License-Identifier: Apache-2.0
"""Worked examples of PS3.3 C.11.2, and the order of the chain."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.image import LookupTable, StoredImage, VoiFunction, Window
from service.imaging.grayscale import apply_window, padding_mask, to_hounsfield, to_presentation


def stored(pixels: Any, **fields: Any) -> StoredImage:
    array: NDArray[Any] = np.asarray(pixels, dtype=fields.pop("dtype", np.int16))
    photometric = fields.pop("photometric_interpretation", "MONOCHROME2")
    return StoredImage(
        sop_instance_uid="1.2", pixels=array, bits_stored=16, photometric_interpretation=photometric, **fields
    )


def lut(first: int, *entries: int, bits: int = 8) -> LookupTable:
    return LookupTable(first_mapped=first, entries=np.array(entries, dtype=np.uint16), bits=bits)


def windowed(window: Window, *values: float) -> list[float]:
    return [float(value) for value in apply_window(window, np.array(values))]


def test_linear_follows_c_11_2_1_2_1() -> None:
    """c = 2048, w = 4096 maps exactly 0 to black and 4095 to white (the standard's own example)."""
    assert windowed(Window(center=2048, width=4096), -1, 0, 4095, 4096) == pytest.approx([0, 0, 1, 1])
    assert windowed(Window(center=2048, width=4096), 2047.5) == pytest.approx([0.5])
    assert windowed(Window(center=0, width=100), 0) == pytest.approx([0.5 / 99 + 0.5])


def test_linear_of_width_one_is_a_threshold() -> None:
    assert windowed(Window(center=10, width=1), 9, 9.5, 9.6, 10) == [0, 0, 1, 1]


def test_linear_exact_follows_c_11_2_1_3_2() -> None:
    window = Window(center=0, width=100, function=VoiFunction.LINEAR_EXACT)
    assert windowed(window, -50, -25, 0, 50, 60) == pytest.approx([0, 0.25, 0.5, 1, 1])


def test_sigmoid_follows_c_11_2_1_3_1() -> None:
    window = Window(center=10, width=4, function=VoiFunction.SIGMOID)
    assert windowed(window, 10, 11) == pytest.approx([0.5, 1 / (1 + np.exp(-1))])
    assert windowed(window, -1e6, 1e6) == pytest.approx([0, 1])


@pytest.mark.parametrize(("padding", "copies"), [(None, 2.03), ((0, 0), 2.53)], ids=["no padding", "padding"])
def test_the_way_to_grey_takes_little_beside_the_grey_and_the_mask(padding: Any, copies: float) -> None:
    """In copies of the stored values, float32 is two and a mask is half a one."""
    pixels = np.random.default_rng(1).integers(0, 4096, (1024, 1024))
    image = stored(pixels, dtype=np.uint16, padding=padding, windows=(Window(center=2048, width=4096),))
    tracemalloc.start()
    to_presentation(image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / image.pixels.nbytes < copies


def test_inversion_comes_after_the_window() -> None:
    """A window off the middle tells the orders apart: inverting first would give 0 and 0.75."""
    image = stored(
        [[0, 100]],
        windows=(Window(center=50, width=200, function=VoiFunction.LINEAR_EXACT),),
        photometric_interpretation="MONOCHROME1",
    )
    np.testing.assert_allclose(to_presentation(image), [[0.75, 0.25]])


@pytest.mark.parametrize(
    ("photometric", "shape", "first"),
    [
        ("MONOCHROME2", "", 0.0),
        ("MONOCHROME1", "", 1.0),
        ("MONOCHROME2", "INVERSE", 1.0),
        ("MONOCHROME1", "INVERSE", 1.0),
        ("MONOCHROME2", "IDENTITY", 0.0),
    ],
)
def test_both_elements_invert_once(photometric: str, shape: str, first: float) -> None:
    image = stored([[0, 100]], photometric_interpretation=photometric, presentation_lut_shape=shape)
    assert to_presentation(image)[0, 0] == first


def test_rescale_comes_before_the_window() -> None:
    image = stored(
        [[0, 1000]],
        rescale_slope=2.0,
        rescale_intercept=-1000.0,
        windows=(Window(center=0, width=2000, function=VoiFunction.LINEAR_EXACT),),
    )
    np.testing.assert_allclose(to_presentation(image), [[0.0, 1.0]])


def test_a_voi_lut_wins_over_windows_and_clamps() -> None:
    image = stored([[-5, 10, 11, 12, 99]], voi_luts=(lut(10, 0, 51, 255),), windows=(Window(center=0, width=1),))
    np.testing.assert_allclose(to_presentation(image), [[0, 0, 0.2, 1, 1]], atol=1e-6)


def test_a_modality_lut_replaces_the_rescale() -> None:
    image = stored([[0, 1]], modality_lut=lut(0, 100, 200), rescale_slope=9.0, voi_luts=(lut(100, *range(101)),))
    np.testing.assert_allclose(to_presentation(image), [[0, 100 / 255]], atol=1e-6)


def test_without_voi_the_valid_range_is_shown_and_padding_is_black() -> None:
    image = stored([[-2000, 0, 50, 100]], padding=(-2000, -2000))
    np.testing.assert_allclose(to_presentation(image), [[0, 0, 0.5, 1]])


def test_padding_stays_black_after_inversion() -> None:
    image = stored([[0, 1, 3]], padding=(0, 0), photometric_interpretation="MONOCHROME1")
    np.testing.assert_allclose(to_presentation(image), [[0, 1, 0]])


def test_padding_is_an_inclusive_range() -> None:
    assert padding_mask(stored([[1, 2, 3, 4]], padding=(2, 3))).tolist() == [[False, True, True, False]]


def test_a_constant_or_wholly_padded_image_does_not_divide_by_zero() -> None:
    np.testing.assert_array_equal(to_presentation(stored([[7, 7]])), [[0, 0]])
    np.testing.assert_array_equal(to_presentation(stored([[7, 7]], padding=(7, 7))), [[0, 0]])


def test_wide_values_take_the_direct_way() -> None:
    image = stored([[0, 1 << 20, 1 << 21]], dtype=np.int32)
    np.testing.assert_allclose(to_presentation(image), [[0, 0.5, 1]])


def test_hounsfield_units_put_air_into_padding() -> None:
    image = stored([[-2000, 24, 1024]], padding=(-2000, -2000), rescale_intercept=-1024.0)
    np.testing.assert_allclose(to_hounsfield(image), [[-1024, -1000, 0]])
