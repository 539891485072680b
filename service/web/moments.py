# SPDX-License-Identifier: Apache-2.0
"""Times in the zone of the site, which is that of the machine (TZ), and durations in words."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

Say = Callable[..., str]
"""Says an English sentence in the viewer's language; `{names}` in it are filled in."""
MINUTE_SECONDS, HOUR_SECONDS, DAY_SECONDS = 60, 3600, 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A time for people, and for programs as ISO 8601."""

    text: str
    iso: str


def moment(at: float | None) -> Moment | None:
    """Return a time in seconds since the epoch; None for none, and for one that no clock has shown."""
    if not at:
        return None
    local = _local(at)
    return Moment(text=f"{local:%Y-%m-%d %H:%M:%S}", iso=local.isoformat(timespec="seconds"))


def zone(at: float) -> str:
    """Return the name of the site's time zone, and how far it is from UTC: "JST (UTC+09:00)"."""
    local = _local(at)
    offset = f"{local:%z}"
    return f"{local.tzname()} (UTC{offset[:3]}:{offset[3:5]})"


def duration(seconds: float, say: Say) -> str:
    """Return a duration in words, as exactly as anybody wants to know."""
    whole = max(0, round(seconds))
    if whole < 2 * MINUTE_SECONDS:
        return say("{seconds} s", seconds=whole)
    if whole < 2 * HOUR_SECONDS:
        return say("{minutes} min", minutes=whole // MINUTE_SECONDS)
    if whole < 2 * DAY_SECONDS:
        hours, rest = divmod(whole, HOUR_SECONDS)
        if rest < MINUTE_SECONDS:
            return say("{hours} h", hours=hours)
        return say("{hours} h {minutes} min", hours=hours, minutes=rest // MINUTE_SECONDS)
    return say("{days} days", days=whole // DAY_SECONDS)


def _local(at: float) -> datetime:
    return datetime.fromtimestamp(at, tz=UTC).astimezone()
