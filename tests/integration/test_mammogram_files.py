# SPDX-License-Identifier: Apache-2.0
"""The phantom mammograms are valid DICOM, by a validator that is not ours."""

import subprocess
from pathlib import Path

import pytest

from models.phantoms.dicom import JAPANESE, JAPANESE_NAME, PhantomStudy
from models.phantoms.mammogram.breast import random_breast
from models.phantoms.mammogram.files import StoredAs, write_mg_exam, write_mg_view
from models.phantoms.mammogram.view import draw_view


def errors_of(path: Path) -> list[str]:
    output = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False).stderr
    assert "Mammography" in output
    return [line for line in output.splitlines() if line.startswith("Error")]


@pytest.mark.peers
def test_an_exam_with_raw_siblings_is_valid(tmp_path):
    study = PhantomStudy(seed="valid", character_set=JAPANESE, patient_name=JAPANESE_NAME)
    write_mg_exam(tmp_path, study=study, seed=3, mass_in="R", pitch_mm=0.8, for_processing=True)
    files = sorted(tmp_path.glob("*.dcm"))
    assert len(files) == 8
    assert {path.name: errors_of(path) for path in files} == {path.name: [] for path in files}


@pytest.mark.peers
@pytest.mark.parametrize(
    "stored",
    [StoredAs(photometric="MONOCHROME1"), StoredAs(voi="SIGMOID"), StoredAs(spot=True), StoredAs(mirrored=True)],
    ids=["inverse", "sigmoid", "spot", "mirrored"],
)
def test_odd_variants_are_valid(tmp_path, stored):
    breast = random_breast("L", 3)
    picture, study = draw_view(breast, "MLO", pitch_mm=0.8), PhantomStudy(seed="odd")
    written = write_mg_view(tmp_path / "v.dcm", picture, breast=breast, view="MLO", study=study, stored=stored)
    assert errors_of(written.path) == []
