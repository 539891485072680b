# SPDX-License-Identifier: Apache-2.0
"""A radiograph is upright, has its millimetres and knows the way back."""

import numpy as np

from service.domain.image import SpacingSource, StoredImage
from service.imaging.radiograph import air_darkness, as_chest_radiograph, as_mammogram, mediastinum_contrast

PIXELS = np.arange(6, dtype=np.uint8).reshape(2, 3)


def stored(orientation: tuple[str, str] | None, laterality: str = "") -> StoredImage:
    return StoredImage(
        sop_instance_uid="1.2",
        pixels=PIXELS,
        bits_stored=8,
        photometric_interpretation="MONOCHROME2",
        padding=(5, 5),
        spacing_mm=(0.2, 0.1),
        spacing_source=SpacingSource.IMAGER_PIXEL_SPACING,
        patient_orientation=orientation,
        laterality=laterality,
    )


def test_a_mirrored_chest_is_turned_with_its_padding() -> None:
    radiograph = as_chest_radiograph(stored(("R", "F")))
    np.testing.assert_allclose(radiograph.pixels, [[0.5, 0.25, 0], [0, 1, 0.75]])
    assert radiograph.padding.tolist() == [[False, False, False], [True, False, False]]
    assert radiograph.patient_orientation == ("L", "F")
    assert radiograph.to_source.box((0, 0, 1, 1)) == (2, 0, 3, 1)
    assert radiograph.source_shape == (2, 3)
    assert not radiograph.pixels.flags.writeable


def test_a_chest_on_its_side_swaps_its_spacing() -> None:
    radiograph = as_chest_radiograph(stored(("F", "L")))
    assert radiograph.pixels.shape == (3, 2)
    assert radiograph.pixel_spacing_mm == (0.1, 0.2)
    assert radiograph.to_source.box((1, 2, 2, 3)) == (2, 1, 3, 2)


def test_without_orientation_nothing_is_turned_and_the_caller_can_tell() -> None:
    assert as_chest_radiograph(stored(None)).patient_orientation is None
    assert as_chest_radiograph(stored(("A", "F"))).patient_orientation == ("A", "F")
    assert as_mammogram(stored(None)).patient_orientation is None


def test_a_mammogram_keeps_its_chest_wall() -> None:
    assert as_mammogram(stored(("P", "FL"), "R")).patient_orientation == ("P", "F")
    assert as_mammogram(stored(("A", "H"), "L")).to_source.apply((0, 0)) == (0, 2)


def test_polarity_measures_change_sign_with_the_picture() -> None:
    chest = np.full((100, 100), 0.2, dtype=np.float32)
    chest[:, 45:60] = 0.8
    assert mediastinum_contrast(chest) > 0.5 > -0.5 > mediastinum_contrast(1 - chest)
    body = chest > 0.5
    assert air_darkness(chest, body) > 0 > air_darkness(1 - chest, body)
    assert air_darkness(chest, np.ones_like(body)) == 0
