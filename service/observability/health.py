# SPDX-License-Identifier: Apache-2.0
"""Whether the node lives, and whether it takes work: named checks, each a sentence when something is wrong.

A destination that is down is no reason to be unready: the node must go on taking studies in while the PACS rests.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from service.domain.errors import DokueiError

WELL = "ok"


@dataclass(frozen=True, slots=True)
class Check:
    """A named function that returns "" when all is well, else a sentence that says what is wrong and what to do."""

    name: str
    function: Callable[[], str]

    def outcome(self) -> str:
        """Return "" or what is wrong; a check that raises has not found the node well."""
        try:
            return self.function()
        except DokueiError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - outermost: a check that cannot be made is an answer, not a crash
            return f"the check failed with {type(error).__name__}"


class Health:
    """Two lists of checks: `live` fails when only a restart helps, `ready` while the node takes no studies in."""

    def __init__(self) -> None:
        self._live: list[Check] = []
        self._ready: list[Check] = []
        self._notes: list[Check] = []

    def add_live(self, name: str, function: Callable[[], str]) -> None:
        """Let /livez depend on the function."""
        self._live.append(Check(name, function))

    def add_ready(self, name: str, function: Callable[[], str]) -> None:
        """Let /readyz depend on the function."""
        self._ready.append(Check(name, function))

    def add_note(self, name: str, function: Callable[[], str]) -> None:
        """Let /readyz show what the function says, whatever it is: it does not make the node unready."""
        self._notes.append(Check(name, function))

    def notes(self) -> dict[str, str]:
        """Return what is not as configured although the node takes studies in, by the name of each note."""
        found = {check.name: check.outcome() for check in self._notes}
        return {name: text for name, text in found.items() if text}

    def live(self) -> tuple[bool, dict[str, str]]:
        """Return whether the process works, and "ok" or what is wrong by the name of each check."""
        return _run(self._live)

    def ready(self) -> tuple[bool, dict[str, str]]:
        """Return whether the node takes studies in, and "ok" or what is wrong by the name of each check."""
        return _run(self._ready)


def _run(checks: Iterable[Check]) -> tuple[bool, dict[str, str]]:
    problems = {check.name: check.outcome() for check in checks}
    return not any(problems.values()), {name: problem or WELL for name, problem in problems.items()}
