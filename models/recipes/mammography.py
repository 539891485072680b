# SPDX-License-Identifier: Apache-2.0
"""Makes the mammography demonstration package: draws phantoms, trains, measures, exports and packs."""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.export import Export, export_onnx
from models.networks.mass_detector import MassDetector, MassDetectorGraph
from models.packaging import GraphSource, write_package
from models.recipes.mammography_card import DESCRIPTION, LICENCE, model_card
from models.recipes.mammography_data import CANVAS, SPACING_MM, Sample, crops, draw_samples
from models.recipes.mammography_evaluation import Evaluation, evaluate, highest_specific
from models.recipes.mammography_training import attended_features, train_marks, train_score

SEED = 20260
SHIFT = 1.8
"""How far the shifted held-out scanner goes beyond the training's (models.phantoms.mammogram.acquisition)."""
OUTPUTS = ("heat", "offset", "size", "marks", "image_logit", "raw_cam", "feature")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much is drawn and trained; the smallest is for tests."""

    exams: int = 150
    steps: int = 1700
    epochs: int = 15
    held_out: int = 30


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the package into the folder given with --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("models/packages"), help="folder of packages")
    parser.add_argument("--threads", type=int, default=2, help="torch threads; other counts change the last digits")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    make_package(options.out, Effort())


def make_package(packages_folder: Path, effort: Effort) -> Path:
    """Train and write `<packages_folder>/mammography-demo/0.1.0`."""
    graph = MassDetectorGraph(_train(effort)).eval()
    tuning = evaluate(graph, _held_out(90_000, effort, shifts=(1.0, SHIFT)))
    inside = evaluate(graph, _held_out(91_000, effort, shifts=(1.0,)))
    shifted = evaluate(graph, _held_out(92_000, effort, shifts=(SHIFT,)))
    with tempfile.TemporaryDirectory() as scratch:
        export = _export(graph, Path(scratch) / "detector.onnx")
        about = _about(tuning, inside=inside, shifted=shifted)
        return write_package(
            packages_folder,
            about,
            graphs={"detector": _source(export)},
            licence_text=LICENCE,
            model_card=model_card(about["training"]["metrics"], about["operating_points"]),
        )


def _train(effort: Effort) -> MassDetector:
    torch.manual_seed(SEED)
    samples = draw_samples(SEED, effort.exams)
    detector = MassDetector()
    train_marks(detector, samples, steps=effort.steps, seed=SEED)
    labels = np.array([bool(sample.masses) for sample in samples], dtype=np.float32)
    train_score(detector, attended_features(detector, samples), labels, epochs=effort.epochs, seed=SEED)
    return detector


def _held_out(first_seed: int, effort: Effort, *, shifts: Sequence[float]) -> list[Sample]:
    share = max(1, effort.held_out // len(shifts))
    drawn = [draw_samples(first_seed + 500 * index, share, shift=shift) for index, shift in enumerate(shifts)]
    return [sample for samples in drawn for sample in samples]


def _export(graph: MassDetectorGraph, path: Path) -> Export:
    """Export with free height and width: golden inputs are windows, so that the package stays small."""
    samples = [sample for sample in draw_samples(93_000, 2) if sample.masses][:3]
    windows = crops(samples, np.random.default_rng(SEED), size=192).image.numpy()
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


def _about(tuning: Evaluation, *, inside: Evaluation, shifted: Evaluation) -> dict[str, Any]:
    return {
        **DESCRIPTION,
        "operating_points": _operating_points(tuning, inside=inside),
        "parameters": {
            "pixel_spacing_mm": SPACING_MM,
            "canvas": list(CANVAS),
            "percentiles": [1.0, 99.0],
            "cam_full_scale": round(float(np.median(tuning.cam_peaks[tuning.image_labels])), 3),
        },
        "training": {
            "recipe": "python -m models.recipes.mammography",
            "seed": SEED,
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


if __name__ == "__main__":
    main()
