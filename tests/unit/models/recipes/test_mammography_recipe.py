# SPDX-License-Identifier: Apache-2.0
"""The recipe runs from phantoms to a package that the node loads; with the smallest effort."""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the optional extra `train`")

import numpy as np
import torch

from models.recipes.mammography_data import MARKED, draw_samples
from models.recipes.mammography_evaluation import Evaluation, KindMarks
from models.recipes.mammography_recipe import MammographyRecipe
from models.recipes.mammography_start import folded_weights, read_start
from models.recipes.mammography_training import augmented, fit_settings, marked_crops
from models.train import main
from models.training.recipe_file import RecipeError, parse_recipe, read_document
from models.training.scanner_shift_settings import ScannerShift
from service.inference.package import load_package
from service.pipelines.mammography.kinds import declared_kinds

RECIPES = Path(__file__).parents[4] / "models" / "recipes"


@pytest.mark.timeout(600)
def test_the_recipe_makes_a_package_that_loads_around_the_detector_that_there_is(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # checkpoints go below the folder that the command runs in
    assert main([str(RECIPES / "mammography.yaml"), "--out", "packages", "--quick"]) == 0
    folder = Path(capsys.readouterr().out.strip())
    package = load_package(folder)
    assert package.identity.name == "mammography-demo"
    assert set(package.operating_points) == {"display", "display-distortion", "triage"}
    assert set(package.manifest.graphs) == {"detector", "distortions"}
    assert declared_kinds(package) == ("mass", "distortion")
    assert [label.name for label in package.manifest.classes] == ["mass", "distortion"]
    assert "marks architectural distortions" in (folder / "MODEL_CARD.md").read_text()
    assert package.parameters["detector_classes"] == list(MARKED)
    assert package.manifest.training.metrics[0].condition == "scanner-shift"
    start = read_start(RECIPES / "mammography_start.npz")
    shipped = folded_weights((folder / "graphs" / "detector.onnx").read_bytes())
    assert shipped.keys() == start.keys()
    assert all(np.array_equal(weights, start[name]) for name, weights in shipped.items()), "weights have changed"


@pytest.mark.timeout(600)
def test_a_recipe_with_a_fit_goes_on_from_its_start(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([str(RECIPES / "mammography_fit.yaml"), "--out", "packages", "--quick"]) == 0
    folder = Path(capsys.readouterr().out.strip())
    assert load_package(folder).parameters["detector_classes"] == list(MARKED)
    assert sorted(path.name for path in tmp_path.glob("build/training/*/*")) == [
        "marks.checkpoint.pt",
        "score.checkpoint.pt",
    ]
    start = read_start(RECIPES / "mammography_start.npz")
    fitted = folded_weights((folder / "graphs" / "detector.onnx").read_bytes())
    assert not np.array_equal(fitted["stem.0.0.weight"], start["stem.0.0.weight"])


@pytest.mark.parametrize("network", [{"start": None}, {"start": "mammography_start.npz", "members": 2}])
def test_without_a_fit_there_is_one_start_to_keep(network):
    document = read_document(RECIPES / "mammography.yaml")
    document["network"] = network
    with pytest.raises(RecipeError, match="the recipe has no fit"):
        parse_recipe(document, MammographyRecipe, source="test")


def test_a_fit_that_the_recipe_lacks_is_asked_for_by_its_name():
    recipe = parse_recipe(read_document(RECIPES / "mammography.yaml"), MammographyRecipe, source="test")
    with pytest.raises(ValueError, match="no section fit: add one"):
        fit_settings(recipe)


@pytest.mark.parametrize(
    ("section", "key", "value", "rule"),
    [
        ("network", "start", "../start.npz", "string should match pattern"),
        ("network", "members", 5, "less than or equal to 4"),
        ("fine", "crop_px", 250, "multiple of 16"),
        ("fine", "crop_px", 656, "less than or equal to 640"),  # the flattest phantom breast has 665 columns
        ("fine", "held_out", 1, "greater than or equal to 2"),
        ("fine", "second_look", {"exams": 1, "fit": {}, "marks": 30}, "less than or equal to 20"),
        ("held_out", "scanner_spread", 4.0, "less than or equal to 3"),
    ],
)
def test_a_value_beyond_its_limits_is_refused_with_the_limit(section, key, value, rule):
    document = read_document(RECIPES / "mammography_clusters.yaml")
    document[section] = {**document[section], key: value}
    with pytest.raises(RecipeError, match=rf"(?i){section}\.{key}.*{rule}"):
        parse_recipe(document, MammographyRecipe, source="test")


def test_augmentation_leaves_the_mask_and_what_is_outside_it():
    image = torch.rand((3, 2, 32, 32), generator=torch.Generator().manual_seed(1))
    image[:, 1] = (image[:, 1] > 0.5).float()
    settings = ScannerShift.model_validate_json('{"noise": {"deviation": [0.1, 0.1]}, "level": {"offset": [0.2, 0.2]}}')
    shown = augmented(image, settings, generator=torch.Generator().manual_seed(2))
    assert torch.equal(shown[:, 1], image[:, 1])
    assert (shown[:, 0][image[:, 1] == 0] == 0).all()
    assert not torch.equal(shown[:, 0] * image[:, 1], image[:, 0] * image[:, 1])


def test_targets_peak_where_the_masses_are():
    sample = next(sample for sample in draw_samples(7, 3) if sample.masses)
    batch = marked_crops([sample] * 8, np.random.default_rng(1), size=256)
    assert batch.image.shape == (8, 2, 256, 256)
    assert batch.weight.sum() > 0
    assert batch.heat.shape[1] == len(MARKED)
    assert (batch.heat.amax(dim=1, keepdim=True)[batch.weight > 0] == 1).all()
    assert (batch.offset >= 0).all()
    assert (batch.offset <= 1).all()


def test_sensitivity_counts_false_marks_per_view():
    marks = KindMarks(hits=np.array([0.9, 0.6, 0.0]), false_marks=np.array([0.7, 0.5, 0.2]), views=4)
    result = Evaluation(
        marks={"mass": marks},
        views=4,
        image_scores=np.array([0.9, 0.2, 0.6, 0.1]),
        image_labels=np.array([True, False, True, False]),
        breasts=("a", "b", "a", "b"),
        cam_peaks=np.zeros(4),
    )
    assert marks.sensitivity(false_marks_per_image=0) == pytest.approx(1 / 3)
    assert marks.sensitivity(false_marks_per_image=0.25) == pytest.approx(2 / 3)
    assert marks.sensitivity(false_marks_per_image=1) == pytest.approx(2 / 3), "a lesion that nothing hits is not found"
    assert result.image_auc() == 1.0
    assert result.breast_auc() == 1.0
