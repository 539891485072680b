# SPDX-License-Identifier: Apache-2.0
"""The rows of a card: noise and another modality are told from patches of lung."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the optional extra `train`")

from models.calibration.distance import fit_gaussian, limits  # noqa: E402
from models.calibration.graph import WithDistances, depth_features  # noqa: E402
from models.calibration.rejection import card_table, metric_rows, rejections, uniform_noise  # noqa: E402
from models.calibration.sections import manifest_sections  # noqa: E402
from models.export import export_onnx  # noqa: E402
from models.packaging import GraphSource, write_package  # noqa: E402
from models.phantoms.computed_tomography import shifted_scanner, usual_scanner  # noqa: E402
from models.recipes.diffuse_lung_card import DESCRIPTION  # noqa: E402
from models.recipes.diffuse_lung_data import pure_patches  # noqa: E402
from models.recipes.diffuse_lung_recipe import DiffuseLungRecipe  # noqa: E402
from models.recipes.diffuse_lung_training import train  # noqa: E402
from models.training.fit import Places  # noqa: E402
from models.training.recipe_file import laid_over, parse_recipe, read_document  # noqa: E402
from service.domain.errors import PackageError  # noqa: E402
from service.domain.reliability import Limit, Reliability  # noqa: E402
from service.inference.package import load_package  # noqa: E402
from service.pipelines.familiarity import unusual_items  # noqa: E402

RECIPE = Path(__file__).parents[4] / "models" / "recipes" / "diffuse_lung.yaml"


@pytest.fixture(scope="module")
def measured():
    """A network trained for seconds; its distances for usual patches, noise, a flat grey and another scanner."""
    patches = pure_patches(8, seed=1, scanner=usual_scanner)
    plain = {"augmentation": {"scanner_shift": None}, "fit": {"epochs": 1}, "seed": 1}
    document = laid_over(read_document(RECIPE), plain)
    recipe = parse_recipe(document, DiffuseLungRecipe, source="test")
    network = train(patches, patches.where(patches.classes < 0), recipe, places=Places(progress=False))
    gaussians = {
        depth: fit_gaussian(found, patches.classes)
        for depth, found in depth_features(network, [torch.from_numpy(patches.images)]).items()
    }
    module = WithDistances(network, gaussians).eval()
    names = module.output_names(("probability", "logits", "cam", "feature"))

    def distances(images):
        with torch.no_grad():
            outputs = dict(zip(names, module(torch.from_numpy(images)), strict=True))
        return {name: outputs[name].numpy() for name in names[4:]}

    held_out = distances(pure_patches(12, seed=2, scanner=usual_scanner).images)
    found = limits("patterns", held_out)
    ramp = np.linspace(0, 1, 48, dtype=np.float32)
    strange = {
        "uniform noise": distances(uniform_noise((60, 1, 48, 48), seed=3)),
        "plain ramp": distances(np.broadcast_to(ramp, (60, 1, 48, 48)).copy()),
        "scanner shift": distances(pure_patches(5, seed=4, scanner=shifted_scanner).images),
    }
    usual = distances(pure_patches(5, seed=5, scanner=usual_scanner).images)
    return SimpleNamespace(limits=found, rows=rejections(usual, strange, found), module=module, patches=patches)


def test_noise_is_refused_and_usual_patches_are_not(measured):
    rows = {row.name: row for row in measured.rows}
    assert set(rows) == {"usual", "uniform noise", "plain ramp", "scanner shift"}
    assert rows["usual"].rejected < 0.15
    assert list(rows["usual"].auc.values()) == pytest.approx([0.5, 0.5])
    assert rows["uniform noise"].rejected == 1.0
    assert min(rows["uniform noise"].auc.values()) > 0.99
    assert rows["uniform noise"].cases == 60


def test_the_card_says_what_was_measured(measured):
    table = card_table(measured.rows)
    assert "| uniform noise | 60 | 100.0 % |" in table
    assert "AUC of distance_shallow | AUC of distance_deep" in table
    names = {row["name"]: row["value"] for row in metric_rows(measured.rows)}
    assert names["share refused by distance, uniform noise"] == 1.0


def test_a_case_above_one_limit_is_refused():
    two = [Limit(graph="g", output=name, threshold=1.0, quantile=0.99, n=100) for name in ("shallow", "deep")]
    usual = {"shallow": np.array([0.5, 2.0, 0.5]), "deep": np.array([0.5, 0.5, 1.0])}
    (row,) = rejections(usual, {}, two)
    assert row.rejected == pytest.approx(1 / 3)


def test_sections_are_what_a_manifest_can_hold(measured):
    sections = manifest_sections(Reliability(out_of_distribution=measured.limits))
    assert list(sections) == ["out_of_distribution"]
    assert [set(entry) for entry in sections["out_of_distribution"]] == [
        {"graph", "output", "threshold", "quantile", "n"}
    ] * 2
    assert manifest_sections(Reliability()) == {}


def _package(measured, folder, limits):
    """Write a package of the graph with its distances, as a recipe does."""
    examples = [{"patches": measured.patches.images[:2]}]
    names = measured.module.output_names(("probability", "logits", "cam", "feature"))
    export = export_onnx(
        measured.module, folder / "patterns.onnx", examples=examples, output_names=names, tolerance=1e-4
    )
    about = {
        **DESCRIPTION,
        "name": "limits",
        "version": "0.1.0",
        "operating_points": {"triage": {"threshold": 0.5, "measured_on": "nothing"}},
        "parameters": {},
        "training": {
            "recipe": "a test",
            "seed": 1,
            "data": "phantoms",
            "metrics": [
                {"name": "accuracy", "condition": "scanner-shift", "value": 0.5},
                *metric_rows(measured.rows),
            ],
        },
        **manifest_sections(Reliability(out_of_distribution=limits)),
    }
    tensors = {"patches": {"channels": ["HU"], "value_range": [0.0, 1.0]}}
    source = GraphSource(path=export.path, golden=export.golden, tolerance=1e-2, tensors=tensors)
    return write_package(
        folder / "packages", about, graphs={"patterns": source}, licence_text="Apache-2.0\n", model_card="# Test\n"
    )


def test_a_package_with_the_distances_is_written_and_refuses_noise(measured, tmp_path):
    package = load_package(_package(measured, tmp_path, measured.limits), provider="cpu")
    assert package.reliability.out_of_distribution == measured.limits
    noise = uniform_noise((5, 1, 48, 48), seed=9)
    outputs = package.run("patterns", {"patches": noise})
    assert unusual_items(measured.limits, "patterns", outputs, count=5).all()


def test_a_package_whose_limits_let_noise_in_is_not_written(measured, tmp_path):
    wide = tuple(replace(limit, threshold=1000 * limit.threshold) for limit in measured.limits)
    with pytest.raises(PackageError, match="with noise in place of its image the graph stays within the limits"):
        _package(measured, tmp_path, wide)
