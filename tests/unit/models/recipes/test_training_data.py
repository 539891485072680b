# SPDX-License-Identifier: Apache-2.0
"""The seeds of the recipes still draw the data that the committed packages were trained on.

Kept in training_data.json: means over an 8 x 8 grid of the first samples of each recipe, and their labels. A phantom
that draws one random number more moves them far beyond the tolerance, which is that of another processor's arithmetic.
Write the file again together with newly trained packages alone:
`python tests/unit/models/recipes/test_training_data.py`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.phantoms.computed_tomography import usual_scanner
from models.recipes.diffuse_lung_data import chest_patches, pure_patches
from models.recipes.mammography_data import draw_samples
from models.recipes.pneumoconiosis_data import segmentation_set, zone_set
from models.train import read_recipe

KEPT = Path(__file__).with_name("training_data.json")
RECIPES = Path(__file__).parents[4] / "models" / "recipes"


def coarse(image: np.ndarray) -> list[float]:
    """Means over an 8 x 8 grid of a picture, for each of its planes."""
    planes = np.asarray(image, dtype=np.float64).reshape(-1, *image.shape[-2:])
    rows, columns = (size // 8 for size in planes.shape[1:])
    cut = planes[:, : rows * 8, : columns * 8].reshape(len(planes), 8, rows, 8, columns)
    return [round(float(mean), 7) for mean in cut.mean(axis=(2, 4)).ravel()]


def drawn_pneumoconiosis() -> dict[str, Any]:
    seed = read_recipe(RECIPES / "pneumoconiosis.yaml")[1].seed
    films, masks = segmentation_set(seed, count=2)
    zones = zone_set(seed, bodies=1, exposures=1, shifted=None)
    return {
        "pixels": coarse(films.numpy()) + coarse(masks.numpy()) + coarse(zones.tensors.numpy()),
        "labels": [*zones.levels.tolist(), *zones.shapes.numpy().ravel().tolist()],
    }


def drawn_diffuse_lung() -> dict[str, Any]:
    pure = pure_patches(1, seed=1, scanner=usual_scanner)
    chest = chest_patches(1, seed=2, scanner=usual_scanner)
    images = np.concatenate([pure.images, chest.images[:12]])
    return {
        "pixels": coarse(images),
        "labels": [read_recipe(RECIPES / "diffuse_lung.yaml")[1].seed, *chest.classes.tolist()],
    }


def drawn_mammography() -> dict[str, Any]:
    (first, second, *_) = draw_samples(read_recipe(RECIPES / "mammography.yaml")[1].seed, 1)
    masses = [round(value, 4) for mass in (*first.masses, *second.masses) for value in mass]
    return {"pixels": coarse(first.image) + coarse(second.image), "labels": masses}


DRAWN = {
    "pneumoconiosis": drawn_pneumoconiosis,
    "diffuse_lung": drawn_diffuse_lung,
    "mammography": drawn_mammography,
}


@pytest.mark.parametrize("recipe", DRAWN)
def test_the_seed_of_a_recipe_draws_what_its_package_was_trained_on(recipe: str) -> None:
    kept, drawn = json.loads(KEPT.read_text())[recipe], DRAWN[recipe]()
    assert drawn["labels"] == pytest.approx(kept["labels"], abs=1e-3)
    np.testing.assert_allclose(drawn["pixels"], kept["pixels"], rtol=0, atol=2e-5)


if __name__ == "__main__":
    KEPT.write_text(json.dumps({recipe: draw() for recipe, draw in DRAWN.items()}) + "\n")
