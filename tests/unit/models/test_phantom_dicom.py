# SPDX-License-Identifier: Apache-2.0
"""Phantom DX files are valid, deterministic and say that they are phantoms."""

import subprocess

import numpy as np
import pydicom
import pytest

from models.phantoms.dicom import JAPANESE, JAPANESE_NAME, PhantomStudy, phantom_uid, write_dx
from service.dicom.pixels import read_image
from service.imaging.grayscale import to_presentation

PIXELS = np.random.default_rng(0).integers(0, 4096, (64, 48)).astype(np.uint16)
VARIANTS = {
    "pa": {},
    "monochrome1": {"photometric": "MONOCHROME1"},
    "lateral": {"view": "LL", "patient_orientation": ("A", "F")},
    "for_processing": {"for_processing": True},
}


@pytest.mark.peers
@pytest.mark.parametrize("name", VARIANTS)
def test_dciodvfy_finds_no_error(name, tmp_path):
    path = write_dx(tmp_path / "film.dcm", PIXELS, study=PhantomStudy(seed=name), **VARIANTS[name])
    checked = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    assert "Error" not in checked.stdout + checked.stderr


def test_the_same_study_gives_the_same_bytes(tmp_path):
    paths = [write_dx(tmp_path / name, PIXELS, study=PhantomStudy(seed="a")) for name in ("1.dcm", "2.dcm")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert phantom_uid("a") != phantom_uid("b")


def test_monochrome1_shows_the_same_picture(tmp_path):
    shown = [
        to_presentation(
            read_image(write_dx(tmp_path / f"{name}.dcm", PIXELS, study=PhantomStudy(seed=name), **options))
        )
        for name, options in (("pa", {}), ("monochrome1", {"photometric": "MONOCHROME1"}))
    ]
    assert np.allclose(shown[0], shown[1], atol=1 / 4000)


def test_the_file_says_that_it_is_a_phantom_and_keeps_a_japanese_name(tmp_path):
    study = PhantomStudy(seed="jp", patient_name=JAPANESE_NAME, character_set=JAPANESE)
    dataset = pydicom.dcmread(write_dx(tmp_path / "jp.dcm", PIXELS, study=study, changes={"ViewPosition": None}))
    assert "Synthetic" in dataset.ImageComments
    assert dataset.QualityControlImage == "YES"
    assert str(dataset.PatientName) == JAPANESE_NAME
    assert "ViewPosition" not in dataset
