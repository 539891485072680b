# SPDX-License-Identifier: Apache-2.0
"""The recipe, with the least effort, makes a package that the node accepts."""

from pathlib import Path

import numpy as np

from models.phantoms.computed_tomography import PATTERNS
from models.recipes.diffuse_lung import Effort, make_package
from service.inference.package import load_package
from service.pipelines.diffuse_lung.acceptance import Acceptance
from service.pipelines.diffuse_lung.patterns import parse_patterns
from service.pipelines.diffuse_lung.pipeline import Plan


def test_the_smallest_effort_makes_a_package_that_loads(tmp_path: Path) -> None:
    effort = Effort(textures=4, chests=2, epochs=1, held_out_textures=2, held_out_chests=1)
    package = load_package(make_package(tmp_path, effort))
    assert [pattern.name for pattern in parse_patterns(package.parameters)] == list(PATTERNS)
    assert Plan.of(package.parameters).recipe.patch_px == 48
    Acceptance.parse(package.acceptance)
    patches = np.random.default_rng(1).uniform(size=(3, 1, 48, 48)).astype(np.float32)
    outputs = package.run("patterns", {"patches": patches})
    assert outputs["probability"].shape == (3, 12)
    bias = outputs["logits"] - outputs["cam"].mean(axis=(2, 3))
    np.testing.assert_allclose(bias, np.tile(bias[:1], (3, 1)), atol=1e-4)
