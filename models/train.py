# SPDX-License-Identifier: Apache-2.0
"""Trains what a recipe file says and writes the model package.

Draws or reads the data, fits, measures on bodies that the fit has not seen, exports to ONNX, proves parity and packs.
After every epoch a checkpoint is written; --resume goes on from there and gives the same bits as a run that was never
interrupted. One recipe is one result on one machine with one number of threads.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from models.recipes import diffuse_lung, mammography, pneumoconiosis
from models.recipes.diffuse_lung_dense_package import add_dense
from models.recipes.diffuse_lung_recipe import DiffuseLungRecipe
from models.recipes.mammography_recipe import MammographyRecipe
from models.recipes.pneumoconiosis_findings_package import add_findings
from models.recipes.pneumoconiosis_recipe import PneumoconiosisRecipe
from models.training.checkpoint import CheckpointError
from models.training.fit import FitError, Places
from models.training.recipe import Recipe
from models.training.recipe_file import RecipeError, digest, parse_recipe, read_document
from models.weights import WeightsError
from service.domain.errors import PackageError

QUICK = "quick"


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What a recipe of one pipeline may say, what makes a package of it, and what adds its part to an older package."""

    recipe: type[Recipe]
    make_package: Callable[..., Path]
    add_part: Callable[..., Path] | None = None


PIPELINES: Mapping[str, Pipeline] = {
    "diffuse_lung": Pipeline(DiffuseLungRecipe, diffuse_lung.make_package, add_dense),
    "mammography": Pipeline(MammographyRecipe, mammography.make_package),
    "pneumoconiosis": Pipeline(PneumoconiosisRecipe, pneumoconiosis.make_package, add_findings),
}
"""Every pipeline that can be trained from a recipe file; a new one is one row here."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, and print the folder of the package; 2 when the recipe cannot be used, 1 when the run fails."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        pipeline, recipe = read_recipe(options.recipe, effort=QUICK if options.quick else None)
    except RecipeError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    try:
        folder = _package(pipeline, recipe, options)
    except (RecipeError, FitError, CheckpointError, WeightsError, PackageError) as error:
        sys.stderr.write(f"{options.recipe}: {error}\n")
        return 2 if isinstance(error, RecipeError) else 1
    sys.stdout.write(f"{folder}\n")
    return 0


def read_recipe(path: Path, *, effort: str | None = None) -> tuple[Pipeline, Recipe]:
    """Read a recipe file and find its pipeline.

    Raises
    ------
    RecipeError
        The file cannot be used; the message names every reason.
    """
    document: dict[str, Any] = read_document(path, effort=effort)
    pipeline = PIPELINES.get(str(document.get("pipeline")))
    if pipeline is None:
        told = f"value {document['pipeline']!r} is unknown" if "pipeline" in document else "is missing"
        raise RecipeError(f"{path}: pipeline: {told}; give one of {', '.join(PIPELINES)}")
    return pipeline, parse_recipe(document, pipeline.recipe, source=str(path))


def _package(pipeline: Pipeline, recipe: Recipe, options: argparse.Namespace) -> Path:
    places = _places(options, recipe)
    if options.base is None:
        return pipeline.make_package(options.out, recipe, source=options.recipe.as_posix(), places=places)
    if pipeline.add_part is None:
        raise RecipeError(f"--base: nothing is added to a package of the pipeline {recipe.pipeline}; leave it out")
    return pipeline.add_part(options.base, recipe, options.out, places=places)


def _places(options: argparse.Namespace, recipe: Recipe) -> Places:
    fresh = Path("build/training") / f"{recipe.name}-{recipe.version}"
    return Places(
        checkpoints=options.resume or fresh,
        resume=options.resume is not None,
        tensorboard=options.tensorboard,
        identity=digest(recipe),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "recipe", type=Path, metavar="RECIPE.yaml", help='recipe file; its keys: docs/models.md, "Training"'
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="packages: FOLDER/<name>/<version> is written or replaced",
    )
    parser.add_argument(
        "--base",
        type=Path,
        metavar="PACKAGE",
        help="train only the part that can be added to an older package (dense_lung, findings), and keep the graphs of "
        "the one in this folder",
    )
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="FOLDER",
        help="go on from the checkpoints in FOLDER and keep them there; without it a run starts anew and keeps them in "
        "build/training/<name>-<version>",
    )
    parser.add_argument(
        "--tensorboard", type=Path, metavar="FOLDER", help="write scalars there: tensorboard --logdir FOLDER"
    )
    parser.add_argument(
        "--quick", action="store_true", help=f"lay effort.{QUICK} over the recipe: seconds, and a package worth nothing"
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="of torch (1); another number changes the last digits"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
