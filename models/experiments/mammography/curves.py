# SPDX-License-Identifier: Apache-2.0
"""FROC and ROC of read exams, with bands from drawing whole exams again: marks of one woman are not independent."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from models.experiments.mammography.reading import ReadExam

FALSE_MARKS = np.geomspace(0.01, 4, 60)
"""False marks per view at which the FROC is read."""
REPORTED = (0.125, 0.25, 0.5, 1.0)
_DRAWS = 1000
_BAND = (2.5, 97.5)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Banded:
    """A figure, or a curve of figures, with the 95 % band of the clustered bootstrap."""

    value: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def lesion_sensitivity(exams: Sequence[ReadExam], false_marks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of lesions found when so many false marks are allowed on each view, on average.

    The threshold is the score of the first false mark that would be one too many; a lesion must lie above it.
    """
    wrong = np.sort(np.concatenate([exam.false_marks for exam in exams]))[::-1]
    found = np.concatenate([exam.lesions for exam in exams])
    allowed = np.floor(false_marks * sum(exam.views for exam in exams)).astype(int)
    thresholds = np.append(wrong, 0.0)[np.minimum(allowed, len(wrong))]
    return np.array([float((found > threshold).mean()) if found.size else np.nan for threshold in thresholds])


def has_lesions(exams: Sequence[ReadExam]) -> bool:
    """Say whether there is anything to be found."""
    return any(exam.lesions.size for exam in exams)


def exam_auc(exams: Sequence[ReadExam]) -> NDArray[np.float64]:
    """Return the area under the ROC curve of the exam score, (1,); NaN where all exams are alike."""
    truth = [exam.is_abnormal for exam in exams]
    if len(set(truth)) < 2:
        return np.array([np.nan])
    return np.array([float(roc_auc_score(truth, [exam.score for exam in exams]))])


def exam_specificity(exams: Sequence[ReadExam], *, threshold: float) -> NDArray[np.float64]:
    """Return the share of exams without any lesion whose score stays below the threshold, (1,); NaN without any."""
    scores = np.array([exam.score for exam in exams if not exam.is_abnormal])
    return np.array([float((scores < threshold).mean()) if scores.size else np.nan])


def banded(
    exams: Sequence[ReadExam],
    measure: Callable[[Sequence[ReadExam]], NDArray[np.float64]],
    *,
    seed: int = 0,
    draws: int = _DRAWS,
) -> Banded:
    """Return a measure with its band: exams are drawn with replacement, each with all its views (Rutter 2000)."""
    rng = np.random.default_rng(seed)
    drawn = [measure([exams[index] for index in rng.integers(len(exams), size=len(exams))]) for _ in range(draws)]
    low, high = np.nanpercentile(np.array(drawn), _BAND, axis=0)
    return Banded(value=measure(exams), low=low, high=high)
