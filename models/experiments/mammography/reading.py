# SPDX-License-Identifier: Apache-2.0
"""Runs a package on phantom exams with the node's own code, and says what each mark hit."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.recipes.mammography_fine import DrawnView, breast_of
from service.pipelines.mammography.canvas import place
from service.pipelines.mammography.kinds import KindName, added_kinds, declared_kinds
from service.pipelines.mammography.marks import DetectedMark
from service.pipelines.mammography.reading import marks_of
from service.pipelines.mammography.scores import breast_scores, exam_score, sigmoid
from service.ports import Package

GRAPH = "detector"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ReadExam:
    """What the package said of one exam about lesions of one kind.

    `lesions` hold, for each lesion, the best score of a mark that hit it on any view (0 where none did): a lesion is
    found when one view shows it. `false_marks` are scores of marks that hit nothing of their kind, of all `views`.
    `score` and `is_abnormal` are of the whole exam, whatever the kind.
    """

    lesions: NDArray[np.float64]
    false_marks: NDArray[np.float64]
    views: int
    score: float
    is_abnormal: bool


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class ReadView:
    """A drawn view with the marks of the package and the view's score."""

    drawn: DrawnView
    marks: tuple[DetectedMark, ...]
    score: float


def read_view(drawn: DrawnView, package: Package) -> ReadView:
    """Read one view as the node reads it, from the shown picture on."""
    breast = breast_of(drawn)
    shape, percentiles = tuple(package.parameters["canvas"]), tuple(package.parameters["percentiles"])
    canvas = place(breast.grey, breast.mask, shape=shape, percentiles=percentiles)
    outputs = package.run(GRAPH, {"image": canvas.tensor[None]})
    marks = marks_of(outputs["marks"][0], drawn.radiograph, breast, canvas, package)
    added = (mark.score for mark in marks if mark.kind in added_kinds(package.parameters))
    return ReadView(drawn=drawn, marks=marks, score=max((sigmoid(float(outputs["image_logit"][0])), *added)))


def read_exams(views: Iterable[DrawnView], package: Package) -> Iterator[list[ReadView]]:
    """Yield the read views of each exam; the views of an exam come one after the other."""
    exam: list[ReadView] = []
    for drawn in views:
        if exam and _exam_of(exam[0].drawn) != _exam_of(drawn):
            yield exam
            exam = []
        exam.append(_without_pixels(read_view(drawn, package)))
    if exam:
        yield exam


def _without_pixels(view: ReadView) -> ReadView:
    """Drop what takes memory and is not asked for any more."""
    radiograph = replace(view.drawn.radiograph, pixels=np.zeros((1, 1), np.float32), padding=np.zeros((1, 1), np.bool_))
    return replace(view, drawn=replace(view.drawn, radiograph=radiograph))


def _exam_of(drawn: DrawnView) -> str:
    return drawn.breast.rsplit("-", 1)[0]


def by_kind(exams: Sequence[Sequence[ReadView]], package: Package) -> dict[str, list[ReadExam]]:
    """Return what was read by kind of lesion.

    A kind followed by ", second look" has the second look's scores for its marks, and 0 where it did not look.
    """
    kinds = declared_kinds(package)
    found = {str(kind): [exam_of_kind(views, kind) for views in exams] for kind in kinds}
    if any(mark.malignancy is not None for views in exams for view in views for mark in view.marks):
        looked = [[replace(view, marks=_looked(view.marks)) for view in views] for views in exams]
        found |= {f"{kind}, second look": [exam_of_kind(views, kind) for views in looked] for kind in kinds}
    return found


def _looked(marks: Sequence[DetectedMark]) -> tuple[DetectedMark, ...]:
    return tuple(replace(mark, score=mark.malignancy or 0.0) for mark in marks)


def exam_of_kind(views: Sequence[ReadView], kind: KindName) -> ReadExam:
    """Match the marks of one kind with the lesions of that kind: a mark hits when its centre lies in the radius."""
    lesions: dict[tuple[str, int], float] = {}
    false_marks: list[float] = []
    for view in views:
        best, other = _matched(view, kind)
        for index, score in best.items():
            key = (view.drawn.breast, index)
            lesions[key] = max(score, lesions.get(key, 0.0))
        false_marks += other
    scores = [(view.drawn.breast, str(number), view.score) for number, view in enumerate(views)]
    return ReadExam(
        lesions=np.array(list(lesions.values())),
        false_marks=np.array(false_marks),
        views=len(views),
        score=exam_score(breast_scores(scores)),
        is_abnormal=any(view.drawn.lesions for view in views),
    )


def _matched(view: ReadView, kind: KindName) -> tuple[Mapping[int, float], list[float]]:
    """Return the best score of each lesion of a kind, by its place in the breast's list, and scores that hit none."""
    best: dict[int, float] = defaultdict(float)
    for index, kinds in enumerate(view.drawn.kinds):
        if kind in kinds:
            best[index] = 0.0
    other = []
    for mark in view.marks:
        if mark.kind != kind or mark.score <= 0:
            continue
        x, y = (mark.box[0] + mark.box[2]) / 2, (mark.box[1] + mark.box[3]) / 2
        hits = [
            i
            for i in best
            if np.hypot(x - view.drawn.lesions[i][0], y - view.drawn.lesions[i][1]) <= view.drawn.lesions[i][2]
        ]
        for index in hits:
            best[index] = max(best[index], mark.score)
        if not hits:
            other.append(mark.score)
    return best, other
