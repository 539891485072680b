# SPDX-License-Identifier: Apache-2.0
"""Section `drift`: what may be said, what is refused, and where a wrong channel is named."""

from typing import Any

import pytest
from pydantic import ValidationError

from service.bootstrap.drift import drift_problems
from service.bootstrap.packages import start_problems
from service.settings import DriftSettings, Settings


def test_the_watch_is_on_without_a_word() -> None:
    settings = Settings()
    assert settings.drift.enabled
    assert not settings.drift.suspend_priority
    assert all(entry.drift for entry in settings.pipelines.values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha": 0.05},
        {"enabled": "perhaps"},
        {"false_alarm_studies": 10},
        {"least_studies": 1},
        {"window": 10},
        {"baseline_studies": 99},
        {"keep_studies": 0},
        {"ignore": "kvp"},
    ],
)
def test_what_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Settings.model_validate({"drift": wrong})


def test_a_channel_that_does_not_exist_is_named_with_the_known() -> None:
    settings = Settings(drift=DriftSettings(ignore=("kvp", "zones_distance_deep", "kpv")))
    (problem,) = drift_problems(settings.drift)
    assert problem.startswith("drift.ignore: channel kpv is unknown; known are bits_stored")
    assert problem in start_problems(settings)
    assert drift_problems(DriftSettings()) == []
