# SPDX-License-Identifier: Apache-2.0
"""The recipe, with the least effort, makes a package that the node accepts; interrupted and resumed, the same one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.phantoms.computed_tomography import PATTERNS
from models.recipes import diffuse_lung
from models.train import main
from service.inference.package import load_package
from service.pipelines.diffuse_lung.acceptance import Acceptance
from service.pipelines.diffuse_lung.patterns import parse_patterns
from service.pipelines.diffuse_lung.pipeline import Plan

RECIPE = Path(__file__).parents[2] / "models" / "recipes" / "diffuse_lung.yaml"


def test_the_quick_effort_makes_a_package_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)  # checkpoints go below the folder that the command runs in
    assert main([str(RECIPE), "--out", "packages", "--tensorboard", "scalars", "--quick"]) == 0
    folder = Path(capsys.readouterr().out.strip())
    package = load_package(folder)
    assert (package.identity.name, package.manifest.training.seed) == ("diffuse-lung-demo", 20261)
    assert [pattern.name for pattern in parse_patterns(package.parameters)] == list(PATTERNS)
    assert Plan.of(package.parameters).recipe.patch_px == 48
    Acceptance.parse(package.acceptance)
    slices = np.random.default_rng(2).uniform(size=(1, 1, 96, 64)).astype(np.float32)
    assert package.run("lungs", {"slice": slices})["lung"].shape == slices.shape
    patches = np.random.default_rng(1).uniform(size=(3, 1, 48, 48)).astype(np.float32)
    outputs = package.run("patterns", {"patches": patches})
    assert outputs["probability"].shape == (3, 12)
    bias = outputs["logits"] - outputs["cam"].mean(axis=(2, 3))
    np.testing.assert_allclose(bias, np.tile(bias[:1], (3, 1)), atol=1e-4)
    assert list((tmp_path / "scalars" / "patterns").iterdir())
    resumed = _resumed_from_the_checkpoint(monkeypatch)
    with torch.no_grad():
        np.testing.assert_allclose(resumed(torch.from_numpy(patches))[1].numpy(), outputs["logits"], atol=1e-4)


def _resumed_from_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """The checkpoints of the finished run give its network again; measuring, which is slow, is left out."""
    networks = []

    def pack(folder: Path, network: torch.nn.Module, *rest: object, **more: object) -> Path:
        networks.append(network)
        return folder

    monkeypatch.setattr(diffuse_lung, "pack", pack)
    (checkpoints,) = Path("build/training").iterdir()
    assert main([str(RECIPE), "--out", "again", "--resume", str(checkpoints), "--quick"]) == 0
    return networks[0].eval()


def test_the_ensemble_of_the_quick_effort_reads_fields_as_their_patches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([str(RECIPE.with_name("diffuse_lung_ensemble.yaml")), "--out", "packages", "--quick"]) == 0
    package = load_package(Path(capsys.readouterr().out.strip()))
    assert Plan.of(package.parameters).whole_fields
    assert [limit.output for limit in package.reliability.disagreement] == ["divergence"]
    field = np.random.default_rng(2).uniform(size=(1, 1, 72, 84)).astype(np.float32)
    patches = np.lib.stride_tricks.sliding_window_view(field[0, 0], (48, 48))[::12, ::12].reshape(-1, 1, 48, 48)
    of_field, of_patches = (package.run("patterns", {"patches": np.ascontiguousarray(x)}) for x in (field, patches))
    assert set(of_field) >= {"probability", "vote", "margin", "divergence", "cam", "distance_deep"}
    for name, expected in of_patches.items():
        np.testing.assert_allclose(of_field[name], expected, atol=1e-5, rtol=1e-5, err_msg=name)
    card = Path("packages/diffuse-lung-demo/0.4.0/MODEL_CARD.md").read_text()
    assert "| soft vote |" in card
    assert card.count("\n| vgg16-field |") == card.count("\n| densenet-field |") == 1
