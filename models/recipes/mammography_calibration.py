# SPDX-License-Identifier: Apache-2.0
"""Adds to a trained detector what it can say of its own doubts: calibrated scores and distances from training."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from models.calibration.conformal import Coverage, calibrate_sets, coverage
from models.calibration.distance import fit_gaussian, limits
from models.calibration.graph import WithDistances, depth_features
from models.calibration.rejection import Rejection, rejections
from models.calibration.scores import calibrate_scores
from models.networks.mass_detector import MassDetectorGraph
from models.recipes.mammography_data import Sample
from models.recipes.mammography_evaluation import Evaluation, KindMarks, Scores
from service.domain.reliability import ConformalSet, Limit, ScoreCalibration, SetMethod

OUTPUTS = ("heat", "offset", "size", "marks", "image_logit", "raw_cam", "feature")
GRAPH = "detector"
_MOST_FITTED = 240


def with_distances(graph: MassDetectorGraph, fitted: Sequence[Sample]) -> WithDistances:
    """Return the graph with distances from some of the views that it was fitted to."""
    some = fitted[:: -(-len(fitted) // _MOST_FITTED)]
    classes = np.array([sample.is_marked for sample in some], dtype=np.int64)
    features = depth_features(graph, _images(some))
    return WithDistances(graph, {depth: fit_gaussian(found, classes) for depth, found in features.items()})


def _images(samples: Sequence[Sample]) -> Iterator[Tensor]:
    return (torch.from_numpy(sample.image.astype(np.float32))[None] for sample in samples)


def output_names(graph: nn.Module) -> tuple[str, ...]:
    """Return the names of the graph's outputs, with or without distances."""
    return graph.output_names(OUTPUTS) if isinstance(graph, WithDistances) else OUTPUTS


def view_limits(usual: Evaluation) -> tuple[Limit, ...]:
    """Return limits from views of usual scanners that the fit has not seen; none where the graph has no distances."""
    return limits(GRAPH, usual.distances)


def mark_calibration(kinds: Iterable[KindMarks], *, target: str) -> ScoreCalibration:
    """Return the curve for the score of a mark: does it hit a lesion of its kind?"""
    kinds = tuple(kinds)
    shown = np.concatenate([kind.hits[kind.hits > 0] for kind in kinds])
    marks = np.concatenate([shown, *(kind.false_marks for kind in kinds)])
    return calibrate_scores(marks, np.arange(len(marks)) < len(shown), target=target)


def exam_calibration(tuning: Evaluation) -> ScoreCalibration:
    """Return the curve for the score of an exam: is there a lesion in it?"""
    return calibrate_scores(*tuning.exam_scores(), target="exam")


def exam_sets(tuning: Evaluation, *, level: float) -> tuple[ConformalSet, ...]:
    """Return the set of an exam's two answers, calibrated on tuning exams; half of them are on shifted scanners."""
    scores, truth = tuning.exam_scores()
    return (calibrate_sets(_answers(scores), truth.astype(np.int64), target="exam", method=SetMethod.LAC, level=level),)


def exam_coverage(sets: ConformalSet, result: Evaluation) -> Coverage:
    """Measure the set of an exam on other exams."""
    scores, truth = result.exam_scores()
    return coverage(sets, _answers(scores), truth.astype(np.int64))


def _answers(scores: Scores) -> Scores:
    """Return the probabilities (N, 2) of no lesion and a lesion."""
    return np.stack([1 - scores, scores], axis=1)


def noisy(samples: Sequence[Sample]) -> list[Sample]:
    """Return the views with uniform noise inside the breast instead of an image."""
    rng = np.random.default_rng(1)
    return [replace(sample, image=_noise(sample, rng)) for sample in samples]


def _noise(sample: Sample, rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.float16]]:
    grey = rng.random(sample.image.shape[1:], dtype=np.float32) * sample.image[1]
    return np.stack([grey, sample.image[1]]).astype(np.float16)


def refused(usual: Evaluation, shifted: Evaluation, noise: Evaluation, found: Sequence[Limit]) -> tuple[Rejection, ...]:
    """Compare usual views with shifted ones and with noise; empty without limits."""
    strange = {"scanner shift": shifted.distances, "uniform noise in the breast": noise.distances}
    return rejections(usual.distances, strange, found) if found else ()
