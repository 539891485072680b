# SPDX-License-Identifier: Apache-2.0
"""Times are those of the site's clock on the wall, durations are as exact as anybody wants."""

import time
from collections.abc import Iterator

import pytest

from harness.status_page import NOW
from service.settings.results import Language
from service.web.moments import duration, moment, zone
from service.web.words import say_in


@pytest.fixture(params=["Asia/Tokyo", "America/St_Johns"])
def zone_name(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def test_times_are_of_the_sites_zone(zone_name: str) -> None:
    found = moment(NOW)
    assert found is not None
    expected = {
        "Asia/Tokyo": ("2026-11-29 21:00:00", "2026-11-29T21:00:00+09:00", "JST (UTC+09:00)"),
        "America/St_Johns": ("2026-11-29 08:30:00", "2026-11-29T08:30:00-03:30", "NST (UTC-03:30)"),
    }
    assert (found.text, found.iso, zone(NOW)) == expected[zone_name]


@pytest.mark.parametrize("at", [None, 0.0])
def test_no_time_is_no_text(at: float | None) -> None:
    assert moment(at) is None


@pytest.mark.parametrize(
    ("seconds", "english", "japanese"),
    [
        (-5, "0 s", "0 秒"),
        (119.4, "119 s", "119 秒"),
        (120, "2 min", "2 分"),
        (7199, "119 min", "119 分"),
        (7260, "2 h 1 min", "2 時間 1 分"),
        (86_400, "24 h", "24 時間"),
        (604_800, "7 days", "7 日"),
    ],
)
def test_durations(seconds: float, english: str, japanese: str) -> None:
    assert duration(seconds, say_in(Language.ENGLISH)) == english
    assert duration(seconds, say_in(Language.JAPANESE)) == japanese
