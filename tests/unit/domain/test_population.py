# SPDX-License-Identifier: Apache-2.0
"""Tenths of the site's own scores: equal, only of enough exams, and never a probability."""

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.population import LEAST_EXAMS, population, with_decile
from service.domain.result import Outcome, PipelineResult, Triage
from service.results.words.japanese_exam import EXAM_FORMS

SCORES = tuple(np.random.default_rng(1).permutation(np.linspace(0, 1, 400)).tolist())
AMONG = population(SCORES)
RESULT = PipelineResult(
    pipeline="mammography",
    study_instance_uid="2.25.1",
    outcome=Outcome.FINDINGS,
    headline="h",
    package=None,
    input_sop_instance_uids=(),
    analysed_at=datetime(2026, 4, 1, tzinfo=UTC),
    triage=Triage(score=0.85, operating_point="triage", threshold=0.5, above_operating_point=True),
    summary=("first",),
    values={"exam": 0.85},
)


def test_too_few_exams_are_no_population() -> None:
    assert population(SCORES[: LEAST_EXAMS - 1]) is None
    among = population(SCORES[:LEAST_EXAMS])
    assert among is not None
    assert among.exams == LEAST_EXAMS


def test_each_tenth_holds_a_tenth() -> None:
    assert AMONG is not None
    assert Counter(AMONG.decile(score) for score in SCORES) == dict.fromkeys(range(1, 11), 40)
    assert (AMONG.decile(-1.0), AMONG.decile(2.0)) == (1, 10)


def test_equal_scores_lie_in_the_lower_tenth() -> None:
    among = population([0.1] * 300 + [0.9] * 100)
    assert among is not None
    assert (among.decile(0.1), among.decile(0.5), among.decile(0.9)) == (1, 8, 8)
    assert among.decile(0.91) == 10


@given(st.lists(st.floats(0, 1), min_size=LEAST_EXAMS, max_size=300))
def test_a_decile_never_claims_more_than_there_are_below(scores: list[float]) -> None:
    among = population(scores)
    assert among is not None
    for score in scores[:20]:
        assert sum(other < score for other in scores) >= len(scores) * (among.decile(score) - 1) / 10


def test_the_report_and_the_record_say_the_tenth() -> None:
    found = with_decile(RESULT, AMONG)
    assert found.summary == ("first", "Exam score in decile 9 of 400 exams at this site: a rank, no probability")
    assert found.values == {"exam": 0.85, "decile": 9, "decile_exams": 400}
    assert found.triage == RESULT.triage


@pytest.mark.parametrize(
    "result",
    [
        replace(RESULT, pipeline="pneumoconiosis"),
        replace(RESULT, outcome=Outcome.PARTLY_ANALYSED),
        replace(RESULT, outcome=Outcome.NOT_ANALYSED),
        replace(RESULT, triage=None),
    ],
    ids=["other pipeline", "part of an exam", "not analysed", "no score"],
)
def test_nothing_is_said_where_the_score_is_not_of_a_whole_exam(result: PipelineResult) -> None:
    assert with_decile(result, AMONG) is result
    assert with_decile(RESULT, None) is RESULT


def test_the_sentence_is_there_in_japanese() -> None:
    line = with_decile(RESULT, AMONG).summary[-1]
    (said,) = [say(match) for form, say in EXAM_FORMS if (match := re.fullmatch(form, line))]
    assert "400検査中、下から第9十分位" in said
    assert "確率ではありません" in said
