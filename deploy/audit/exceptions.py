# SPDX-License-Identifier: Apache-2.0
"""Advisories that are let pass for a while: exceptions.yaml, and what is wrong with it on a given day."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from deploy.audit.advisories import affecting
from deploy.lock import Locked

LONGEST = timedelta(days=366)
"""No exception holds for longer: somebody has to look again."""


class AdvisoryException(BaseModel):
    """One advisory that the gate does not fail on until the end of a day."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    advisory: str
    package: str
    decided: date
    expires: date
    reason: str = Field(min_length=40)
    """Why the node is not at risk, or what is done instead."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    exceptions: tuple[AdvisoryException, ...]


def read_exceptions(path: Path) -> tuple[AdvisoryException, ...]:
    """Read exceptions.yaml; raises pydantic's ValidationError, which names what is missing or unknown."""
    return _Document.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))).exceptions


def problems(
    exceptions: Sequence[AdvisoryException],
    *,
    advisories: Sequence[dict[str, Any]],
    locked: Sequence[Locked],
    today: date,
) -> Iterator[str]:
    """Yield what is wrong: expired, longer than a year, or needed by nothing that is locked."""
    for entry in exceptions:
        if today > entry.expires:
            yield f"{entry.advisory}: the exception expired on {entry.expires}; decide anew, or update {entry.package}"
        if entry.expires - entry.decided > LONGEST:
            yield f"{entry.advisory}: an exception holds for a year at most; {entry.expires} is later"
        if not any(_needs(entry, one, advisories) for one in locked):
            yield f"{entry.advisory}: no locked version of {entry.package} needs this exception; remove it"


def _needs(entry: AdvisoryException, one: Locked, advisories: Sequence[dict[str, Any]]) -> bool:
    found = affecting(advisories, one.name, one.version)
    return one.name == entry.package and entry.advisory in {advisory["id"] for advisory in found}
