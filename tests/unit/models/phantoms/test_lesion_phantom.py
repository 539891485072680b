# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from scipy import ndimage

from harness.validators import dcentvfy, dciodvfy
from models.phantoms.dicom import PhantomStudy
from models.phantoms.lesion import KINDS, LesionPhantom, draw_lesion, random_lesion_phantom
from models.phantoms.lesion.files import write_lesion_pair, write_lesion_series
from models.phantoms.lesion.kinds import sized
from models.phantoms.volume import power_law_volume
from service.domain.errors import ConfigurationError

QUIET = LesionPhantom(seed=3, matrix=48, voxel_mm=0.5, vessels=0, noise_hu=0.5, texture_hu=1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_draws_the_same_cube(kind: str) -> None:
    first, again, other = (draw_lesion(random_lesion_phantom(seed, kind=kind, matrix=24)) for seed in (4, 4, 5))
    assert np.array_equal(first.hounsfield, again.hounsfield)
    assert np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.hounsfield, other.hounsfield)


@pytest.mark.parametrize("roughness", [0.0, 0.12])
def test_the_volume_is_that_of_a_sphere_of_the_diameter(roughness: float) -> None:
    phantom = replace(QUIET, roughness=roughness, axes=(1.25, 1.0, 0.8))
    expected = np.pi / 6 * phantom.diameter_mm**3
    assert draw_lesion(phantom).volume_mm3 == pytest.approx(expected, rel=0.04)


def test_a_rough_lesion_is_no_sphere_and_holds_its_centre() -> None:
    drawn = draw_lesion(replace(QUIET, roughness=0.14, axes=(1.3, 1.0, 0.77)))
    line = (np.arange(48) + 0.5 - 24) * 0.5
    sphere = np.sqrt(sum(axis**2 for axis in np.ix_(line, line, line))) < drawn.phantom.diameter_mm / 2
    dice = 2 * (sphere & drawn.mask).sum() / (sphere.sum() + drawn.mask.sum())
    assert 0.7 < dice < 0.95, "a sphere from point and size is a fair, not a perfect label"
    assert drawn.mask[23:25, 23:25, 23:25].all()
    assert ndimage.label(drawn.mask)[1] == 1


@pytest.mark.parametrize("contrast", [60.0, -60.0])
def test_the_contrast_is_what_was_asked_for(contrast: float) -> None:
    phantom = replace(QUIET, kind="liver", tissue_hu=80.0, contrast_hu=contrast)
    drawn = draw_lesion(phantom)
    core = ndimage.binary_erosion(drawn.mask, iterations=4)
    far = ~ndimage.binary_dilation(drawn.mask, iterations=5)
    assert drawn.hounsfield[core].mean() - drawn.hounsfield[far].mean() == pytest.approx(contrast, abs=5)


def test_a_ring_is_brighter_than_its_core_and_than_the_tissue_around() -> None:
    phantom = replace(QUIET, kind="brain", tissue_hu=33.0, contrast_hu=30.0, ring_hu=30.0, diameter_mm=16.0)
    drawn = draw_lesion(phantom)
    depth = ndimage.distance_transform_edt(drawn.mask) * phantom.voxel_mm
    rim, core = drawn.hounsfield[(depth > 0.7) & (depth < 1.7)], drawn.hounsfield[depth > 5]
    around = drawn.hounsfield[ndimage.distance_transform_edt(~drawn.mask) * phantom.voxel_mm > 2]
    assert core.mean() + 25 < around.mean() + 20 < rim.mean()


def test_kinds_are_dark_bright_and_ringed_in_turn() -> None:
    drawn = [random_lesion_phantom(seed, kind="liver") for seed in range(60)]
    assert 0.3 < np.mean([phantom.contrast_hu < 0 for phantom in drawn]) < 0.85
    assert all(random_lesion_phantom(seed).contrast_hu > 500 for seed in range(20))
    assert {phantom.ring_hu > 0 for phantom in drawn} == {True, False}
    for phantom in drawn:
        low, high = KINDS["liver"].diameter_mm
        assert low <= phantom.diameter_mm <= high
        assert phantom.voxel_mm == pytest.approx(np.clip(2 * phantom.diameter_mm / 64, 0.3, 3.0), abs=1e-4)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="no lesion kind 'spleen'; known are nodule, liver, brain"):
        random_lesion_phantom(1, kind="spleen")


@pytest.mark.parametrize("beta", [2.0, 3.0])
def test_the_volume_noise_has_the_spectrum_that_is_asked_for(beta: float) -> None:
    field = power_law_volume((64, 64, 64), beta=beta, rng=np.random.default_rng(0))
    power = np.abs(np.fft.fftn(field)) ** 2
    axis = np.fft.fftfreq(64)
    radius = np.sqrt(sum(part**2 for part in np.ix_(axis, axis, axis)))
    bands = [power[(radius > low) & (radius < 1.2 * low)].mean() for low in (0.08, 0.4)]
    assert np.log(bands[0] / bands[1]) / np.log(5) == pytest.approx(beta, abs=0.25)


def test_the_pair_for_training_holds_voxels_mask_and_the_weak_label(tmp_path: Path) -> None:
    drawn = draw_lesion(random_lesion_phantom(7, matrix=24))
    first, second = (write_lesion_pair(tmp_path / f"{number}.npz", drawn) for number in range(2))
    assert first.read_bytes() == second.read_bytes()
    with np.load(first) as pair:
        assert np.array_equal(pair["mask"] > 0, drawn.mask)
        assert np.array_equal(pair["hounsfield"], drawn.hounsfield)
        assert pair["centre"].tolist() == [11.5, 11.5, 11.5]
        assert float(pair["diameter_mm"]) == drawn.phantom.diameter_mm


def test_the_series_holds_the_cube(tmp_path: Path) -> None:
    drawn = draw_lesion(sized(replace(QUIET, matrix=24), diameter_mm=8.0))
    paths = write_lesion_series(tmp_path, drawn, study=PhantomStudy(seed="voi"))
    planes = [dcmread(path) for path in paths]
    heights = [float(plane.ImagePositionPatient[2]) for plane in planes]
    assert heights == sorted(heights, reverse=True)
    stacked = np.stack([plane.pixel_array for plane in reversed(planes)]) - 1024.0
    np.testing.assert_array_equal(stacked, drawn.hounsfield)


@pytest.mark.peers
@pytest.mark.parametrize("kind", KINDS)
def test_the_files_are_valid_ct_images(kind: str, tmp_path: Path) -> None:
    drawn = draw_lesion(random_lesion_phantom(2, kind=kind, matrix=16))
    paths = write_lesion_series(tmp_path, drawn, study=PhantomStudy(seed=f"voi-{kind}"))
    assert [dciodvfy(path) for path in paths[::5]] == [[]] * len(paths[::5])
    assert dcentvfy(paths) == []
