# SPDX-License-Identifier: Apache-2.0
"""Makes the mammography demonstration package: draws phantoms, trains, measures, exports and packs."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from models.calibration.rejection import metric_rows
from models.calibration.sections import manifest_sections
from models.export import Export, export_onnx
from models.networks.cluster_detector import ClusterDetectorGraph
from models.networks.mass_detector import MassDetector, MassDetectorGraph
from models.packaging import GraphSource, write_package
from models.recipes.mammography_calibration import GRAPH, exam_coverage, output_names, with_distances
from models.recipes.mammography_card import CLUSTERS_ALLOWED, DESCRIPTION, DISPLAY_ALLOWED, LICENCE, classes, model_card
from models.recipes.mammography_data import CANVAS, MARKED, SPACING_MM, Sample, draw_samples
from models.recipes.mammography_distortions import make_detector
from models.recipes.mammography_distortions import source as distortions_source
from models.recipes.mammography_evaluation import Evaluation, KindMarks, highest_specific
from models.recipes.mammography_fine import TRAINED, TRAINED_COUNTS, draw_fine
from models.recipes.mammography_fine_evaluation import FineGraphs
from models.recipes.mammography_fine_package import fine_metrics, fine_parameters, fine_sources, sensitivities
from models.recipes.mammography_fine_training import fine_settings, marked_patches, train_clusters, train_second_look
from models.recipes.mammography_grounds import draw_grounds
from models.recipes.mammography_measures import NOTHING, Beside, Measured, measure
from models.recipes.mammography_recipe import MammographyRecipe
from models.recipes.mammography_training import marked_crops, train
from models.training.fit import Places
from models.training.split import kept_out
from service.pipelines.mammography.kinds import DETECTOR_CLASSES, DISPLAY_POINT, DISTORTIONS

_GOLDEN_SEED = 20260
_FINE_SEED = 21_000
_DISTANCE = "Mahalanobis' distance of the mean features inside the breast from those of training"


def make_package(packages_folder: Path, recipe: MammographyRecipe, *, source: str, places: Places) -> Path:
    """Train and write `<packages_folder>/<name>/<version>`; `source` names the recipe file in the manifest."""
    samples = draw_samples(recipe.seed, recipe.data.exams, shift=recipe.data.scanner_spread)
    fitted, validation = split_exams(samples, recipe)
    detectors = train(fitted, validation, recipe, places=places)
    beside = Beside(
        distortions=make_detector(recipe, places=places) if recipe.distortions is not None else None,
        fine=train_fine(detectors, recipe, places=places) if recipe.fine is not None else None,
    )
    return pack(packages_folder, detectors, fitted, validation, recipe=recipe, source=source, beside=beside)


def train_fine(detectors: Sequence[MassDetector], recipe: MammographyRecipe, *, places: Places) -> FineGraphs:
    """Train the graphs at 0.1 mm on phantoms of their own, a second look on marks that the detectors make there.

    Raises
    ------
    ValueError
        The recipe has no section `fine`.
    """
    settings = fine_settings(recipe)
    clusters = ClusterDetectorGraph(train_clusters(draw_grounds(_FINE_SEED, settings.views), recipe, places=places))
    look = settings.second_look
    if look is None:
        return FineGraphs(clusters=clusters.eval())
    samples = list(draw_fine(_FINE_SEED, look.exams, shares=TRAINED, counts=TRAINED_COUNTS))
    marked = marked_patches(MassDetectorGraph(*detectors).eval(), clusters.eval(), samples, look)
    return FineGraphs(clusters=clusters, second_look=train_second_look(marked, recipe, places=places))


def split_exams(samples: Sequence[Sample], recipe: MammographyRecipe) -> tuple[list[Sample], list[Sample]]:
    """Return the views to fit, and those of exams that are kept out of the fit."""
    out = kept_out([sample.exam for sample in samples], share=recipe.split.validation, seed=recipe.seed)
    fitted = [sample for sample, is_out in zip(samples, out, strict=True) if not is_out]
    return fitted, [sample for sample, is_out in zip(samples, out, strict=True) if is_out]


def pack(
    packages_folder: Path,
    detectors: Sequence[MassDetector],
    fitted: Sequence[Sample],
    validation: Sequence[Sample],
    *,
    recipe: MammographyRecipe,
    source: str,
    beside: Beside = NOTHING,
) -> Path:
    """Calibrate and measure the graphs on phantoms that they have not seen, export them and write the package."""
    bare = MassDetectorGraph(*detectors).eval()
    graph = with_distances(bare, fitted).eval() if recipe.calibration.distances else bare
    measured = measure(graph, validation, recipe, beside)
    with tempfile.TemporaryDirectory() as scratch:
        export = _export(graph, Path(scratch) / "detector.onnx")
        added = _sources(beside, recipe, Path(scratch))
        about = _about(recipe, measured, source=source)
        return write_package(
            packages_folder,
            about,
            graphs={GRAPH: _source(export, output_names(graph)), **added},
            licence_text=LICENCE,
            model_card=model_card(
                about["training"]["metrics"],
                about["operating_points"],
                recipe=recipe,
                reliability=measured.reliability,
                refusals=measured.refusals,
            ),
        )


def _sources(beside: Beside, recipe: MammographyRecipe, folder: Path) -> dict[str, GraphSource]:
    strands = {} if beside.distortions is None else {DISTORTIONS: distortions_source(beside.distortions, folder)}
    return strands if beside.fine is None else {**strands, **fine_sources(beside.fine, recipe, folder)}


def _export(graph: nn.Module, path: Path) -> Export:
    """Export with free height and width: golden inputs are windows, so that the package stays small."""
    samples = [sample for sample in draw_samples(93_000, 3) if sample.is_marked][:3]
    windows = marked_crops(samples, np.random.default_rng(_GOLDEN_SEED), size=192).image.numpy()
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
            "heat": {"description": f"chance of a lesion's centre in each 8-pixel cell: {', '.join(MARKED)}"},
            "marks": {"description": "x0, y0, x1, y1 in canvas pixels, score, channel of heat"},
            "image_logit": {"description": "view score before the sigmoid: mean of raw_cam plus a constant"},
            "raw_cam": {"description": "decomposition of image_logit in 16-pixel cells"},
            **{name: {"description": _DISTANCE} for name in names if name.startswith("distance_")},
        },
    )


def _about(recipe: MammographyRecipe, measured: Measured, *, source: str) -> dict[str, Any]:
    tuning, exams = measured.tuning, measured.exams
    return {
        "name": recipe.name,
        "version": recipe.version,
        **DESCRIPTION,
        "classes": classes(recipe),
        **manifest_sections(measured.reliability),
        "operating_points": _operating_points(measured),
        "parameters": {
            "pixel_spacing_mm": SPACING_MM,
            "canvas": list(CANVAS),
            "percentiles": [1.0, 99.0],
            "cam_full_scale": round(float(np.median(tuning.cam_peaks[tuning.image_labels])), 3),
            DETECTOR_CLASSES: list(MARKED),
            **({} if recipe.distortions is None else {DISTORTIONS: True}),
            **({} if recipe.fine is None else fine_parameters(recipe.fine)),
        },
        "training": {
            "recipe": f"python -m models.train {source}",
            "seed": recipe.seed,
            "data": DESCRIPTION["trained_on"],
            "metrics": [
                *_metrics(measured.shifted, exams.shifted, "scanner-shift"),
                *_coverage(measured, exams.shifted, "scanner-shift"),
                *_strands(measured, "scanner-shift"),
                *([] if measured.fine is None else fine_metrics(measured.fine.shifted, "scanner-shift")),
                *_metrics(measured.inside, exams.inside, "in-domain"),
                *_coverage(measured, exams.inside, "in-domain"),
                *_strands(measured, "in-domain"),
                *([] if measured.fine is None else fine_metrics(measured.fine.inside, "in-domain")),
                *metric_rows(measured.refusals),
            ],
        },
    }


def _strands(measured: Measured, condition: str) -> Sequence[dict[str, Any]]:
    if measured.distortions is None:
        return ()
    marks = measured.distortions.shifted if condition == "scanner-shift" else measured.distortions.inside
    return sensitivities("distortion", marks, condition)


def _operating_points(measured: Measured) -> dict[str, Any]:
    """Set the thresholds on the tuning phantoms; say what they do on other, held-out ones."""
    tuning, inside = measured.exams.tuning, measured.exams.inside
    points = {
        _point_name(kind): _display(marks, measured.inside.marks[kind], allowed=DISPLAY_ALLOWED)
        for kind, marks in measured.tuning.marks.items()
    }
    if measured.distortions is not None:
        strands = measured.distortions
        points[_point_name("distortion")] = _display(strands.tuning, strands.inside, allowed=DISPLAY_ALLOWED)
    if measured.fine is not None:
        own, other = measured.fine.tuning.clusters, measured.fine.inside.clusters
        points[_point_name("cluster")] = _display(own, other, allowed=CLUSTERS_ALLOWED)
    triage = highest_specific(*tuning.breast_scores(), specificity=0.95)
    scores, truth = inside.breast_scores()
    return {
        **points,
        "triage": {
            "threshold": round(triage, 4),
            "sensitivity": round(float((scores[truth] >= triage).mean()), 3),
            "specificity": round(float((scores[~truth] < triage).mean()), 3),
            "measured_on": f"{inside.views} held-out phantom views, in-domain, by breast",
        },
    }


def _point_name(kind: str) -> str:
    return DISPLAY_POINT if kind == MARKED[0] else f"{DISPLAY_POINT}-{kind}"


def _display(tuning: KindMarks, inside: KindMarks, *, allowed: float) -> dict[str, Any]:
    threshold = tuning.threshold(false_marks_per_image=allowed)
    false = (inside.false_marks >= threshold).sum() / inside.views
    return {
        "threshold": round(threshold, 4),
        **({"sensitivity": round(inside.found(threshold), 3)} if inside.hits.size else {}),
        "measured_on": f"{inside.views} held-out phantom views, in-domain; {false:.3f} false marks per view",
    }


def _metrics(result: Evaluation, exams: Evaluation, condition: str) -> list[dict[str, Any]]:
    found = [row for kind, marks in result.marks.items() for row in sensitivities(kind, marks, condition)]
    areas = [
        ("view AUC", exams.image_auc(), exams.views),
        ("breast AUC", exams.breast_auc(), len(set(exams.breasts))),
    ]
    rest = [{"name": name, "condition": condition, "value": round(value, 3), "cases": n} for name, value, n in areas]
    return [*found, *rest]


def _coverage(measured: Measured, result: Evaluation, condition: str) -> list[dict[str, Any]]:
    """Return how often the set of an exam held the truth, and how many answers it held; nothing without sets."""
    found = [(sets, exam_coverage(sets, result)) for sets in measured.reliability.conformal]
    return [
        {"name": name, "condition": condition, "value": round(value, 3), "cases": each.cases}
        for sets, each in found
        for name, value in (
            (f"share of exams whose set of level {sets.level:g} holds the truth", each.share),
            (f"answers in a set of level {sets.level:g}", each.mean_size),
        )
    ]
