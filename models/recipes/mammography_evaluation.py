# SPDX-License-Identifier: Apache-2.0
"""Measures the detector on held-out phantoms: FROC of its marks, areas under curves, and operating points."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu
from torch import nn

from models.recipes.mammography_data import MARKED, Place, Sample
from service.pipelines.mammography.scores import breast_scores, sigmoid

Scores = NDArray[np.float64]
_OWN = 7
"""Outputs of the detector's own."""
_BOTH = (*MARKED, "distortion")


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class KindMarks:
    """Marks of one kind on a set of views: hits (best mark of each lesion, 0 when missed), and false marks."""

    hits: Scores
    false_marks: Scores
    views: int

    def sensitivity(self, *, false_marks_per_image: float) -> float:
        """Return the share of lesions found when that many false marks are allowed on each view; NaN without any."""
        threshold = self.threshold(false_marks_per_image=false_marks_per_image)
        return self.found(threshold)

    def found(self, threshold: float) -> float:
        """Return the share of lesions that a mark at or above the threshold hits; NaN without any."""
        return float(((self.hits >= threshold) & (self.hits > 0)).mean()) if self.hits.size else float("nan")

    def threshold(self, *, false_marks_per_image: float) -> float:
        """Return the lowest mark score that stays within the allowance."""
        ranked, allowed = np.sort(self.false_marks)[::-1], int(false_marks_per_image * self.views)
        return float(ranked[allowed]) + 1e-6 if allowed < len(ranked) else 0.0


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Evaluation:
    """Marks of the detector by kind, and views by truth: whether they bear anything that is looked for.

    `distances` holds those outputs of the graph, by name, that come after the detector's own.
    """

    marks: Mapping[str, KindMarks]
    views: int
    image_scores: Scores
    image_labels: NDArray[np.bool_]
    breasts: tuple[str, ...]
    cam_peaks: Scores
    distances: Mapping[str, Scores] = field(default_factory=dict)

    def image_auc(self) -> float:
        """Return the area under the ROC curve of the view score."""
        return area_under_curve(self.image_scores, self.image_labels)

    def breast_scores(self) -> tuple[Scores, NDArray[np.bool_]]:
        """Return score and truth of each breast, the score as the pipeline forms it."""
        rows = [
            (breast, str(index), score)
            for index, (breast, score) in enumerate(zip(self.breasts, self.image_scores, strict=True))
        ]
        scores = breast_scores(rows)
        truth = dict(zip(self.breasts, self.image_labels, strict=True))
        return np.array([scores[name] for name in scores]), np.array([truth[name] for name in scores])

    def exam_scores(self) -> tuple[Scores, NDArray[np.bool_]]:
        """Return score and truth of each exam: the higher of its breasts, as the pipeline forms it."""
        scores, truth = self.breast_scores()
        exams = np.array([breast.rsplit("-", 1)[0] for breast in dict.fromkeys(self.breasts)])
        names = dict.fromkeys(exams.tolist())
        return (
            np.array([scores[exams == name].max() for name in names]),
            np.array([truth[exams == name].any() for name in names]),
        )

    def breast_auc(self) -> float:
        """Return the area under the ROC curve of the breast score."""
        return area_under_curve(*self.breast_scores())


def evaluate(
    graph: nn.Module, samples: Sequence[Sample], *, names: Sequence[str], distortions: nn.Module | None = None
) -> Evaluation:
    """Run the detector on views and match its marks with the lesions of their kind.

    `names` are those of the graph's outputs, the detector's own first. With a graph of `distortions` the score of a
    view is the higher of both, and a view with a distortion is abnormal.
    """
    marks, logits, peaks, distances = [], [], [], []
    for sample in samples:
        outputs = run(graph, sample)
        marks.append(outputs[3][0])
        strands = 0.0 if distortions is None else float(run(distortions, sample)[3][0, :, 4].max(initial=0.0))
        logits.append(max(sigmoid(float(outputs[4][0])), strands))
        peaks.append(float(outputs[5].max()))
        distances.append([float(output[0]) for output in outputs[_OWN:]])
    return Evaluation(
        marks={
            kind: kind_marks([rows[rows[:, 5] == channel] for rows in marks], [each.of_kind(kind) for each in samples])
            for channel, kind in enumerate(MARKED)
        },
        views=len(samples),
        image_scores=np.array(logits),
        image_labels=np.array([sample.bears(MARKED if distortions is None else _BOTH) for sample in samples]),
        breasts=tuple(sample.breast for sample in samples),
        cam_peaks=np.array(peaks),
        distances=dict(zip(names[_OWN:], np.array(distances).T, strict=True)),
    )


def kind_marks(marks: Sequence[NDArray[np.float32]], lesions: Sequence[Sequence[Place]]) -> KindMarks:
    """Match the marks of one kind with its lesions, view by view; rows of marks are as in `match_marks`."""
    hits: list[float] = []
    misses: list[float] = []
    for rows, places in zip(marks, lesions, strict=True):
        found, other = match_marks(rows, places)
        hits += found
        misses += other
    return KindMarks(hits=np.array(hits), false_marks=np.array(misses), views=len(marks))


@torch.no_grad()
def run(graph: nn.Module, sample: Sample) -> list[NDArray[np.float32]]:
    """Return the outputs of a graph at 0.4 mm for one view."""
    outputs = graph(torch.from_numpy(sample.image.astype(np.float32))[None])
    return [np.asarray(output.numpy(), dtype=np.float32) for output in outputs]


def match_marks(marks: NDArray[np.float32], lesions: Iterable[Place]) -> tuple[list[float], list[float]]:
    """Return (best score for each lesion, scores of marks that hit none).

    `marks` are rows of x0, y0, x1, y1, score, class; a mark hits when its centre lies within the radius of a lesion.
    """
    centres, scores = (marks[:, :2] + marks[:, 2:4]) / 2, marks[:, 4]
    free = np.ones(len(marks), dtype=np.bool_)
    best = []
    for x, y, radius in lesions:
        near = np.hypot(centres[:, 0] - x, centres[:, 1] - y) <= radius
        best.append(float(scores[near].max(initial=0.0)))
        free &= ~near
    return best, [float(score) for score in scores[free] if score > 0]


def area_under_curve(scores: Scores, labels: NDArray[np.bool_]) -> float:
    """Return the chance that a positive scores above a negative: Mann and Whitney's U, scaled."""
    positive, negative = scores[labels], scores[~labels]
    return float(mannwhitneyu(positive, negative).statistic) / (len(positive) * len(negative))


def highest_specific(scores: Scores, labels: NDArray[np.bool_], *, specificity: float) -> float:
    """Return the lowest threshold at which that share of the negatives stays below it."""
    return float(np.quantile(scores[~labels], specificity)) + 1e-6
