# SPDX-License-Identifier: Apache-2.0
"""Distortions: crops that hold them, a detector that learns them, and a graph beside the detector of masses."""

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the optional extra `train`")

import numpy as np
import torch
from torch.nn import functional

from models.networks.distortion_detector import ContrastUnits, DistortionDetector, DistortionDetectorGraph
from models.phantoms.mammogram.breast import random_breast
from models.recipes.mammography_calibration import OUTPUTS
from models.recipes.mammography_data import Sample, draw_samples
from models.recipes.mammography_distortions import (
    measure_distortions,
    settings_of,
    source,
    train_distortions,
)
from models.recipes.mammography_evaluation import area_under_curve, evaluate
from models.recipes.mammography_grounds import DISTORTIONS, Ground, draw_ground, draw_grounds, fresh_crops
from models.recipes.mammography_recipe import MammographyRecipe
from models.training.fit import Places
from models.training.recipe_file import parse_recipe, read_document

RECIPE = Path(__file__).parents[4] / "models" / "recipes" / "mammography.yaml"
QUIET = Places(progress=False)
ALWAYS = replace(DISTORTIONS, chances={"distortion": 1.0})


@pytest.fixture(scope="module")
def recipe() -> MammographyRecipe:
    document = read_document(RECIPE)
    marks = {"epochs": 1, "batch": 8, "peak_rate": 0.01}
    document["distortions"] = {"views": 2, "marks": marks, "crop_px": 64, "crops_per_view": 16, "held_out": 2}
    return parse_recipe(document, MammographyRecipe, source="test")


@pytest.fixture(scope="module")
def grounds():
    return draw_grounds(5, 2, pitch_mm=0.4, least_px=192)


def test_a_crop_holds_what_is_sought_and_masses_with_strands_are_none(grounds):
    sought = fresh_crops(grounds * 20, np.random.default_rng(1), size=192, stride=8, contents=ALWAYS)
    assert sought.image.shape == (40, 2, 192, 192)
    assert sought.weight.sum() > 20, "some lie near the skin, where none is put"
    masses = replace(DISTORTIONS, chances={"mass": 1.0})
    assert fresh_crops(grounds * 20, np.random.default_rng(1), size=192, stride=8, contents=masses).weight.sum() == 0


def test_a_distortion_changes_its_crop_where_the_target_says(grounds):
    crops = [
        fresh_crops(grounds[:1], np.random.default_rng(seed), size=192, stride=8, contents=contents)
        for seed in range(12)
        for contents in (ALWAYS, replace(ALWAYS, sought="cluster"))
    ]
    nothing = replace(DISTORTIONS, chances={"nothing": 1.0})
    for seed, (with_strands, unsought) in enumerate(zip(crops[::2], crops[1::2], strict=True)):
        assert torch.equal(with_strands.image, unsought.image), "what is sought changes no picture"
        assert unsought.weight.sum() == 0
        if with_strands.weight.sum() == 0:
            continue
        plain = fresh_crops(grounds[:1], np.random.default_rng(seed), size=192, stride=8, contents=nothing)
        # The means of 4 x 4 pixels: noise, which is drawn after the contents, differs in both.
        changed = functional.avg_pool2d((with_strands.image - plain.image)[:, :1], 4)[0, 0].abs()
        row, column = np.argwhere(with_strands.weight[0, 0].numpy())[0] * 2 + 1
        rows, columns = np.mgrid[:48, :48]
        near = torch.from_numpy(np.hypot(rows - row, columns - column) < 10)
        assert changed[near].mean() > 1.5 * changed[~near].mean()


def test_a_crop_is_shown_by_the_percentiles_of_its_view(grounds):
    batch = fresh_crops(grounds * 8, np.random.default_rng(2), size=192, stride=8, contents=DISTORTIONS)
    grey, inside = batch.image[:, 0], batch.image[:, 1] > 0
    assert grey.min() >= 0
    assert grey.max() <= 1
    assert 0.002 < (grey[inside] == 0).float().mean() < 0.05
    assert 0.002 < (grey[inside] == 1).float().mean() < 0.05


def test_a_small_breast_is_padded_with_air():
    breast = replace(random_breast("L", 5), depth_mm=60.0)
    bare, padded = draw_ground(breast, 0, pitch_mm=0.4), draw_ground(breast, 0, pitch_mm=0.4, least_px=192)
    assert bare.shape[1] < 192 <= padded.shape[1]
    assert not padded.mask[:, -9:].any(), "air, and the margin of 8 pixels"
    inner = (slice(8, -8), slice(8, -8))
    assert padded.mask[inner].sum() == bare.mask[inner].sum(), "the breast itself is the same"


def test_detail_is_in_units_of_its_local_strength():
    rng = np.random.default_rng(3)
    grey = torch.from_numpy(rng.random((1, 1, 128, 128)).astype(np.float32))
    mask = torch.ones_like(grey)
    mask[..., 96:] = 0
    units = ContrastUnits()(grey * mask, mask)
    assert units.shape == (1, 2, 128, 128)
    assert units[:, :, :, :96].square().mean(dim=(2, 3)).sqrt() == pytest.approx(np.ones((1, 2)), abs=0.15)
    assert (units[:, :, :, 96:] == 0).all()
    assert torch.allclose(ContrastUnits()(0.2 * grey * mask + 0.3 * mask, mask), units, atol=2e-3)


def test_one_seed_is_one_detector(recipe, grounds):
    first, again = (train_distortions(grounds, recipe, places=QUIET) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))


def test_it_learns_to_tell_strands_from_none():
    full = np.ones((208, 208), np.bool_)
    values = {"attenuation": 1.9, "edge": 3.0, "fade": 1.0}
    planes = {name: np.full((208, 208), value, np.float16) for name, value in values.items()}
    grounds = [Ground(**planes, mask=full, deep=full, thickest=3.0, pitch_mm=0.4)] * 2
    document = read_document(RECIPE)
    marks = {"epochs": 6, "batch": 8, "peak_rate": 0.01}
    document["distortions"] = {"views": 2, "marks": marks, "crop_px": 96, "crops_per_view": 64, "held_out": 2}
    recipe = parse_recipe(document, MammographyRecipe, source="test")
    graph = DistortionDetectorGraph(train_distortions(grounds, recipe, places=QUIET)).eval()
    batch = fresh_crops(grounds * 60, np.random.default_rng(7), size=96, stride=8, contents=DISTORTIONS)
    with torch.no_grad():
        highest = graph(batch.image)[0].amax(dim=(1, 2, 3)).numpy()
    bears = batch.weight.sum(dim=(1, 2, 3)).numpy() > 0
    assert area_under_curve(highest, bears) > 0.65


class Middle(torch.nn.Module):
    """Marks the middle of every picture with the share of white as its score."""

    def forward(self, image):
        score = (image[0, 0] > 0.9).float().mean()
        return *(score for _ in range(3)), torch.tensor([[[22.0, 22, 42, 42, score, 0]]])


class Detector(torch.nn.Module):
    """Has no marks; its view score is 0.5."""

    def forward(self, image):
        rows = torch.zeros((1, 0, 6))
        return *(rows for _ in range(4)), torch.zeros(len(image)), torch.ones(1), rows


def view(*, bears: bool) -> Sample:
    """Return a small view that is white if it bears a distortion."""
    image = np.full((2, 64, 64), 1.0 if bears else 0.2, np.float16)
    return Sample(breast="1-L", image=image, masses=(), distortions=((32.0, 32.0, 8.0),) if bears else ())


def test_a_views_score_is_the_higher_of_both_graphs_and_a_distortion_makes_it_abnormal():
    samples = [view(bears=index % 2 == 0) for index in range(4)]
    alone = evaluate(Detector(), samples, names=OUTPUTS)
    assert alone.image_scores.tolist() == [0.5] * 4
    assert not alone.image_labels.any()
    found = evaluate(Detector(), samples, names=OUTPUTS, distortions=Middle())
    assert found.image_scores.tolist() == [1.0, 0.5, 1.0, 0.5]
    assert found.image_labels.tolist() == [True, False, True, False]
    assert set(found.marks) == {"mass"}, "marks of a graph beside the detector are measured apart"


def test_it_is_measured_unseen_and_exported_with_golden_windows(recipe, tmp_path):
    torch.manual_seed(1)
    graph = DistortionDetectorGraph(DistortionDetector(width=2)).eval()
    found = measure_distortions(graph, recipe)
    assert (found.tuning.views, found.inside.views, found.shifted.views) == (8, 8, 8)
    assert found.inside.hits.size > 0
    exported = source(graph, tmp_path)
    assert exported.path.name == "distortions.onnx"
    assert len(exported.golden) == 3


def test_a_recipe_without_the_section_says_so(recipe):
    with pytest.raises(ValueError, match="no section distortions: add one"):
        settings_of(recipe.model_copy(update={"distortions": None}))


def test_views_are_drawn_with_the_lesions_that_are_asked_for():
    samples = draw_samples(5, 2, shares={"distortion": 1.0}, counts=(0.0, 1.0))
    assert all(len(sample.distortions) == 1 and not sample.masses and not sample.clusters for sample in samples)
    assert all(sample.bears(["mass", "distortion"]) and not sample.is_marked for sample in samples)
