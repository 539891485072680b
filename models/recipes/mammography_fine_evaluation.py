# SPDX-License-Identifier: Apache-2.0
"""Measures the graphs at 0.1 mm on held-out phantoms: marks of clusters, and what a second look tells apart."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.networks.cluster_detector import ClusterDetectorGraph
from models.networks.second_look import SecondLook
from models.recipes.mammography_data import Place
from models.recipes.mammography_evaluation import (
    Evaluation,
    KindMarks,
    Scores,
    area_under_curve,
    evaluate,
    kind_marks,
)
from models.recipes.mammography_fine import FineSample
from models.recipes.mammography_fine_training import (
    MarkedPatches,
    cluster_marks,
    look_settings,
    marked_patches,
)
from models.recipes.mammography_recipe import FineFit


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class FineGraphs:
    """The graphs at 0.1 mm."""

    clusters: ClusterDetectorGraph
    second_look: SecondLook | None = None


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class FineEvaluation:
    """Marks of clusters, and the highest marks of both detectors: scores of detector and second look, and the truth.

    `views` is what both detectors say of views, breasts and exams: a view's score is the higher of the two, and it is
    abnormal with a lesion of either's kinds. Without a second look there are no highest marks.
    """

    clusters: KindMarks
    views: Evaluation
    mark_scores: Scores
    look_scores: Scores
    truth: NDArray[np.bool_]

    def look_auc(self) -> float:
        """Return the area under the ROC curve of the second look: lesions against everything else that is marked."""
        return area_under_curve(self.look_scores, self.truth)

    def mark_auc(self) -> float:
        """Return that of the detectors' own scores on the same marks."""
        return area_under_curve(self.mark_scores, self.truth)


def evaluate_fine(
    detector: nn.Module,
    graphs: FineGraphs,
    samples: Iterable[FineSample],
    settings: FineFit,
    *,
    names: Sequence[str],
    distortions: nn.Module | None = None,
) -> FineEvaluation:
    """Run the graphs on views, which are looked at once, one after the other.

    `names` are those of the outputs of `detector`, the one at 0.4 mm; `distortions` is the graph beside it.
    """
    marks, lesions, looked, canvases = [], [], [], []
    for sample in samples:
        marks.append(cluster_marks(graphs.clusters, sample))
        lesions.append(sample.of_kind("cluster"))
        canvases.append(sample.sample)
        if graphs.second_look is not None:
            looked.append(marked_patches(detector, graphs.clusters, [sample], look_settings(settings)))
    return FineEvaluation(
        clusters=kind_marks(marks, lesions),
        views=_with_clusters(evaluate(detector, canvases, names=names, distortions=distortions), marks, lesions),
        mark_scores=np.concatenate([np.zeros(0), *(each.scores for each in looked)]),
        look_scores=np.concatenate([np.zeros(0), *(_looked(graphs.second_look, each) for each in looked)]),
        truth=np.concatenate([np.zeros(0, np.bool_), *(each.truth for each in looked)]),
    )


def _with_clusters(
    detector: Evaluation, marks: Sequence[NDArray[np.float32]], lesions: Sequence[Sequence[Place]]
) -> Evaluation:
    highest = np.array([rows[:, 4].max(initial=0.0) for rows in marks])
    return replace(
        detector,
        image_scores=np.maximum(detector.image_scores, highest),
        image_labels=detector.image_labels | np.array([bool(places) for places in lesions]),
    )


@torch.no_grad()
def _looked(network: SecondLook | None, marked: MarkedPatches) -> Scores:
    if network is None or not len(marked.truth):
        return np.zeros(0)
    logit, _ = network.eval()(torch.from_numpy(marked.patches.astype(np.float32)))
    return np.asarray(logit.sigmoid().double().numpy())
