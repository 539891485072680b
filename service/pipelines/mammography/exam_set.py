# SPDX-License-Identifier: Apache-2.0
"""The conformal set of an exam: whether "no lesion" and "lesion" can be excluded, by the exam score."""

from dataclasses import dataclass

import numpy as np

from service.domain.result import Reason
from service.pipelines.certainty import indeterminate
from service.pipelines.conformal import prediction_sets
from service.ports import Package

TARGET = "exam"
ANSWERS = ("no lesion", "lesion")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamSet:
    """The answers that cannot be excluded, and the share of such sets that hold the true one."""

    answers: tuple[str, ...]
    level: float

    @property
    def lines(self) -> tuple[str, ...]:
        """The set for people."""
        return (f"Exam, {100 * self.level:g} % set: {' or '.join(self.answers) or 'neither answer'}",)

    @property
    def flags(self) -> tuple[Reason, ...]:
        """A flag where the set does not hold one answer alone."""
        if len(self.answers) == 1:
            return ()
        told = "holds both answers" if self.answers else "holds no answer"
        return (indeterminate(f"the {100 * self.level:g} % set of the exam {told}; the score is no ground for triage"),)


def exam_set(package: Package, score: float) -> ExamSet | None:
    """Return the set of an exam score in [0, 1]; None where the package declares none."""
    declared = package.reliability.sets_of(TARGET)
    if declared is None:
        return None
    (members,) = prediction_sets(np.array([[1 - score, score]]), method=declared.method, quantile=declared.quantile)
    answers = tuple(answer for answer, is_member in zip(ANSWERS, members, strict=True) if is_member)
    return ExamSet(answers=answers, level=declared.level)
