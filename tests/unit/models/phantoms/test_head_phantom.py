# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from scipy import ndimage

from harness.validators import dcentvfy, dciodvfy
from models.phantoms.dicom import PhantomStudy
from models.phantoms.head import HEAD_FINDINGS, HeadFinding, HeadPhantom
from models.phantoms.head.anatomy import BRAIN_LEVEL_MM, Head, Layers, Plane
from models.phantoms.head.dicom import write_head_series
from service.domain.errors import ConfigurationError

SMALL = HeadPhantom(seed=5, matrix=160, pixel_mm=1.3, thickness_mm=5.0)
QUIET = replace(SMALL, noise_hu=0.0)


def level(phantom: HeadPhantom, z_mm: float) -> int:
    """The slice that holds a height."""
    return int((phantom.top_mm - z_mm) / phantom.thickness_mm)


def layers_at(phantom: HeadPhantom, z_mm: float) -> Layers:
    head = Head.of(phantom.seed)
    return head.layers(head.plane(matrix=phantom.matrix, pixel_mm=phantom.pixel_mm, z=z_mm))


def test_the_same_seed_draws_the_same_slice_and_another_another_head() -> None:
    first, again, other = (replace(SMALL, seed=seed).slice(12).hounsfield for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_tissues_have_their_hounsfield_units() -> None:
    phantom = replace(QUIET, matrix=320, pixel_mm=0.65, thickness_mm=1.0, blur_mm=0.2)
    z = 20.0
    section, found = phantom.slice(level(phantom, z)), layers_at(phantom, z - 0.5)
    values, inside = section.hounsfield, found.depth_mm > 4
    white = values[inside & (found.grey < 0.05) & (found.csf < 0.05)]
    grey = values[inside & (found.grey > 0.95) & (found.csf < 0.05)]
    fluid = values[inside & (found.csf > 0.97)]
    assert np.median(values[:10, :10]) == pytest.approx(-1000, abs=1)
    assert 22 < np.median(white) < 33
    assert 33 < np.median(grey) < 44
    assert 6 < np.median(grey) - np.median(white) < 12
    assert 0 < np.median(fluid) < 15
    assert np.quantile(values, 0.999) > 1000, "compact bone of the skull"
    assert (values[inside] > 300).mean() < 0.01


def test_thick_slices_have_less_noise_by_the_root_of_their_thickness() -> None:
    def noise(thickness_mm: float) -> float:
        phantom = replace(SMALL, thickness_mm=thickness_mm)
        number = level(phantom, BRAIN_LEVEL_MM)
        noisy, quiet = phantom.slice(number).hounsfield, replace(phantom, noise_hu=0.0).slice(number).hounsfield
        return float((noisy - quiet)[60:100, 60:100].std())

    assert noise(1.0) == pytest.approx(6.5, rel=0.1)
    assert noise(1.0) / noise(5.0) == pytest.approx(np.sqrt(5), rel=0.12)


@pytest.mark.parametrize("kind", HEAD_FINDINGS)
def test_a_finding_lies_on_its_side_inside_the_skull(kind: str) -> None:
    size = {"epidural": 22.0, "subdural": 10.0, "subarachnoid": 40.0, "infarct": 60.0}.get(kind, 32.0)
    phantom = replace(QUIET, findings=(HeadFinding(kind=kind, side="L", size_mm=size),))
    sections = list(phantom)
    truth = np.stack([section.truth for section in sections]) > 0
    millilitres = truth.sum() * phantom.pixel_mm**2 * phantom.thickness_mm / 1000
    assert 2 < millilitres < 220
    values = np.stack([section.hounsfield for section in sections])
    core = ndimage.binary_erosion(truth, np.ones((1, 3, 3)))
    if kind == "infarct":
        assert 18 < np.median(values[core]) < 27, "darker than white matter"
    elif core.any():
        assert 50 < np.median(values[core]) < 75, "clotted blood"
    assert np.quantile(values[truth], 0.75) < 200, "at the skull a pixel is half bone"
    if kind != "subarachnoid":
        assert truth[:, :, 80:].sum() > 0.95 * truth.sum(), "the patient's left is on the picture's right"


def test_a_clot_pushes_the_midline_away_by_what_it_says() -> None:
    finding = HeadFinding(kind="intracerebral", side="R", size_mm=40, shift_mm=9.0)
    assert finding.midline_shift_mm == 9.0
    x = np.linspace(-40, 40, 801, dtype=np.float32)[None, :]
    plane = Plane(x, np.full((1, 1), -5, np.float32), 10.0)
    moved = Head.moved(plane, shift_mm=finding.midline_shift_mm).x
    place = float(x[0, np.abs(moved[0]).argmin()])
    assert place == pytest.approx(9.0, abs=0.6), "what lay in the middle now lies to the left"
    assert np.all(np.diff(moved[0]) > 0), "tissue is not folded"


def test_unknown_names_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="no head finding 'tumour'; known are epidural, subdural"):
        HeadFinding(kind="tumour")
    with pytest.raises(ConfigurationError, match="side 'M' of a head finding is neither R nor L"):
        HeadFinding(kind="infarct", side="M")


@pytest.mark.peers
@pytest.mark.parametrize("thickness_mm", [1.0, 5.0])
def test_the_files_are_valid_ct_images_from_the_vertex_down(thickness_mm: float, tmp_path: Path) -> None:
    phantom = replace(SMALL, matrix=64, pixel_mm=3.2, thickness_mm=thickness_mm, top_mm=40.0, bottom_mm=20.0)
    paths = write_head_series(tmp_path, phantom, study=PhantomStudy(seed="head"))
    assert len(paths) == round(20 / thickness_mm)
    assert [dciodvfy(path) for path in paths[::6]] == [[]] * len(paths[::6])
    assert dcentvfy(paths) == []
    heights = [float(dcmread(path).ImagePositionPatient[2]) for path in paths]
    assert heights == sorted(heights, reverse=True)
