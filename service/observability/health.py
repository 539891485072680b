# SPDX-License-Identifier: Apache-2.0
"""Whether the node lives, and whether it takes work: named checks, each a sentence when something is wrong.

A destination that is down is no reason to be unready: the node must go on taking studies in while the PACS rests.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.domain.errors import DokueiError
from service.observability.gauges import free_space_bytes

Check = Callable[[], str]
"""Returns "" when all is well, else a sentence that says what is wrong; may raise DokueiError or OSError instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of all checks by name; "" is well."""

    checks: Mapping[str, str]

    @property
    def well(self) -> bool:
        """Whether every check passed."""
        return not any(self.checks.values())

    def document(self) -> dict[str, object]:
        """Return the report as JSON types."""
        checks = {name: problem or "ok" for name, problem in self.checks.items()}
        return {"status": "ok" if self.well else "failed", "checks": checks}


class Health:
    """A set of checks that is asked for a report."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = dict(checks)

    def report(self) -> Report:
        """Run all checks."""
        return Report(checks={name: _outcome(check) for name, check in self._checks.items()})


def disk_check(folder: Path, *, reserve_bytes: int) -> Check:
    """Return a check that the folder's file system has more free space than the reserve."""

    def check() -> str:
        free = free_space_bytes(folder)
        if free >= reserve_bytes:
            return ""
        return f"storage.folder has {free} bytes free, below storage.reserve_bytes ({reserve_bytes}); make room"

    return check


def _outcome(check: Check) -> str:
    try:
        return check()
    except (DokueiError, OSError) as error:
        return f"{type(error).__name__}: {error}"
