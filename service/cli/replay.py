# SPDX-License-Identifier: Apache-2.0
"""`dokuei replay`: stored studies are analysed again."""

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

from service.bootstrap.desk import open_desk
from service.cli.console import console, print_json
from service.cli.signals import wake
from service.domain.entry import StudyRecord
from service.domain.errors import ConfigurationError
from service.settings import Settings, load_settings
from service.workflow.context import FlowParts
from service.workflow.replay import Replay

UNITS = {"m": "minutes", "h": "hours", "d": "days"}
AGO = re.compile(r"(\d+)([mhd])")


def replay(config: Path, study: str | None, *, since: str | None, pipeline: str | None, as_json: bool) -> int:
    """Ask for it; exit status 1 when a study was left out."""
    settings = load_settings(config)
    _check(settings, study, since, pipeline)
    with open_desk(settings) as parts:
        found = _studies(parts, study, since)
        again = Replay(parts, pipeline=pipeline or "")
        outcomes = Counter(again(record) for record in found)
    asked = outcomes.pop("", 0)
    wake(settings.storage)
    if as_json:
        print_json({"studies": len(found), "asked": asked, "left_out": dict(sorted(outcomes.items()))})
    else:
        console.print(f"{asked} of {len(found)} stud(ies) are analysed again within a minute of the node running")
        for reason, number in sorted(outcomes.items()):
            console.print(f"  {number} left out: {reason}", markup=False, style="yellow")
    return 1 if outcomes or not found else 0


def _check(settings: Settings, study: str | None, since: str | None, pipeline: str | None) -> None:
    if (study is None) == (since is None):
        raise ConfigurationError("name a study, or --since when studies arrived; one of the two")
    if pipeline is not None and pipeline not in settings.pipelines:
        known = ", ".join(sorted(settings.pipelines))
        raise ConfigurationError(f"pipeline '{pipeline}' is not configured; known: {known}")


def _studies(parts: FlowParts, study: str | None, since: str | None) -> tuple[StudyRecord, ...]:
    with parts.ledger.reading() as view:
        if since is not None:
            return view.studies.listed(since=moment(since).timestamp())
        found = view.studies.find(study or "")
        if found is not None:
            return (found,)
        return tuple(item for item in view.studies.listed() if parts.study_key(item.study_instance_uid) == study)


def moment(text: str, *, now: datetime | None = None) -> datetime:
    """Return the time that a person means: so long ago, or a date with or without a time, local unless it says."""
    ago = AGO.fullmatch(text)
    if ago:
        return (now or datetime.now(UTC)) - timedelta(**{UNITS[ago[2]]: int(ago[1])})
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise ConfigurationError(
            f"--since: {text!r} is no time; write 2026-05-01T08:00 (local), with an offset, or 90m, 6h, 2d"
        ) from None
