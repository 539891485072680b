# SPDX-License-Identifier: Apache-2.0
"""Makes the diffuse lung demonstration package: draws phantoms, trains, measures, exports and packs."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.export import Export, export_onnx
from models.packaging import GraphSource, write_package
from models.phantoms.computed_tomography import PATTERNS, shifted_scanner, usual_scanner
from models.recipes.diffuse_lung_card import DESCRIPTION, LICENCE, TITLES, model_card
from models.recipes.diffuse_lung_data import RECIPE, DrawScanner, Patches, chest_patches, pure_patches
from models.recipes.diffuse_lung_evaluation import Measured, measure_chests
from models.recipes.diffuse_lung_recipe import Data, DiffuseLungRecipe, HeldOut
from models.recipes.diffuse_lung_training import PatchNetwork, confusion, train
from models.training.fit import Places

OUTPUTS = ("probability", "logits", "cam", "feature")
_SMALLEST_CUT_OFF_PERCENT = 2.0
_SMALLEST_TRIAGE_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What held-out phantoms of one scanner domain say: confusion of patches, and whole chests."""

    counts: NDArray[np.int64]
    chests: tuple[Measured, ...]


def make_package(packages_folder: Path, recipe: DiffuseLungRecipe, *, source: str, places: Places) -> Path:
    """Train and write `<packages_folder>/<name>/<version>`; `source` names the recipe file in the manifest."""
    network = train(training_patches(recipe.data), recipe, places=places)
    tuning = measure_chests(network, recipe.held_out, seed=81_000, scanner=usual_scanner)
    shifted = _evaluate(network, 82_000, recipe.held_out, scanner=shifted_scanner)
    inside = _evaluate(network, 83_000, recipe.held_out, scanner=usual_scanner)
    about = _about(recipe, tuning, source=source, shifted=shifted, inside=inside)
    card = model_card(
        about["training"]["metrics"], about["operating_points"], shifted=shifted.counts, inside=inside.counts
    )
    with tempfile.TemporaryDirectory() as scratch:
        export = _export(network, Path(scratch) / "patterns.onnx")
        graphs = {"patterns": _source(export)}
        return write_package(packages_folder, about, graphs=graphs, licence_text=LICENCE, model_card=card)


def training_patches(data: Data) -> Patches:
    """Draw what the recipe trains on; the seeds are fixed, so that other recipes see the same bodies."""
    scanner = data.scanners.draw()
    pure = pure_patches(data.textures, seed=1, scanner=scanner)
    return pure.joined(chest_patches(data.chests, seed=2, scanner=scanner))


def _evaluate(network: PatchNetwork, seed: int, held_out: HeldOut, *, scanner: DrawScanner) -> Evaluation:
    pure = pure_patches(held_out.textures, seed=seed, scanner=scanner)
    patches = pure.joined(chest_patches(2 * held_out.chests, seed=seed + 1, scanner=scanner))
    return Evaluation(
        counts=confusion(network, patches),
        chests=measure_chests(network, held_out, seed=seed + 2, scanner=scanner),
    )


def _export(network: PatchNetwork, path: Path) -> Export:
    patches = pure_patches(1, seed=93_000, scanner=usual_scanner)
    examples = [{"patches": patches.images[start : start + 2]} for start in range(0, len(PATTERNS), 2)]
    return export_onnx(network, path, examples=examples, output_names=OUTPUTS, tolerance=1e-4)


def _source(export: Export) -> GraphSource:
    window = f"{RECIPE.window_hu[0]:g} to {RECIPE.window_hu[1]:g} HU"
    return GraphSource(
        path=export.path,
        golden=export.golden,
        tolerance=1e-3,
        tensors={
            "patches": {"channels": [window], "value_range": [0.0, 1.0]},
            "probability": {"channels": list(PATTERNS), "description": "softmax, not calibrated"},
            "cam": {"channels": list(PATTERNS), "description": "exact decomposition of the logits over the patch"},
        },
    )


def _about(
    recipe: DiffuseLungRecipe, tuning: Sequence[Measured], *, source: str, shifted: Evaluation, inside: Evaluation
) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "version": recipe.version,
        **DESCRIPTION,
        "operating_points": {"triage": _triage(tuning, inside.chests)},
        "parameters": {
            "pixel_mm": RECIPE.pixel_mm,
            "window_hu": list(RECIPE.window_hu),
            "patch_px": RECIPE.patch_px,
            "stride_px": RECIPE.stride_px,
            "least_lung": RECIPE.least_lung,
            "slice_step_mm": 5.0,
            "batch": 256,
            "patterns": [_pattern(index, tuning) for index in range(len(PATTERNS))],
        },
        "training": {
            "recipe": f"python -m models.train {source}",
            "seed": recipe.seed,
            "data": DESCRIPTION["trained_on"],
            "metrics": [*_metrics(shifted, "scanner-shift"), *_metrics(inside, "in-domain")],
        },
    }


def _pattern(index: int, tuning: Sequence[Measured]) -> dict[str, Any]:
    """Set a pattern's cut-off half as high again as the most that healthy tuning chests showed of it."""
    name = PATTERNS[index]
    title, scheme, value = TITLES[name]
    false = max(float(chest.percents[index]) for chest in tuning if not chest.diseased)
    least = 0.0 if index == 0 else max(_SMALLEST_CUT_OFF_PERCENT, math.ceil(1.5 * false))
    return {"name": name, "title": title, "scheme": scheme, "value": value, "least_percent": float(least)}


def _triage(tuning: Sequence[Measured], held_out: Sequence[Measured]) -> dict[str, Any]:
    """Set the threshold half as high again as the highest healthy tuning chest; say what it does on others."""
    highest = max(chest.abnormal for chest in tuning if not chest.diseased)
    threshold = round(max(_SMALLEST_TRIAGE_SHARE, 1.5 * highest), 3)
    called = np.array([chest.abnormal >= threshold for chest in held_out])
    truth = np.array([chest.diseased for chest in held_out])
    return {
        "threshold": threshold,
        "sensitivity": round(float(called[truth].mean()), 3),
        "specificity": round(float((~called[~truth]).mean()), 3),
        "measured_on": f"{len(held_out)} held-out phantom chests, in-domain",
    }


def _metrics(result: Evaluation, condition: str) -> list[dict[str, Any]]:
    counts, chests = result.counts, result.chests
    recalls = np.diag(counts) / np.maximum(counts.sum(axis=1), 1)
    errors = [100 * abs(chest.abnormal - (1 - chest.truth[0] / 100)) for chest in chests]
    healthy = [100 * chest.abnormal for chest in chests if not chest.diseased]
    rows = [
        ("patch accuracy, 12 patterns", float(np.trace(counts) / counts.sum()), int(counts.sum())),
        ("mean recall of 12 patterns", float(recalls.mean()), int(counts.sum())),
        ("mean error of abnormal share of lung, percent points", float(np.mean(errors)), len(errors)),
        ("abnormal share called in healthy chests, percent", float(np.mean(healthy)), len(healthy)),
    ]
    return [
        {"name": name, "condition": condition, "value": round(value, 3), "cases": cases} for name, value, cases in rows
    ]
