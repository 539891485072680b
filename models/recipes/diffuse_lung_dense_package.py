# SPDX-License-Identifier: Apache-2.0
"""Adds the finder of lung without air to a diffuse lung package, or puts it in the place of the one that it has.

`python -m models.recipes.diffuse_lung_dense_package RECIPE.yaml --base PACKAGE --out FOLDER` trains that graph alone
and writes the recipe's version around the graphs that the base has: patterns are read as before, bit by bit.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from models.evidence import declarations
from models.golden_studies import drawn
from models.packaging import write_package
from models.recipes.diffuse_lung_card import with_dense, without_dense
from models.recipes.diffuse_lung_dense import GRAPH, is_dense_row, make_dense, trained_on
from models.recipes.diffuse_lung_recipe import DiffuseLungRecipe
from models.repack import kept_graphs
from models.training.fit import Places
from models.training.recipe_file import RecipeError, digest, parse_recipe, read_document
from service.domain.errors import PackageError
from service.inference.package_files import read_package

_WRITTEN = ("schema_version", "graphs", "golden", "golden_studies", "files")


def add_dense(base: Path, recipe: DiffuseLungRecipe, packages_folder: Path, *, places: Places) -> Path:
    """Write the recipe's version: the base with the graph, and what was measured of it.

    Raises
    ------
    PackageError
        The base cannot be read, or the result would not be accepted by the node.
    RecipeError
        The recipe is of another package than the base, or has no section `dense_lung`.
    """
    files = read_package(base)
    if files.manifest.name != recipe.name:
        raise RecipeError(f"{base} is a package {files.manifest.name}, the recipe's name is {recipe.name}")
    if recipe.dense_lung is None:
        raise RecipeError("the recipe has no section dense_lung; add one")
    about: dict[str, Any] = yaml.safe_load(files.manifest_bytes)
    with tempfile.TemporaryDirectory() as scratch, drawn(recipe.pipeline) as studies:
        part = make_dense(recipe.dense_lung, seed=recipe.seed, folder=Path(scratch), places=places)
        graphs = {**kept_graphs(files, Path(scratch) / "base"), GRAPH: part.graph}
        kept = [row for row in about["training"]["metrics"] if not is_dense_row(row["name"])]
        return write_package(
            packages_folder,
            {
                **{key: value for key, value in about.items() if key not in _WRITTEN},
                "version": recipe.version,
                "trained_on": trained_on(part.learnt),
                "parameters": {**about["parameters"], "dense_lung": dict(part.parameter)},
                "training": {
                    **about["training"],
                    "data": trained_on(part.learnt),
                    "metrics": [*kept, *part.metrics],
                },
                **declarations(recipe.pipeline, graphs),
            },
            graphs=graphs,
            licence_text=files.contents["LICENSE"].decode(),
            model_card=with_dense(
                without_dense(files.contents["MODEL_CARD.md"].decode()), part.metrics, learnt=part.learnt
            ),
            studies=studies,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Add the graph to a package; 2 when the recipe or the base cannot be used."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    try:
        document = read_document(options.recipe, effort="quick" if options.quick else None)
        recipe = parse_recipe(document, DiffuseLungRecipe, source=str(options.recipe))
        fresh = Path("build/training") / f"{recipe.name}-{recipe.version}"
        resumed = options.resume is not None
        places = Places(checkpoints=options.resume or fresh, resume=resumed, identity=digest(recipe))
        folder = add_dense(options.base, recipe, options.out, places=places)
    except (RecipeError, PackageError, ValueError) as error:
        sys.stderr.write(f"{options.recipe}: {error}\n")
        return 2
    sys.stdout.write(f"{folder}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.recipes.diffuse_lung_dense_package",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE.yaml", help="its section dense_lung is trained")
    parser.add_argument("--base", type=Path, required=True, help="folder of the package whose other graphs are kept")
    parser.add_argument("--out", type=Path, required=True, help="packages: OUT/<name>/<version> is written or replaced")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="go on from the checkpoints in FOLDER")
    parser.add_argument("--quick", action="store_true", help="lay effort.quick over the recipe: worth nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
