# SPDX-License-Identifier: Apache-2.0
"""The graphs at 0.1 mm as parts of a package: exported with golden windows, their parameters and their figures."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.export import export_onnx
from models.networks.cluster_detector import ClusterDetectorGraph
from models.networks.second_look import SecondLook
from models.packaging import GraphSource
from models.recipes.mammography_evaluation import KindMarks
from models.recipes.mammography_fine import FINE_MM, FINE_PERCENTILES, MEASURED, FineSample, draw_fine
from models.recipes.mammography_fine_evaluation import FineEvaluation, FineGraphs
from models.recipes.mammography_fine_training import fine_settings, look_settings
from models.recipes.mammography_heat_maps import heat_map_source
from models.recipes.mammography_recipe import FineFit, MammographyRecipe
from service.pipelines.mammography.fine import patch_around
from service.pipelines.mammography.kinds import CLUSTERS, SECOND_LOOK

RATES = (0.125, 0.25, 0.5, 1.0)
_GOLDEN_SEED = 93_100
_WINDOW_PX = 256
_GOLDEN = 3
_ASKED = {"patch_px", "marks"}
_Placed = tuple[FineSample, tuple[float, float]]


def fine_parameters(settings: FineFit) -> dict[str, Any]:
    """Return what the manifest's parameters say to the pipeline."""
    spacing = {"pixel_spacing_mm": FINE_MM}
    clusters = {CLUSTERS: {**spacing, "percentiles": list(FINE_PERCENTILES)}}
    look = settings.second_look
    return clusters if look is None else {**clusters, SECOND_LOOK: {**spacing, **look.model_dump(include=_ASKED)}}


def fine_sources(graphs: FineGraphs, recipe: MammographyRecipe, folder: Path) -> dict[str, GraphSource]:
    """Export the graphs into a folder; golden inputs are windows of phantoms of their own, around lesions."""
    lesions = _places(draw_fine(_GOLDEN_SEED, 2, shares=MEASURED, counts=(0.0, 1.0)))
    found = {CLUSTERS: _clusters(graphs.clusters, lesions, folder)}
    if graphs.second_look is None:
        return found
    size = look_settings(fine_settings(recipe)).patch_px
    return {**found, SECOND_LOOK: _second_look(graphs.second_look, lesions, folder, size=size)}


def _clusters(graph: ClusterDetectorGraph, lesions: Sequence[_Placed], folder: Path) -> GraphSource:
    windows = [
        np.stack([patch_around(plane, place, size=_WINDOW_PX) for plane in sample.image]).astype(np.float32)
        for sample, place in lesions
    ]
    return heat_map_source(
        graph,
        folder / f"{CLUSTERS}.onnx",
        windows,
        heat="chance of a cluster's centre in each 16-pixel cell",
        marks="x0, y0, x1, y1 in pixels, score, 0",
    )


def _second_look(graph: SecondLook, lesions: Sequence[_Placed], folder: Path, *, size: int) -> GraphSource:
    patches = [
        patch_around(sample.image[0], place, size=size).astype(np.float32)[None, None] for sample, place in lesions
    ]
    export = export_onnx(
        graph,
        folder / f"{SECOND_LOOK}.onnx",
        examples=[{"patches": patch} for patch in patches],
        output_names=("malignancy_logit", "raw_cam"),
        tolerance=1e-4,
    )
    return GraphSource(
        path=export.path,
        golden=export.golden,
        tolerance=1e-2,
        tensors={
            "patches": {"channels": ["grey around a mark"], "value_range": [0.0, 1.0]},
            "malignancy_logit": {"description": "score of a mark before the sigmoid: mean of raw_cam, a constant"},
            "raw_cam": {"description": "decomposition of malignancy_logit in 16-pixel cells"},
        },
    )


def _places(samples: Iterable[FineSample]) -> list[_Placed]:
    """Return the first lesions, each on a view of its own."""
    found = [(sample, sample.lesions[0][:2]) for sample in samples if sample.lesions]
    return found[:: max(1, len(found) // _GOLDEN)][:_GOLDEN]


def sensitivities(kind: str, marks: KindMarks, condition: str) -> list[dict[str, Any]]:
    """Return the metrics of the marks of one kind; nothing where no lesion of the kind was drawn."""
    if not marks.hits.size:
        return []
    return [
        {
            "name": f"{kind} sensitivity at {rate:g} false marks per view",
            "condition": condition,
            "value": round(marks.sensitivity(false_marks_per_image=rate), 3),
            "cases": len(marks.hits),
        }
        for rate in RATES
    ]


def fine_metrics(result: FineEvaluation, condition: str) -> Sequence[dict[str, Any]]:
    """Return the metrics of the graphs at 0.1 mm."""
    found = sensitivities("cluster", result.clusters, condition)
    cases = len(result.truth)
    if not cases:
        return found
    areas = [("second look AUC", result.look_auc()), ("detector score AUC on the same marks", result.mark_auc())]
    return [
        *found,
        *({"name": name, "condition": condition, "value": round(area, 3), "cases": cases} for name, area in areas),
    ]
