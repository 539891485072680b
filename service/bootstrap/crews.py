# SPDX-License-Identifier: Apache-2.0
"""Starts child processes for packages, and others for the packages of a config.yaml that has changed meanwhile."""

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from service.bootstrap.messages import CHOICES
from service.bootstrap.packages import (
    ACTIVE,
    SHADOW,
    PackageChoice,
    choose_packages,
    choose_shadows,
    configuration_problems,
    installed_packages,
    pinned,
)
from service.bootstrap.serving import Crew, Packages, Serving
from service.domain.errors import DokueiError, StorageError
from service.domain.event import ConfigurationReloaded
from service.inference.providers import uses_gpu
from service.inference.worker import WorkerPool
from service.ports import InstalledPackage, Observer
from service.ports.ledger import Ledger
from service.settings import Settings, SettingsError, settings_digest

WARM_SECONDS = 600.0
SETTLE_SECONDS = 60.0
"""A study that was routed with the old package before a change has its job in the ledger by then."""
LOOK_SECONDS = 5.0
START_SECONDS = 300.0
IDLE_PATIENCE = 10
"""Times as long may a child take that gets the time which nobody else wants."""
CHILD = "service.bootstrap.child:start"
TAKEN_OVER = ("pipelines", "inference")
"""The sections that a reload takes over."""


def start_pool(
    settings: Settings,
    choices: Mapping[str, PackageChoice],
    heard: Callable[[dict[str, Any]], None],
    *,
    idle: bool,
    observe: Observer,
) -> WorkerPool:
    """Start children for the chosen packages; shadow packages get one, which takes what processor time is left over."""
    inference = settings.inference
    patience = IDLE_PATIENCE if idle else 1
    return WorkerPool(
        CHILD,
        size=1 if idle else inference.workers,
        deadline_seconds=inference.deadline_seconds * patience,
        start_seconds=START_SECONDS * patience,
        memory_bytes=None if uses_gpu(inference.provider) else inference.memory_bytes,
        initial={"packages": CHOICES.dump_python(dict(choices), mode="json")},
        observer=observe,
        on_start=heard,
        idle=idle,
    )


class Crews:
    """Fills `serving` from the settings: at the start, and again at each reload."""

    def __init__(self, settings: Settings, serving: Serving, observe: Observer) -> None:
        self._settings, self._serving, self._observe = settings, serving, observe

    @property
    def settings(self) -> Settings:
        """The settings that were taken over last."""
        return self._settings

    def start(self) -> Crew:
        """Let the packages serve at once, while the children still load them."""
        crew = self._open_active(self._settings)
        self._serving.go_over(crew, pipelines=crew.packages)
        self._serving.shadow_with(self._open_shadows(self._settings))
        return crew

    def reload(self, settings: Settings) -> tuple[str, ...]:
        """Let the packages of other settings serve once they are warm; return the pipelines that keep their old ones.

        Raises
        ------
        DokueiError
            No child process could be started: everything stays as it is.
        """
        crew = self._open_active(settings)
        try:
            crew.pool.wait_ready(WARM_SECONDS)
        except DokueiError:
            self._serving.end(crew, at_once=True)
            raise
        good = [pipeline for pipeline in crew.packages if not crew.reports[pipeline].error]
        self._serving.go_over(crew, pipelines=good)
        self._serving.shadow_with(self._open_shadows(settings))
        self._settings = settings
        return tuple(sorted(set(settings.pipelines) - set(good)))

    def _open_active(self, settings: Settings) -> Crew:
        choices = choose_packages(settings, cores=_cores())
        return self._open(settings, choices, installed_packages(choices, self._observe), role=ACTIVE)

    def _open_shadows(self, settings: Settings) -> Crew | None:
        choices = choose_shadows(settings, cores=_cores())
        installed = installed_packages(choices, self._observe, role=SHADOW)
        return self._open(settings, choices, installed, role=SHADOW) if installed else None

    def _open(
        self,
        settings: Settings,
        choices: Mapping[str, PackageChoice],
        installed: Mapping[str, InstalledPackage],
        *,
        role: str,
    ) -> Crew:
        def start(packages: Packages, heard: Callable[[dict[str, Any]], None], *, idle: bool) -> WorkerPool:
            return start_pool(settings, pinned(choices, packages), heard, idle=idle, observe=self._observe)

        crew = self._serving.open(installed, role=role, start_pool=start)
        crew.choices = pinned(choices, installed)
        return crew


class Reloader:
    """A thread that reads config.yaml again when it is asked to, and ends old children when their studies are done."""

    def __init__(
        self,
        crews: Crews,
        serving: Serving,
        *,
        read: Callable[[], Settings],
        ledger: Ledger,
        observe: Observer,
    ) -> None:
        self._crews, self._serving, self._read, self._ledger, self._observe = crews, serving, read, ledger, observe
        self._asked, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="reloader", daemon=True)

    def start(self) -> None:
        """Begin to wait for `ask`."""
        self._thread.start()

    def stop(self) -> None:
        """End; a reload that is going on is given up with the children that it started."""
        self._stopping.set()
        self._asked.set()

    def ask(self) -> None:
        """Have config.yaml read again, soon; safe in a signal handler."""
        self._asked.set()

    def reload(self) -> ConfigurationReloaded:
        """Read config.yaml and take over what can be; return what became of it."""
        try:
            asked = self._read()
        except SettingsError as error:
            return ConfigurationReloaded(result="rejected", problem=str(error))
        settings, restart = taken_over(self._crews.settings, asked), needs_restart(self._crews.settings, asked)
        problems = configuration_problems(asked) or configuration_problems(settings)
        if problems:
            return ConfigurationReloaded(result="rejected", restart=restart, problem="; ".join(problems))
        try:
            kept = self._crews.reload(settings)
        except DokueiError as error:
            return ConfigurationReloaded(result="rejected", problem=str(error))
        problem = f"{', '.join(kept)}: the package failed its checks, the one before it stays" if kept else ""
        return ConfigurationReloaded(
            result="partly" if kept else "applied",
            kept=kept,
            restart=restart,
            problem=problem,
            config_sha256_8=settings_digest(settings),
        )

    def _run(self) -> None:
        settled = SETTLE_SECONDS
        while not self._stopping.is_set():
            if self._asked.wait(LOOK_SECONDS):
                self._asked.clear()
                if self._stopping.is_set():
                    return
                self._observe(self.reload())
                settled = 0.0
            elif settled < SETTLE_SECONDS:
                settled += LOOK_SECONDS
            else:
                self._end_unused()

    def _end_unused(self) -> None:
        if not self._serving.unused(()):
            return
        try:
            with self._ledger.reading() as view:
                needed = view.jobs.queued_packages()
        except StorageError:
            return  # told by /readyz; the children live on until the ledger can be asked
        for crew in self._serving.unused(needed):
            self._serving.end(crew)


def taken_over(present: Settings, asked: Settings) -> Settings:
    """Return the present settings with what a reload takes over: the packages of the known pipelines, and on what."""
    pipelines = {name: asked.pipelines.get(name, choice) for name, choice in present.pipelines.items()}
    inference = asked.inference.model_copy(update={"workers": present.inference.workers})
    return present.model_copy(update={"pipelines": pipelines, "inference": inference})


def needs_restart(present: Settings, asked: Settings) -> tuple[str, ...]:
    """Return the keys that have changed and that only a restart takes over."""
    names = [name for name in type(present).model_fields if name not in TAKEN_OVER]
    changed = [name for name in names if getattr(present, name) != getattr(asked, name)]
    pipelines = sorted(set(present.pipelines) ^ set(asked.pipelines))
    workers = ["inference.workers"] if present.inference.workers != asked.inference.workers else []
    return (*changed, *(f"pipelines.{name}" for name in pipelines), *workers)


def _cores() -> int:
    return os.cpu_count() or 1
