# SPDX-License-Identifier: Apache-2.0
"""Makes the part of a pneumoconiosis package that reads large opacities and the pleura, or adds it to an older one."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from models.export import export_onnx
from models.golden_studies import drawn
from models.networks.lung_unet import LungUNet
from models.packaging import GraphSource
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
from models.repack import about_of, base_of, card_of, kept_graphs, write_again
from models.training.fit import Places
from models.training.recipe_file import RecipeError
from service.inference.package import LoadedPackage, load_package
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
    RecipeError
        The recipe has no section `findings`.
    """
    if recipe.findings is None:
        raise RecipeError("the recipe has no section findings; add one")
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
    """Train both graphs alone and write the recipe's version: the base with them, and what was measured of them.

    They are new, or stand in the place of its own; what its other graphs read stays the same, bit by bit.

    Raises
    ------
    PackageError
        The base cannot be loaded, or the result would not be.
    RecipeError
        The recipe is of another package than the base, or has no section `findings`.
    """
    files = base_of(base, recipe)
    about = about_of(files)
    with tempfile.TemporaryDirectory() as scratch, drawn(recipe.pipeline) as studies:
        part = make_findings(recipe, lungs_of(load_package(base, provider="cpu")), folder=Path(scratch), places=places)
        kept = [row for row in about["training"]["metrics"] if not is_finding_row(row["name"])]
        return write_again(
            files,
            packages_folder,
            {
                **about,
                "version": recipe.version,
                "parameters": {**about["parameters"], **part.parameters},
                "training": {**about["training"], "metrics": [*kept, *part.metrics]},
            },
            graphs={**kept_graphs(files, Path(scratch) / "base"), **part.graphs},
            studies=studies,
            model_card=with_findings(without_findings(card_of(files)), part.metrics, part.parameters),
        )
