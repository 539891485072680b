# SPDX-License-Identifier: Apache-2.0
"""Runs a package's detector on phantom exams, and says what each mark hit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.recipes.mammography_data import Sample
from models.recipes.mammography_evaluation import match_marks
from service.pipelines.mammography.scores import breast_scores, exam_score, sigmoid
from service.ports import Package

GRAPH = "detector"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ReadExam:
    """What the detector said of one exam.

    `lesions` hold, for each mass, the best score of a mark that hit it on any view (0 where none did): a lesion is
    found when one view shows it. `false_marks` are scores of marks that hit nothing, of all `views` views.
    """

    lesions: NDArray[np.float64]
    false_marks: NDArray[np.float64]
    views: int
    score: float
    is_abnormal: bool


def read_exams(
    samples: Sequence[Sample], package: Package, *, step: Callable[[], object] = lambda: None
) -> list[ReadExam]:
    """Read exams; the views of a breast list its masses in one order. `step` is called after each exam."""
    by_exam: dict[str, list[Sample]] = {}
    for sample in samples:
        by_exam.setdefault(sample.exam, []).append(sample)
    exams = []
    for views in by_exam.values():
        exams.append(_read(views, package))
        step()
    return exams


def _read(views: Sequence[Sample], package: Package) -> ReadExam:
    lesions: dict[tuple[str, int], float] = {}
    false_marks: list[float] = []
    scores = []
    for number, view in enumerate(views):
        outputs = package.run(GRAPH, {"image": view.image.astype(np.float32)[None]})
        best, other = match_marks(outputs["marks"][0], view.masses)
        for index, score in enumerate(best):
            key = (view.breast, index)
            lesions[key] = max(score, lesions.get(key, 0.0))
        false_marks += other
        scores.append((view.breast, str(number), sigmoid(float(outputs["image_logit"][0]))))
    return ReadExam(
        lesions=np.array(list(lesions.values())),
        false_marks=np.array(false_marks),
        views=len(views),
        score=exam_score(breast_scores(scores)),
        is_abnormal=bool(lesions),
    )
