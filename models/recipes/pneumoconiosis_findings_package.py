# SPDX-License-Identifier: Apache-2.0
"""Makes the part of a pneumoconiosis package that reads large opacities and the pleura, or adds it to an older package.

`python -m models.recipes.pneumoconiosis_findings_package RECIPE.yaml --base PACKAGE --out FOLDER` trains the two graphs
alone and writes the recipe's version around the graphs that the base has: what they read stays the same, bit by bit.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import yaml

from models.evidence import declarations
from models.export import export_onnx
from models.golden_studies import drawn
from models.networks.lung_unet import LungUNet
from models.packaging import GraphSource, write_package
from models.recipes.pneumoconiosis_card import with_findings, without_findings
from models.recipes.pneumoconiosis_evaluation import Rate, rate
from models.recipes.pneumoconiosis_findings import FindingNetworks, train_findings
from models.recipes.pneumoconiosis_findings_data import CHANNELS, SIZE
from models.recipes.pneumoconiosis_findings_evaluation import (
    LEAST_MM2,
    FindLungs,
    Seen,
    Thresholds,
    called_clear,
    called_large,
    choose,
    is_finding_row,
    metric_rows,
    see,
    sensitivities,
)
from models.recipes.pneumoconiosis_findings_sets import (
    finding_examples,
    held_out_examples,
    training_set,
    tuning_examples,
)
from models.recipes.pneumoconiosis_recipe import PneumoconiosisRecipe
from models.recipes.pneumoconiosis_training import Run
from models.repack import kept_graphs
from models.training.fit import Places
from models.training.recipe_file import RecipeError, digest, parse_recipe, read_document
from service.domain.errors import PackageError
from service.inference.package import LoadedPackage, load_package
from service.inference.package_files import read_package
from service.pipelines.pneumoconiosis.lungs import Film, Lungs, lungs_from, segmentation_input

MOST_CALLED = 0.1
"""Of the real normal films held back: what calls more ships switched off."""
LEAST_FOUND = 0.5
"""Of what is drawn into phantoms on unseen scanners: what finds less is not worth reading."""
REAL, SHIFTED = "real-films", "scanner-shift"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class FindingsPart:
    """What a package gets: graphs, parameters, rows of metrics."""

    graphs: Mapping[str, GraphSource]
    parameters: Mapping[str, Any]
    metrics: Sequence[dict[str, Any]]


def make_findings(recipe: PneumoconiosisRecipe, find_lungs: FindLungs, *, folder: Path, places: Places) -> FindingsPart:
    """Draw, train, choose thresholds, measure and export into the folder.

    Raises
    ------
    MissingFilmsError
        The recipe names real films that are not there.
    ValueError
        The recipe has no section `findings`.
    """
    if recipe.findings is None:
        raise ValueError("the recipe has no section findings; add one")
    run = Run(name="findings", places=places)
    networks = train_findings(training_set(recipe), passes=recipe.findings.fit, seed=recipe.seed, run=run)
    tuning = [see(part, networks, find_lungs) for part in tuning_examples(recipe)]
    thresholds = choose(tuning)
    held_out = {name: see(part, networks, find_lungs) for name, part in held_out_examples(recipe, find_lungs).items()}
    return FindingsPart(
        graphs=export_findings(networks, folder=folder),
        parameters=parameters_of(thresholds, held_out.get(REAL, []), sensitivities(held_out[SHIFTED], thresholds)),
        metrics=[row for name, seen in held_out.items() for row in metric_rows(seen, thresholds, condition=name)],
    )


def parameters_of(
    thresholds: Thresholds, real: Sequence[Seen], sensitivity: Mapping[str, float] = MappingProxyType({})
) -> dict[str, Any]:
    """Return what the manifest says of both graphs; what calls more than a tenth of real normal films is off.

    What finds less than half of what is drawn is not named at all, and so is "not read": its "none" would say nothing.
    """
    graph = {"input": "film", "output": "scores", "size": SIZE}
    called = {name: rate(found) for name, found in called_clear(real, thresholds).items()} if real else {}
    large = {"graph": "largeop", **graph, "threshold": thresholds.large}
    findings = {
        name: {"threshold": threshold, **_off(called.get(name))}
        for name, threshold in thresholds.pleura.items()
        if sensitivity.get(name, 1.0) >= LEAST_FOUND
    }
    heads: dict[str, Any] = {}
    if sensitivity.get("large", 1.0) >= LEAST_FOUND:
        heads["large_opacities"] = {**large, **_off(called_large(real, thresholds) if real else None)}
    if findings:
        heads["pleura"] = {"graph": "pleura", **graph, "least_mm2": LEAST_MM2, "findings": findings}
    return heads


def _off(called: Rate | None) -> dict[str, Any]:
    if called is None or called.value <= MOST_CALLED:
        return {}
    return {"off": {"called": called.count, "films": called.cases}}


def export_findings(networks: FindingNetworks, *, folder: Path) -> dict[str, GraphSource]:
    """Export both, each compared with torch on a phantom that becomes its golden pair."""
    example = finding_examples(seed=6, bodies=1)
    return {
        "largeop": _exported(networks.large, folder / "largeop.onnx", example, CHANNELS[:1]),
        "pleura": _exported(networks.pleura, folder / "pleura.onnx", example, CHANNELS[1:]),
    }


def _exported(network: LungUNet, path: Path, films: torch.Tensor, channels: Sequence[str]) -> GraphSource:
    export = export_onnx(
        network,
        path,
        examples=[{"film": film[None]} for film in films.numpy()],
        output_names=("scores",),
        tolerance=1e-4,
    )
    return GraphSource(
        path=export.path,
        golden=export.golden,
        tolerance=1e-3,
        tensors={
            "film": {
                "value_range": [0.0, 1.0],
                "description": "whole film, letter-boxed, percentiles 1 and 99 of the lungs",
            },
            "scores": {"channels": list(channels), "value_range": [0.0, 1.0]},
        },
    )


def lungs_of(package: LoadedPackage) -> FindLungs:
    """Return how the package finds lungs on a film."""

    def find(film: Film) -> Lungs:
        boxed, to_film = segmentation_input(film.pixels)
        found = package.run("lungseg", {"film": boxed})["masks"][0]
        return lungs_from(found, to_film, shape=(film.pixels.shape[0], film.pixels.shape[1]))

    return find


def add_findings(base: Path, recipe: PneumoconiosisRecipe, packages_folder: Path, *, places: Places) -> Path:
    """Write the recipe's version: the base with both graphs, new or instead of its own, and what was measured of them.

    Raises
    ------
    PackageError
        The base cannot be loaded, or the result would not be.
    RecipeError
        The recipe is of another package than the base.
    """
    files = read_package(base)
    if files.manifest.name != recipe.name:
        raise RecipeError(f"{base} is a package {files.manifest.name}, the recipe's name is {recipe.name}")
    about: dict[str, Any] = yaml.safe_load(files.manifest_bytes)
    with tempfile.TemporaryDirectory() as scratch, drawn(recipe.pipeline) as studies:
        part = make_findings(recipe, lungs_of(load_package(base, provider="cpu")), folder=Path(scratch), places=places)
        graphs = {**kept_graphs(files, Path(scratch) / "base"), **part.graphs}
        kept = [row for row in about["training"]["metrics"] if not is_finding_row(row["name"])]
        training = {**about["training"], "metrics": [*kept, *part.metrics]}
        return write_package(
            packages_folder,
            {
                **{key: value for key, value in about.items() if key not in _WRITTEN},
                "version": recipe.version,
                "parameters": {**about["parameters"], **part.parameters},
                "training": training,
                **declarations(recipe.pipeline, graphs),
            },
            graphs=graphs,
            licence_text=files.contents["LICENSE"].decode(),
            model_card=with_findings(
                without_findings(files.contents["MODEL_CARD.md"].decode()), part.metrics, part.parameters
            ),
            studies=studies,
        )


_WRITTEN = ("schema_version", "graphs", "golden", "golden_studies", "files")


def main(arguments: Sequence[str] | None = None) -> int:
    """Add both graphs to a package; 2 when the recipe or the base cannot be used."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    try:
        document = read_document(options.recipe, effort="quick" if options.quick else None)
        recipe = parse_recipe(document, PneumoconiosisRecipe, source=str(options.recipe))
        fresh = Path("build/training") / f"{recipe.name}-{recipe.version}"
        resumed = options.resume is not None
        places = Places(checkpoints=options.resume or fresh, resume=resumed, identity=digest(recipe))
        folder = add_findings(options.base, recipe, options.out, places=places)
    except (RecipeError, PackageError, ValueError) as error:
        sys.stderr.write(f"{options.recipe}: {error}\n")
        return 2
    sys.stdout.write(f"{folder}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.recipes.pneumoconiosis_findings_package",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recipe", type=Path, metavar="RECIPE.yaml", help="its section findings is trained")
    parser.add_argument("--base", type=Path, required=True, help="folder of the package whose other graphs are kept")
    parser.add_argument("--out", type=Path, required=True, help="packages: OUT/<name>/<version> is written or replaced")
    parser.add_argument("--resume", type=Path, metavar="FOLDER", help="go on from the checkpoints in FOLDER")
    parser.add_argument("--quick", action="store_true", help="lay effort.quick over the recipe: worth nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
