# SPDX-License-Identifier: Apache-2.0
"""A report says what the other kind of chest image of the patient came to, in both languages."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from service.domain.companion import Companion, with_companion
from service.domain.result import Outcome, PipelineResult
from service.results.words.japanese import line as in_japanese

CT = Companion(
    pipeline="diffuse_lung", study_instance_uid="2.25.8", study_date="20250302", headline="No small opacities of note"
)
RESULT = PipelineResult(
    pipeline="pneumoconiosis",
    study_instance_uid="2.25.9",
    outcome=Outcome.FINDINGS,
    headline="Small opacities, profusion 1/1",
    package=None,
    input_sop_instance_uids=("2.25.10",),
    analysed_at=datetime(2026, 4, 1, tzinfo=UTC),
    summary=("One line",),
)


def test_the_reference_follows_the_summary():
    found = with_companion(RESULT, CT)
    assert found.summary == (
        "One line",
        "The patient's chest CT of 2025-03-02 was analysed too:",
        "No small opacities of note",
    )
    assert found.values["companion_study_instance_uid"] == "2.25.8"


@pytest.mark.parametrize("pipeline", ["diffuse_lung", "pneumoconiosis"])
def test_the_reference_is_said_in_japanese(pipeline):
    said = in_japanese(replace(CT, pipeline=pipeline).lines[0])
    assert "2025-03-02" in said
    assert "analysed" not in said


def test_a_study_that_was_not_analysed_refers_to_nothing():
    refused = replace(RESULT, outcome=Outcome.NOT_ANALYSED)
    assert with_companion(refused, CT) is refused
    assert with_companion(RESULT, None) is RESULT
