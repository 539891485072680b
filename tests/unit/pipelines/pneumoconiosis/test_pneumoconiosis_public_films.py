# SPDX-License-Identifier: Apache-2.0
"""Public radiographs through the whole pipeline: false alarms on held-back normals, lung masks against readers'."""

import csv
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="the list of films is the recipe's, which needs the optional extra `train`")

from models.phantoms.dicom import PhantomStudy, write_dx
from models.recipes.pneumoconiosis_evaluation import rate
from models.recipes.pneumoconiosis_films import find_films, listed_films, read_film
from models.recipes.pneumoconiosis_sets import is_held_back
from service.domain.image import IDENTITY
from service.domain.result import Outcome
from service.domain.study import Selection
from service.pipelines.pneumoconiosis import PneumoconiosisPipeline
from service.pipelines.pneumoconiosis.lungs import lungs_on, segmentation_input

pytestmark = pytest.mark.real_data
NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
PIPELINE = PneumoconiosisPipeline()
MASKED = "cxr_lungmask"


@pytest.fixture(scope="module")
def analyse(real_data_folder, package, tmp_path_factory, as_instance):
    """Analyse a film of the list as a DX file of 0.5 mm pixels; only the limit on pixel size is lifted."""
    folder = tmp_path_factory.mktemp("films")

    def run(listed):
        film = read_film(find_films(real_data_folder, [listed])[listed.image], listed)
        stored = np.round(film.pixels * 4095).astype(np.uint16)
        study = PhantomStudy(seed=listed.image)
        path = write_dx(folder / f"{listed.image}.dcm", stored, study=study, pixel_spacing_mm=film.pixel_mm)
        selection = PIPELINE.select([as_instance(path)], {**package.acceptance, "pixel_spacing_max_mm": 0.6})
        assert isinstance(selection, Selection), selection
        return PIPELINE.run(selection, package, analysed_at=NOW)

    return run


@pytest.fixture(scope="module")
def held_back(analyse):
    return {film.image: analyse(film) for film in listed_films() if is_held_back(film)}


def alarms(held_back):
    read = [result for result in held_back.values() if result.outcome is not Outcome.NOT_ANALYSED]
    return rate(np.array([result.outcome is Outcome.FINDINGS for result in read]))


def test_few_held_back_normal_films_are_called_disease(held_back):
    """0.1.0 called every one; what 0.2.0 reaches is on its card."""
    assert len(held_back) == 23
    assert alarms(held_back).value < 0.25, str(alarms(held_back))


@pytest.mark.xfail(strict=True, reason="the aim; 0.2.0 calls 5 of 22, and decision 34 tells what was tried")
def test_fewer_than_a_tenth_of_held_back_normal_films_are_called_disease(held_back):
    assert alarms(held_back).value < 0.10, str(alarms(held_back))


def test_nearly_all_held_back_films_are_analysed(held_back):
    refused = {name: result.headline for name, result in held_back.items() if result.outcome is Outcome.NOT_ANALYSED}
    assert set(refused) <= REFUSED, refused


REFUSED = {"00002545_001.png"}
"""One lung is white from top to bottom, whatever the text-mined label says."""


def readers_masks(folder):
    """Return, by file, the grey picture, the lungs that readers drew, and what they drew as heart and mediastinum."""
    films = {}
    with (folder / "structure.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            organ = row["Class"].removeprefix("COVID-19 ")
            if organ not in {"Right Lung", "Left Lung", "Cardiomediastinum"}:
                continue
            with Image.open(folder / "images" / row["Filename"]) as picture:
                grey = np.asarray(picture.convert("L"), dtype=np.float32) / 255
            masks = films.setdefault(row["Filename"], (grey, {}))[1]
            masks[organ] = _placed(folder / row["Mask"], grey.shape, top=int(row["Top"]), left=int(row["Left"]))
    return films


def _placed(path, shape, *, top, left):
    with Image.open(path) as picture:
        mask = np.asarray(picture.convert("RGB")).max(axis=2) > 127
    placed = np.zeros(shape, dtype=bool)
    part = placed[top : top + mask.shape[0], left : left + mask.shape[1]]
    part |= mask[: part.shape[0], : part.shape[1]]
    return placed


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def lung_dice(real_data_folder, package):
    """Return the Dice of both lungs by file; what readers drew behind heart and mediastinum is not looked for."""
    found = {}

    def find(boxed):
        return package.run("lungseg", {"film": boxed})["masks"]

    for name, (grey, masks) in readers_masks(real_data_folder / MASKED).items():
        boxed, to_film = segmentation_input(grey)
        lungs = lungs_on(grey, find(boxed)[0], to_film, find=find)
        truth = (masks["Right Lung"] | masks["Left Lung"]) & ~masks["Cardiomediastinum"]
        found[name] = dice(lungs.both & ~masks["Cardiomediastinum"], truth)
    assert to_film != IDENTITY
    return found


CUT_OFF = "X-ray_of_cyst_in_pneumocystis_pneumonia_1.jpg"


def test_lung_masks_follow_those_of_readers(real_data_folder, package):
    found = lung_dice(real_data_folder, package)
    assert len(found) == 3
    assert min(value for name, value in found.items() if name != CUT_OFF) >= 0.93, found
    assert found[CUT_OFF] >= 0.91, found


@pytest.mark.xfail(strict=True, reason="the aim; a film that is cut off at the apex and white below reaches 0.92")
def test_lung_masks_follow_those_of_readers_on_a_cut_off_film_too(real_data_folder, package):
    assert lung_dice(real_data_folder, package)[CUT_OFF] >= 0.93
