# SPDX-License-Identifier: Apache-2.0
"""Builds the demonstration packages again around the graphs that they have: nothing is trained.

`python -m models.repack [--out FOLDER]`: for a change of the package format or of the golden studies.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from models.evidence import declarations
from models.golden_studies import drawn
from models.packaging import GraphSource, StudySource, write_package
from models.training.recipe import Recipe
from models.training.recipe_file import RecipeError
from service.inference.golden import golden_arrays
from service.inference.package import find_packages
from service.inference.package_files import PackageFiles, read_package

_WRITTEN = ("schema_version", "graphs", "golden", "golden_studies", "files")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write every package of the folder again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/packages"), help="folder of packages")
    for folder in find_packages(parser.parse_args(arguments).out):
        repack(folder)


def repack(folder: Path) -> Path:
    """Write one package again, in its place, with the golden studies and declarations of its pipeline."""
    files = read_package(folder)
    with tempfile.TemporaryDirectory() as scratch, drawn(files.manifest.pipeline) as studies:
        graphs = kept_graphs(files, Path(scratch))
        return write_again(files, folder.parent.parent, about_of(files), graphs=graphs, studies=studies)


def base_of(folder: Path, recipe: Recipe) -> PackageFiles:
    """Return the files of the package whose graphs are kept beside those that a recipe trains.

    Raises
    ------
    PackageError
        It cannot be read.
    RecipeError
        The recipe is of another package.
    """
    files = read_package(folder)
    if files.manifest.name != recipe.name:
        raise RecipeError(f"{folder} is a package {files.manifest.name}, the recipe's name is {recipe.name}")
    return files


def about_of(files: PackageFiles) -> dict[str, Any]:
    """Return what the manifest says that packing does not write itself."""
    about: dict[str, Any] = yaml.safe_load(files.manifest_bytes)
    return {key: value for key, value in about.items() if key not in _WRITTEN}


def write_again(
    files: PackageFiles,
    packages_folder: Path,
    about: Mapping[str, Any],
    *,
    graphs: Mapping[str, GraphSource],
    studies: Mapping[str, StudySource],
    model_card: str | None = None,
) -> Path:
    """Write a package that says `about`, with the licence of an older one, and its model card if no other is given."""
    return write_package(
        packages_folder,
        {**about, **declarations(files.manifest.pipeline, graphs)},
        graphs=graphs,
        licence_text=files.contents["LICENSE"].decode(),
        model_card=card_of(files) if model_card is None else model_card,
        studies=studies,
    )


def card_of(files: PackageFiles) -> str:
    """Return the model card of a package."""
    return files.contents["MODEL_CARD.md"].decode()


def kept_graphs(files: PackageFiles, scratch: Path) -> dict[str, GraphSource]:
    """Write the graphs of a package into a folder, and return them with their golden tensors as they are."""
    for graph in files.manifest.graphs.values():
        path = scratch / graph.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files.contents[graph.file])
    return {name: _source(files, name, scratch) for name in files.manifest.graphs}


def _source(files: PackageFiles, name: str, scratch: Path) -> GraphSource:
    graph, golden = files.manifest.graphs[name], [entry for entry in files.manifest.golden if entry.graph == name]
    tensors = {**graph.inputs, **graph.outputs}
    said = {
        tensor: contract.model_dump(mode="json", exclude={"dtype", "shape"}, exclude_defaults=True)
        for tensor, contract in tensors.items()
    }
    return GraphSource(
        path=scratch / graph.file,
        golden=[golden_arrays(files.contents[entry.file], where=entry.file) for entry in golden],
        tolerance=golden[0].tolerance,
        tensors={tensor: entry for tensor, entry in said.items() if entry},
    )


if __name__ == "__main__":
    main()
