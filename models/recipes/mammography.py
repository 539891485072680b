# SPDX-License-Identifier: Apache-2.0
"""Makes the mammography demonstration package: draws phantoms, trains, measures, exports and packs."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from models.calibration.rejection import Rejection, metric_rows
from models.calibration.sections import manifest_sections
from models.export import Export, export_onnx
from models.networks.mass_detector import MassDetector, MassDetectorGraph
from models.packaging import GraphSource, write_package
from models.recipes.mammography_calibration import (
    GRAPH,
    noisy,
    output_names,
    refused,
    score_calibrations,
    view_limits,
    with_distances,
)
from models.recipes.mammography_card import DESCRIPTION, LICENCE, model_card
from models.recipes.mammography_data import CANVAS, SPACING_MM, Sample, crops, draw_samples
from models.recipes.mammography_evaluation import Evaluation, evaluate, highest_specific
from models.recipes.mammography_recipe import MammographyRecipe
from models.recipes.mammography_training import train
from models.training.fit import Places
from models.training.split import kept_out
from service.domain.reliability import Reliability

_GOLDEN_SEED = 20260
_DISTANCE = "Mahalanobis' distance of the mean features inside the breast from those of training"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What phantoms that the fit has not seen say: tuning for thresholds and curves, the others for the model card."""

    tuning: Evaluation
    inside: Evaluation
    shifted: Evaluation
    reliability: Reliability
    refusals: tuple[Rejection, ...]


def make_package(packages_folder: Path, recipe: MammographyRecipe, *, source: str, places: Places) -> Path:
    """Train and write `<packages_folder>/<name>/<version>`; `source` names the recipe file in the manifest."""
    samples = draw_samples(recipe.seed, recipe.data.exams, shift=recipe.data.scanner_spread)
    fitted, validation = split_exams(samples, recipe)
    detector = train(fitted, validation, recipe, places=places)
    return pack(packages_folder, detector, fitted, validation, recipe=recipe, source=source)


def split_exams(samples: Sequence[Sample], recipe: MammographyRecipe) -> tuple[list[Sample], list[Sample]]:
    """Return the views to fit, and those of exams that are kept out of the fit."""
    out = kept_out([sample.exam for sample in samples], share=recipe.split.validation, seed=recipe.seed)
    fitted = [sample for sample, is_out in zip(samples, out, strict=True) if not is_out]
    return fitted, [sample for sample, is_out in zip(samples, out, strict=True) if is_out]


def pack(
    packages_folder: Path,
    detector: MassDetector,
    fitted: Sequence[Sample],
    validation: Sequence[Sample],
    *,
    recipe: MammographyRecipe,
    source: str,
) -> Path:
    """Calibrate and measure the detector on phantoms that it has not seen, export it and write the package."""
    bare = MassDetectorGraph(detector).eval()
    graph = with_distances(bare, fitted).eval() if recipe.calibration.distances else bare
    measured = _measured(graph, validation, recipe)
    with tempfile.TemporaryDirectory() as scratch:
        export = _export(graph, Path(scratch) / "detector.onnx")
        about = _about(recipe, measured, source=source)
        return write_package(
            packages_folder,
            about,
            graphs={GRAPH: _source(export, output_names(graph))},
            licence_text=LICENCE,
            model_card=model_card(
                about["training"]["metrics"],
                about["operating_points"],
                recipe=recipe,
                reliability=measured.reliability,
                refusals=measured.refusals,
            ),
        )


def _measured(graph: nn.Module, validation: Sequence[Sample], recipe: MammographyRecipe) -> Measured:
    held_out, names = recipe.held_out, output_names(graph)
    usual = draw_samples(90_000, held_out.exams // 2)
    further = draw_samples(90_500, held_out.exams // 2, shift=held_out.scanner_spread)
    views = draw_samples(91_000, held_out.exams)
    tuning, inside = evaluate(graph, [*usual, *further], names=names), evaluate(graph, views, names=names)
    shifted = evaluate(graph, draw_samples(92_000, held_out.exams, shift=held_out.scanner_spread), names=names)
    found = view_limits(evaluate(graph, [*usual, *validation], names=names)) if recipe.calibration.distances else ()
    return Measured(
        tuning=tuning,
        inside=inside,
        shifted=shifted,
        reliability=Reliability(
            calibration=score_calibrations(tuning) if recipe.calibration.scores else (), out_of_distribution=found
        ),
        refusals=refused(inside, shifted, evaluate(graph, noisy(views[::4]), names=names), found),
    )


def _export(graph: nn.Module, path: Path) -> Export:
    """Export with free height and width: golden inputs are windows, so that the package stays small."""
    samples = [sample for sample in draw_samples(93_000, 2) if sample.masses][:3]
    windows = crops(samples, np.random.default_rng(_GOLDEN_SEED), size=192).image.numpy()
    maps = {name: {2: f"{name}_rows", 3: f"{name}_columns"} for name in ("image", "heat", "offset", "size", "raw_cam")}
    return export_onnx(
        graph,
        path,
        examples=[{"image": window[None]} for window in windows],
        output_names=output_names(graph),
        free_axes=maps,
        tolerance=1e-4,
    )


def _source(export: Export, names: Sequence[str]) -> GraphSource:
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
            **{name: {"description": _DISTANCE} for name in names if name.startswith("distance_")},
        },
    )


def _about(recipe: MammographyRecipe, measured: Measured, *, source: str) -> dict[str, Any]:
    tuning, inside = measured.tuning, measured.inside
    return {
        "name": recipe.name,
        "version": recipe.version,
        **DESCRIPTION,
        **manifest_sections(measured.reliability),
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
            "metrics": [
                *_metrics(measured.shifted, "scanner-shift"),
                *_metrics(inside, "in-domain"),
                *metric_rows(measured.refusals),
            ],
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
