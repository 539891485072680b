# SPDX-License-Identifier: Apache-2.0
"""Phantoms and a site's films take the same way into the experiment: the node's decoder, display and lung finder."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the optional extra `train`")

from harness.shipped import shipped
from models.data.folder import walk
from models.data.labels import LabelRow, Line
from models.data.site import SiteSettings, join
from models.experiments.report001.__main__ import main
from models.experiments.report001.phantom_sites import PITCH_MM, Plan, draw, phantom_sets, planned
from models.experiments.report001.site_films import site_films
from models.phantoms.dicom import PhantomStudy, write_dx
from service.inference.package import load_package

PACKAGE = shipped("pneumoconiosis-demo")
PLAN = Plan(share=0.02)


@pytest.fixture(scope="module")
def package():
    return load_package(PACKAGE, provider="cpu")


@pytest.fixture(scope="module")
def sets(package, tmp_path_factory):
    steps = []
    folder = tmp_path_factory.mktemp("films")
    drawn = phantom_sets(folder, PLAN, package=package, step=lambda: steps.append(1))
    again = phantom_sets(folder, PLAN, package=package, step=lambda: steps.append(1))
    return drawn, again, steps


def test_phantoms_are_drawn_once_and_their_lungs_found(sets):
    (collected, mixed), (again, _), steps = sets
    assert len(steps) == 2 * len(collected)
    np.testing.assert_array_equal(collected.films, again.films)
    np.testing.assert_array_equal(collected.labels, mixed.labels)
    np.testing.assert_array_equal(collected.patients, mixed.patients)
    shares = collected.lungs.mean(axis=(1, 2))
    assert (shares > 0.1).all()
    assert (shares < 0.35).all()
    assert (np.bincount(collected.patch_film, minlength=len(collected)) == 6).all()
    assert 0 <= collected.patches.min() <= collected.patches.max() <= 1


def test_a_film_at_another_site_is_the_same_patient_seen_otherwise():
    film = planned(PLAN)[0]
    other = type(film)(number=film.number, body=film.body, disease=film.disease, site=planned(PLAN)[-1].site)
    one, two = draw(film, seed=1), draw(other, seed=1)
    assert one.shape == two.shape
    assert (one[:14] == 0).all()
    assert not (two[:14] == 0).all()
    inner = (slice(60, 360), slice(60, 320))
    assert np.corrcoef(one[inner].ravel(), two[inner].ravel())[0, 1] > 0.8


def test_a_site_s_dicom_films_equal_the_phantoms_that_they_hold(sets, package, tmp_path):
    """What goes through DICOM, the decoder and the display comes out as what was drawn."""
    films = planned(PLAN)[:2]
    lines = []
    for number, film in enumerate(films):
        study = PhantomStudy(seed=f"film-{number}")
        stored = np.round(draw(film, seed=PLAN.seed) * 4095).astype(np.uint16)
        write_dx(tmp_path / f"{number}.dcm", stored, study=study, pixel_spacing_mm=PITCH_MM, photometric="MONOCHROME1")
        row = {"file": f"{number}.dcm", "patient_id_hash": f"patient-{number}", "target": "dust", "label": "1"}
        lines.append(Line(number=number + 2, row=LabelRow.model_validate(row), free={}))
    settings = SiteSettings(
        name="here", folder=tmp_path, labels=tmp_path, target="dust", positive=("1",), negative=("0",)
    )
    data = join(settings, lines, walk(tmp_path))
    found = site_films(tmp_path / "kept", data.images, package=package, step=lambda: None)
    drawn = sets[0][0]
    np.testing.assert_allclose(found.films, drawn.films[:2], atol=4e-3)
    np.testing.assert_allclose(found.patches, drawn.patches[:12], atol=2e-2)
    assert (found.lungs == drawn.lungs[:2]).mean() > 0.999
    assert found.sites.tolist() == ["here", "here"]


def test_what_is_neither_phantoms_nor_a_file_is_refused(tmp_path, capsys):
    assert main(["--data", "nothing.yaml", "--out", str(tmp_path), "--quiet"]) == 2
    assert "it is 'phantoms', or a SITE.yaml that is there" in capsys.readouterr().err
