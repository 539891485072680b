# SPDX-License-Identifier: Apache-2.0
"""Adds the finder of lung without air to a diffuse lung package, or puts it in the place of the one that it has."""

import tempfile
from pathlib import Path

from models.golden_studies import drawn
from models.recipes.diffuse_lung_card import with_dense, without_dense
from models.recipes.diffuse_lung_dense import GRAPH, is_dense_row, make_dense, trained_on
from models.recipes.diffuse_lung_recipe import DiffuseLungRecipe
from models.repack import about_of, base_of, card_of, kept_graphs, write_again
from models.training.fit import Places
from models.training.recipe_file import RecipeError


def add_dense(base: Path, recipe: DiffuseLungRecipe, packages_folder: Path, *, places: Places) -> Path:
    """Train that graph alone and write the recipe's version: the base with it, and what was measured of it.

    Patterns are read as before, bit by bit.

    Raises
    ------
    PackageError
        The base cannot be read, or the result would not be accepted by the node.
    RecipeError
        The recipe is of another package than the base, or has no section `dense_lung`.
    """
    files = base_of(base, recipe)
    if recipe.dense_lung is None:
        raise RecipeError("the recipe has no section dense_lung; add one")
    about = about_of(files)
    with tempfile.TemporaryDirectory() as scratch, drawn(recipe.pipeline) as studies:
        part = make_dense(recipe.dense_lung, seed=recipe.seed, folder=Path(scratch), places=places)
        data = trained_on(part.learnt)
        kept = [row for row in about["training"]["metrics"] if not is_dense_row(row["name"])]
        return write_again(
            files,
            packages_folder,
            {
                **about,
                "version": recipe.version,
                "trained_on": data,
                "parameters": {**about["parameters"], "dense_lung": dict(part.parameter)},
                "training": {**about["training"], "data": data, "metrics": [*kept, *part.metrics]},
            },
            graphs={**kept_graphs(files, Path(scratch) / "base"), GRAPH: part.graph},
            studies=studies,
            model_card=with_dense(without_dense(card_of(files)), part.metrics, learnt=part.learnt),
        )
