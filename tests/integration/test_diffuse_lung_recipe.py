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
