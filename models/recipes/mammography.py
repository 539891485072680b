# SPDX-License-Identifier: Apache-2.0
"""Makes the mammography demonstration package: draws phantoms, trains, measures, exports and packs."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.export import Export, export_onnx
from models.networks.mass_detector import MassDetectorGraph
from models.packaging import GraphSource, write_package
from models.recipes.mammography_card import DESCRIPTION, LICENCE, model_card
from models.recipes.mammography_data import CANVAS, SPACING_MM, Sample, crops, draw_samples
from models.recipes.mammography_evaluation import Evaluation, evaluate, highest_specific
from models.recipes.mammography_recipe import HeldOut, MammographyRecipe
from models.recipes.mammography_training import train
from models.training.fit import Places

OUTPUTS = ("heat", "offset", "size", "marks", "image_logit", "raw_cam", "feature")
_GOLDEN_SEED = 20260


def make_package(packages_folder: Path, recipe: MammographyRecipe, *, source: str, places: Places) -> Path:
    """Train and write `<packages_folder>/<name>/<version>`; `source` names the recipe file in the manifest."""
    samples = draw_samples(recipe.seed, recipe.data.exams, shift=recipe.data.scanner_spread)
    graph = MassDetectorGraph(train(samples, recipe, places=places)).eval()
    tuning = evaluate(graph, _held_out(90_000, recipe.held_out, spreads=(1.0, recipe.held_out.scanner_spread)))
    inside = evaluate(graph, _held_out(91_000, recipe.held_out, spreads=(1.0,)))
    shifted = evaluate(graph, _held_out(92_000, recipe.held_out, spreads=(recipe.held_out.scanner_spread,)))
    with tempfile.TemporaryDirectory() as scratch:
        export = _export(graph, Path(scratch) / "detector.onnx")
        about = _about(recipe, tuning, source=source, inside=inside, shifted=shifted)
        return write_package(
            packages_folder,
            about,
            graphs={"detector": _source(export)},
            licence_text=LICENCE,
            model_card=model_card(about["training"]["metrics"], about["operating_points"]),
        )


def _held_out(first_seed: int, held_out: HeldOut, *, spreads: Sequence[float]) -> list[Sample]:
    share = held_out.exams // len(spreads)
    drawn = [draw_samples(first_seed + 500 * index, share, shift=spread) for index, spread in enumerate(spreads)]
    return [sample for samples in drawn for sample in samples]


def _export(graph: MassDetectorGraph, path: Path) -> Export:
    """Export with free height and width: golden inputs are windows, so that the package stays small."""
    samples = [sample for sample in draw_samples(93_000, 2) if sample.masses][:3]
    windows = crops(samples, np.random.default_rng(_GOLDEN_SEED), size=192).image.numpy()
    maps = {name: {2: f"{name}_rows", 3: f"{name}_columns"} for name in ("image", "heat", "offset", "size", "raw_cam")}
    return export_onnx(
        graph,
        path,
        examples=[{"image": window[None]} for window in windows],
        output_names=OUTPUTS,
        free_axes=maps,
        tolerance=1e-4,
    )


def _source(export: Export) -> GraphSource:
    return GraphSource(
        path=export.path,
        golden=export.golden,
        tolerance=1e-2,
        tensors={
            "image": {"channels": ["grey inside the breast", "breast mask"], "value_range": [0.0, 1.0]},
            "heat": {"description": "chance of a mass centre in each 8-pixel cell"},
            "marks": {"description": "x0, y0, x1, y1 in canvas pixels, score, channel"},
            "image_logit": {"description": "view score before the sigmoid: mean of raw_cam plus a constant"},
            "raw_cam": {"description": "decomposition of image_logit in 16-pixel cells"},
        },
    )


def _about(
    recipe: MammographyRecipe, tuning: Evaluation, *, source: str, inside: Evaluation, shifted: Evaluation
) -> dict[str, Any]:
    return {
        "name": recipe.name,
        "version": recipe.version,
        **DESCRIPTION,
        "operating_points": _operating_points(tuning, inside=inside),
        "parameters": {
            "pixel_spacing_mm": SPACING_MM,
            "canvas": list(CANVAS),
            "percentiles": [1.0, 99.0],
            "cam_full_scale": round(float(np.median(tuning.cam_peaks[tuning.image_labels])), 3),
        },
        "training": {
            "recipe": f"python -m models.train {source}",
            "seed": recipe.seed,
            "data": DESCRIPTION["trained_on"],
            "metrics": [*_metrics(shifted, "scanner-shift"), *_metrics(inside, "in-domain")],
        },
    }


def _operating_points(tuning: Evaluation, *, inside: Evaluation) -> dict[str, Any]:
    """Set the thresholds on the tuning phantoms; say what they do on other, held-out ones."""
    display = tuning.threshold(false_marks_per_image=0.025)
    triage = highest_specific(*tuning.breast_scores(), specificity=0.95)
    scores, truth = inside.breast_scores()
    where = f"{inside.views} held-out phantom views, in-domain"
    return {
        "display": {
            "threshold": round(display, 4),
            "sensitivity": round(float((inside.hits >= display).mean()), 3),
            "measured_on": f"{where}; {(inside.false_marks >= display).sum() / inside.views:.3f} false marks per view",
        },
        "triage": {
            "threshold": round(triage, 4),
            "sensitivity": round(float((scores[truth] >= triage).mean()), 3),
            "specificity": round(float((scores[~truth] < triage).mean()), 3),
            "measured_on": f"{where}, by breast",
        },
    }


def _metrics(result: Evaluation, condition: str) -> list[dict[str, Any]]:
    masses, views = len(result.hits), result.views
    rates = (0.125, 0.25, 0.5, 1.0)
    froc = [
        (f"mass sensitivity at {rate:g} false marks per view", result.sensitivity(false_marks_per_image=rate), masses)
        for rate in rates
    ]
    areas = [("view AUC", result.image_auc(), views), ("breast AUC", result.breast_auc(), len(set(result.breasts)))]
    return [
        {"name": name, "condition": condition, "value": round(value, 3), "cases": cases}
        for name, value, cases in (*froc, *areas)
    ]
