# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

import numpy as np
import pydicom
import pytest

from harness.validators import dcentvfy, dciodvfy
from models.phantoms.computed_tomography import (
    NOT_LUNG,
    PATTERNS,
    ChestPhantom,
    Involvement,
    Scanner,
    shifted_scanner,
    texture_patch,
    usual_scanner,
)
from models.phantoms.computed_tomography.dicom import write_ct_series
from models.phantoms.dicom import JAPANESE, JAPANESE_NAME, PhantomStudy

HONEYCOMBS = Involvement(pattern="honeycombing", levels=(0.6, 1.0), sides="R", depth_mm=12)


def patch(pattern: str, seed: int = 1) -> np.ndarray:
    return texture_patch(pattern, rng=np.random.default_rng(seed), scanner=Scanner(noise_hu=15))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_patch_is_drawn_in_whole_hounsfield_units_and_repeats(pattern: str) -> None:
    drawn = patch(pattern)
    assert drawn.shape == (48, 48)
    assert drawn.dtype == np.float32
    assert drawn.min() >= -1024
    np.testing.assert_array_equal(drawn, np.rint(drawn))
    np.testing.assert_array_equal(drawn, patch(pattern))
    assert not np.array_equal(drawn, patch(pattern, seed=2))


def test_patterns_differ_in_density_as_they_should() -> None:
    mean = {pattern: float(np.mean([patch(pattern, seed).mean() for seed in range(8)])) for pattern in PATTERNS}
    assert mean["emphysema"] < mean["normal"] < mean["reticulation"]
    assert mean["normal"] + 150 < mean["ground_glass"] < mean["crazy_paving"] < mean["consolidation"]
    assert mean["multiple_cysts"] < mean["normal"] + 60


def test_a_shifted_scanner_is_noisier_and_softer_than_any_usual_one() -> None:
    usual = [usual_scanner(np.random.default_rng(seed)) for seed in range(50)]
    shifted = [shifted_scanner(np.random.default_rng(seed)) for seed in range(50)]
    assert min(each.noise_hu for each in shifted) > max(each.noise_hu for each in usual)
    assert min(each.blur_mm for each in shifted) > max(each.blur_mm for each in usual)


def test_a_pattern_lies_where_it_was_asked_for() -> None:
    chest = ChestPhantom(seed=5, involvements=(HONEYCOMBS,), slices=12)
    for index, section in enumerate(chest):
        there = section.truth == PATTERNS.index("honeycombing")
        assert there.any() == (index >= 7)
        assert not there[:, 256:].any(), "the patient's left is on the picture's right"


def test_a_chest_holds_two_lungs_of_a_believable_volume() -> None:
    chest = ChestPhantom(seed=5, slices=12)
    lung = np.array([[(half != NOT_LUNG).sum() for half in np.hsplit(section.truth, 2)] for section in chest])
    litres = lung.sum() * chest.pixel_mm**2 * chest.spacing_mm / 1e6
    assert 2.5 < litres < 7
    assert 0.7 < lung[:, 1].sum() / lung[:, 0].sum() < 1.1, "the heart takes room from the left lung"


@pytest.mark.peers
def test_the_files_are_valid_ct_images(tmp_path: Path) -> None:
    study = PhantomStudy(seed="ct", character_set=JAPANESE, patient_name=JAPANESE_NAME)
    paths = write_ct_series(tmp_path, ChestPhantom(seed=6, slices=12), study=study, indices=(0, 5, 11))
    assert [dciodvfy(path) for path in paths] == [[], [], []]
    assert dcentvfy(paths) == []


def test_files_hold_hounsfield_units_at_falling_heights(tmp_path: Path) -> None:
    chest = ChestPhantom(seed=6, slices=12)
    paths = write_ct_series(tmp_path, chest, study=PhantomStudy(seed="ct"), indices=(4, 5), changes={"KVP": 100})
    first, second = (pydicom.dcmread(path) for path in paths)
    assert first.ImagePositionPatient[2] - second.ImagePositionPatient[2] == pytest.approx(20)
    np.testing.assert_array_equal(first.pixel_array - 1024.0, chest.slice(4).hounsfield)
    assert first.KVP == 100
    assert first.SOPInstanceUID != second.SOPInstanceUID
