# SPDX-License-Identifier: Apache-2.0
"""The child process that runs the golden studies of a package which is in use, and its parent's end.

It takes only processor time that nobody else wants, and has limits on time and memory: studies never wait for it.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import TypeAdapter

from service.bootstrap.golden_studies import verify_studies
from service.bootstrap.packages import PackageChoice, load_choice
from service.domain.errors import PackageError, WorkerUnavailableError
from service.inference.package_files import read_package
from service.inference.providers import BACKENDS
from service.inference.worker_process import WorkerOrder, WorkerProcess

CHILD: Final = "service.bootstrap.study_child:start"
_CHOICE: Final = TypeAdapter(PackageChoice)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the golden studies of one package may take: seconds by the clock, and bytes of address space (or None)."""

    seconds: float
    memory_bytes: int | None


def run_studies(choice: PackageChoice) -> tuple[str, ...]:
    """Run every golden study of a package, and the first as noise where the package refuses noise; return their names.

    The package's budget is not held here: a process that takes only idle time counts the seconds of a busy machine.

    Raises
    ------
    PackageError
        The package is altered, or a study comes to something else than at the package's maker.
    """
    files = read_package(choice.folder, policy=choice.policy)
    if not files.manifest.golden_studies:
        return ()
    package = load_choice(choice, lambda _event: None)
    if package.identity != files.identity:
        raise PackageError(f"{choice.folder}: the package was replaced while it was read; versions never change")
    unmeasured = files.manifest.model_copy(update={"budget": None})
    precision = BACKENDS[package.warm.provider].precision
    return tuple(verify_studies(replace(files, manifest=unmeasured), package, precision=precision))


def start(initial: Mapping[str, Any]) -> Any:
    """Return the function that runs the studies when it is asked to; runs in the child."""
    choice = _CHOICE.validate_python(initial)
    return lambda _task: {"studies": run_studies(choice)}


class StudyRunner:
    """Starts a child for one package after the other; `kill` ends the one that runs, and lets no other start.

    `idle`: the child takes only processor time that nobody else wants.
    """

    def __init__(self, entry: str = CHILD, *, idle: bool = True) -> None:
        self._entry, self._idle = entry, idle
        self._lock = threading.Lock()
        self._child: WorkerProcess | None = None
        self._killed = False

    def __call__(self, choice: PackageChoice, limits: Limits) -> tuple[str, ...]:
        """Return the names of the golden studies that came to what was expected.

        Raises
        ------
        PackageError
            One came to something else, or the package is altered.
        DokueiError
            The child was not able to say.
        """
        child = self._begin(choice, limits)
        try:
            child.warm(seconds=limits.seconds)
            return tuple(child.ask({}, seconds=limits.seconds)["studies"])
        finally:
            child.stop()

    def kill(self) -> None:
        """End, for good."""
        with self._lock:
            self._killed = True
            if self._child is not None:
                self._child.kill()

    def _begin(self, choice: PackageChoice, limits: Limits) -> WorkerProcess:
        initial = _CHOICE.dump_python(replace(choice, threads=1), mode="json")
        order = WorkerOrder(entry=self._entry, initial=initial, memory_bytes=limits.memory_bytes, idle=self._idle)
        with self._lock:
            if self._killed:
                raise WorkerUnavailableError("the node is stopping")
            self._child = WorkerProcess(order)
            return self._child
