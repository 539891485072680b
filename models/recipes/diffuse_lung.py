# SPDX-License-Identifier: Apache-2.0
"""Makes the diffuse lung demonstration package: draws phantoms, trains, measures, exports and packs."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from models.calibration.rejection import metric_rows
from models.calibration.sections import manifest_sections
from models.export import Export, export_onnx
from models.networks.field_ensemble import FieldEnsemble
from models.packaging import GraphSource, write_package
from models.phantoms.computed_tomography import PATTERNS, shifted_scanner, texture_patch, usual_scanner
from models.recipes.diffuse_lung_calibration import GRAPH, Calibrated, Found, calibrate, doubt_rows, refused
from models.recipes.diffuse_lung_card import DESCRIPTION, LICENCE, TITLES, model_card, with_dense
from models.recipes.diffuse_lung_data import RECIPE, DrawScanner, Patches, chest_patches, pure_patches
from models.recipes.diffuse_lung_dense import GRAPH as DENSE_GRAPH
from models.recipes.diffuse_lung_dense import DensePart, make_dense, trained_on
from models.recipes.diffuse_lung_evaluation import Measured, measure_chests, reads_fields
from models.recipes.diffuse_lung_members import train_ensemble, votes_table
from models.recipes.diffuse_lung_own import read_patches
from models.recipes.diffuse_lung_recipe import Data, DiffuseLungRecipe, HeldOut
from models.recipes.diffuse_lung_training import confusion, train
from models.training.fit import Places
from models.training.split import kept_out
from service.imaging.normalise import window_ct

_PROBABILITY = "softmax of the logits divided by {:.3f}, the temperature of held-out phantoms"
_SOFT_VOTE = (
    "weighted mean of the members' probabilities, to the power of 1 / {:.3f}, the temperature of held-out phantoms"
)
_VOTES: Mapping[str, Mapping[str, Any]] = {
    "vote": {"channels": list(PATTERNS), "description": "share of the weights that stand for each pattern"},
    "margin": {"description": "distance between the two likeliest patterns' probabilities"},
    "divergence": {"description": "Jensen-Shannon divergence of the members' probabilities, nats"},
}
_DISTANCE = "Mahalanobis' distance of the features from the nearest class of training"
_SMALLEST_CUT_OFF_PERCENT = 2.0
_SMALLEST_TRIAGE_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What held-out phantoms of one scanner domain say: patches, the graph's outputs for them, and whole chests."""

    patches: Patches
    found: Found
    chests: tuple[Measured, ...]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How often each pattern (row) was called each pattern (column)."""
        return confusion(self.found["probability"], self.patches.classes)


def make_package(packages_folder: Path, recipe: DiffuseLungRecipe, *, source: str, places: Places) -> Path:
    """Train and write `<packages_folder>/<name>/<version>`; `source` names the recipe file in the manifest."""
    patches = training_patches(recipe.data)
    out = kept_out(patches.bodies.tolist(), share=recipe.split.validation, seed=recipe.seed)
    fitted, validation = patches.where(~out), patches.where(out)
    network = (
        train_ensemble(fitted, validation, recipe, recipe.ensemble, places=places)
        if recipe.ensemble
        else train(fitted, validation, recipe, places=places)
    )
    with tempfile.TemporaryDirectory() as scratch:
        dense = (
            make_dense(recipe.dense_lung, seed=recipe.seed, folder=Path(scratch), places=places)
            if recipe.dense_lung
            else None
        )
        return pack(packages_folder, network, fitted, validation, recipe=recipe, source=source, dense=dense)


def training_patches(data: Data) -> Patches:
    """Draw and read what the recipe trains on; the seeds are fixed, so that other recipes see the same phantoms."""
    scanner = data.scanners.draw()
    parts = [pure_patches(data.textures, seed=1, scanner=scanner)] if data.textures else []
    parts += [chest_patches(data.chests, seed=2, scanner=scanner)] if data.chests else []
    parts += [read_patches(Path(data.own))] if data.own else []
    return parts[0].joined(*parts[1:])


def pack(
    packages_folder: Path,
    network: nn.Module,
    fitted: Patches,
    validation: Patches,
    *,
    recipe: DiffuseLungRecipe,
    source: str,
    dense: DensePart | None = None,
) -> Path:
    """Calibrate and measure the network on phantoms that it has not seen, export it and write the package."""
    held_out = recipe.held_out
    tuning_patches = _held_out_patches(84_000, held_out, scanner=usual_scanner)
    calibrated = calibrate(network, fitted, tuning_patches, recipe.calibration)
    tuning = measure_chests(calibrated.graph, held_out, seed=81_000, scanner=usual_scanner)
    shifted = _evaluate(calibrated, 82_000, held_out, scanner=shifted_scanner)
    inside = _evaluate(calibrated, 83_000, held_out, scanner=usual_scanner)
    refusals = refused(calibrated, inside.found, shifted.found)
    about = _about(recipe, calibrated, tuning, source=source, shifted=shifted, inside=inside)
    about["training"]["metrics"] += [*_own_rows(calibrated, validation), *metric_rows(refusals)]
    with tempfile.TemporaryDirectory() as scratch:
        graphs = {GRAPH: _source(_export(calibrated, Path(scratch) / "patterns.onnx"), calibrated)}
        card = model_card(
            about["training"]["metrics"],
            about["operating_points"],
            recipe=recipe,
            calibrated=calibrated,
            refusals=refusals,
            shifted=shifted.counts,
            inside=inside.counts,
            votes=_votes(network, shifted, inside),
        )
        if dense:
            graphs[DENSE_GRAPH] = dense.graph
            about["parameters"]["dense_lung"] = dict(dense.parameter)
            about["training"]["metrics"] += dense.metrics
            card = with_dense(card, dense.metrics, learnt=dense.learnt)
            about["trained_on"] = about["training"]["data"] = trained_on(dense.learnt)
        return write_package(packages_folder, about, graphs=graphs, licence_text=LICENCE, model_card=card)


def _held_out_patches(seed: int, held_out: HeldOut, *, scanner: DrawScanner) -> Patches:
    pure = pure_patches(held_out.textures, seed=seed, scanner=scanner)
    return pure.joined(chest_patches(2 * held_out.chests, seed=seed + 1, scanner=scanner))


def _evaluate(calibrated: Calibrated, seed: int, held_out: HeldOut, *, scanner: DrawScanner) -> Evaluation:
    patches = _held_out_patches(seed, held_out, scanner=scanner)
    return Evaluation(
        patches=patches,
        found=calibrated.run(patches.images),
        chests=measure_chests(calibrated.graph, held_out, seed=seed + 2, scanner=scanner),
    )


def _votes(network: nn.Module, shifted: Evaluation, inside: Evaluation) -> str:
    if not isinstance(network, FieldEnsemble):
        return ""
    conditions = {
        "scanner-shift": (shifted.patches, shifted.found),
        "in-domain": (inside.patches, inside.found),
    }
    return votes_table(network, conditions)


def _export(calibrated: Calibrated, path: Path) -> Export:
    """Write the graph with golden patches; of one that reads fields, with a golden field of three by four patches."""
    patches = pure_patches(1, seed=93_000, scanner=usual_scanner)
    examples = [{"patches": patches.images[start : start + 2]} for start in range(0, len(PATTERNS), 2)]
    free_axes: dict[str, dict[int, str]] = {}
    if reads_fields(calibrated.graph):
        examples.append({"patches": _field(94_000)})
        free_axes = {name: {0: "tiles"} for name in calibrated.names} | {"patches": {2: "rows", 3: "columns"}}
    return export_onnx(
        calibrated.graph,
        path,
        examples=examples,
        output_names=calibrated.names,
        free_axes=free_axes,
        tolerance=1e-4,
    )


def _field(seed: int) -> NDArray[np.float32]:
    """Draw a piece of reticulation, float32 (1, 1, 72, 84) in [0, 1]."""
    low, high = RECIPE.window_hu
    texture = texture_patch("reticulation", rng=np.random.default_rng(seed), size=84, pixel_mm=RECIPE.pixel_mm)
    return np.ascontiguousarray(window_ct(texture, low=low, high=high)[None, None, :72])


def _source(export: Export, calibrated: Calibrated) -> GraphSource:
    window = f"{RECIPE.window_hu[0]:g} to {RECIPE.window_hu[1]:g} HU"
    return GraphSource(
        path=export.path,
        golden=export.golden,
        tolerance=1e-3,
        tensors={
            "patches": {"channels": [window], "value_range": [0.0, 1.0]},
            "probability": {"channels": list(PATTERNS), "description": _probability(calibrated)},
            **{name: told for name, told in _VOTES.items() if name in calibrated.names},
            "cam": {"channels": list(PATTERNS), "description": "exact decomposition of the logits over the patch"},
            **{name: {"description": _DISTANCE} for name in calibrated.names if name.startswith("distance_")},
        },
    )


def _probability(calibrated: Calibrated) -> str:
    told = _SOFT_VOTE if "vote" in calibrated.names else _PROBABILITY
    return told.format(calibrated.temperature)


def _about(
    recipe: DiffuseLungRecipe,
    calibrated: Calibrated,
    tuning: Sequence[Measured],
    *,
    source: str,
    shifted: Evaluation,
    inside: Evaluation,
) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "version": recipe.version,
        **DESCRIPTION,
        **manifest_sections(calibrated.reliability),
        "operating_points": {"triage": _triage(tuning, inside.chests)},
        "parameters": {
            "pixel_mm": RECIPE.pixel_mm,
            "window_hu": list(RECIPE.window_hu),
            "patch_px": RECIPE.patch_px,
            "stride_px": RECIPE.stride_px,
            "least_lung": RECIPE.least_lung,
            "slice_step_mm": 5.0,
            "batch": 256,
            "whole_fields": reads_fields(calibrated.graph),
            "patterns": [_pattern(index, tuning) for index in range(len(PATTERNS))],
        },
        "training": {
            "recipe": f"python -m models.train {source}",
            "seed": recipe.seed,
            "data": DESCRIPTION["trained_on"],
            "metrics": [
                *_metrics(calibrated, shifted, condition="scanner-shift"),
                *_metrics(calibrated, inside, condition="in-domain"),
            ],
        },
    }


def _own_rows(calibrated: Calibrated, validation: Patches) -> list[dict[str, Any]]:
    """Return a row on the group's own patients that the split kept out of the fit, if there are any."""
    own = validation.where(np.char.startswith(validation.bodies, "own-"))
    if not len(own.classes):
        return []
    counts = confusion(calibrated.run(own.images)["probability"], own.classes)
    accuracy, patients = float(np.trace(counts) / counts.sum()), len(np.unique(own.bodies))
    name = f"patch accuracy, {patients} own patients kept out of the fit"
    return [{"name": name, "condition": "own-data", "value": round(accuracy, 3), "cases": int(counts.sum())}]


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


def _metrics(calibrated: Calibrated, result: Evaluation, *, condition: str) -> list[dict[str, Any]]:
    counts, chests = result.counts, result.chests
    recalls = np.diag(counts) / np.maximum(counts.sum(axis=1), 1)
    errors = [100 * abs(chest.abnormal - (1 - chest.truth[0] / 100)) for chest in chests]
    healthy = [100 * chest.abnormal for chest in chests if not chest.diseased]
    rows = [
        ("patch accuracy, 12 patterns", float(np.trace(counts) / counts.sum()), int(counts.sum())),
        ("mean recall of 12 patterns", float(recalls.mean()), int(counts.sum())),
        ("mean error of abnormal share of lung, percent points", float(np.mean(errors)), len(errors)),
        ("abnormal share called in healthy chests, percent", float(np.mean(healthy)), len(healthy)),
        *doubt_rows(calibrated, result.found, result.patches.classes),
    ]
    return [
        {"name": name, "condition": condition, "value": round(value, 3), "cases": cases} for name, value, cases in rows
    ]
