# SPDX-License-Identifier: Apache-2.0
"""Which package serves each pipeline now, and in which child processes; packages change while studies are on their way.

A change is a new crew of children beside the old one. Each pipeline goes over when the new crew has its package warm; a
study goes to a crew that has the package which its job was made with, so that old ones live until those are done.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from service.bootstrap.messages import REPORTS
from service.bootstrap.packages import ACTIVE, SHADOW, PackageChoice, PackageReport, report_events, retired_event
from service.domain.errors import PackageError, WorkerUnavailableError
from service.domain.event import GoldenTested, ProviderPassedOver
from service.domain.result import PackageIdentity
from service.inference.worker import WorkerPool
from service.ports import InstalledPackage, Observer
from service.ports.statistics import Workers

Packages = Mapping[str, InstalledPackage]


class StartPool(Protocol):
    """Starts children that load packages; `heard` is told what each child that became warm says of them."""

    def __call__(self, packages: Packages, heard: Callable[[dict[str, Any]], None], *, idle: bool) -> WorkerPool:
        """Return at once; the children become warm by and by."""


@dataclass(eq=False, slots=True, kw_only=True)
class Crew:
    """A pool of children with the packages that they were started with, by pipeline (or key of a shadow).

    `choices` say how these packages are loaded, under the same keys.
    """

    packages: Packages
    role: str
    pool: WorkerPool = field(init=False)
    reports: dict[str, PackageReport] = field(default_factory=dict)
    choices: Mapping[str, PackageChoice] = field(default_factory=dict)

    @property
    def digests(self) -> frozenset[str]:
        """The SHA-256 of its packages."""
        return frozenset(item.identity.sha256 for item in self.packages.values())

    def has(self, package: PackageIdentity) -> bool:
        """Whether its children have been given the package."""
        return package.sha256 in self.digests


class Serving:
    """The crews at work; safe to call from any thread."""

    def __init__(self, observe: Observer) -> None:
        self._observe = observe
        self._lock = threading.RLock()
        self._crews: list[Crew] = []
        self._active: dict[str, tuple[InstalledPackage, Crew]] = {}
        self._shadows: Crew | None = None
        self._out: dict[str, str] = {}
        self._elsewhere: dict[str, str] = {}
        self._told: dict[tuple[str, str], tuple[object, ...]] = {}
        self.packages: Packages = _Live(self)

    # --- what the flow asks ---------------------------------------------------------------------------------------

    def active(self) -> Packages:
        """Return the package of each pipeline, for studies that begin now."""
        with self._lock:
            return {pipeline: package for pipeline, (package, _) in self._active.items()}

    def shadows(self, pipeline: str) -> Sequence[tuple[str, InstalledPackage]]:
        """Return the key and package of each shadow of a pipeline."""
        with self._lock:
            found = self._shadows.packages.items() if self._shadows else ()
            return tuple((key, package) for key, package in found if key.startswith(f"{pipeline}/"))

    def runs(self, package: PackageIdentity) -> bool:
        """Whether some children have the package."""
        with self._lock:
            return any(crew.has(package) for crew in self._crews if crew.role == ACTIVE)

    def pool(self, package: PackageIdentity | None) -> WorkerPool:
        """Return the pool for a study that began with the package: that of its children, else the newest.

        Raises
        ------
        PackageError
            The package was taken out of service.
        """
        with self._lock:
            if package is not None and package.sha256 in self._out:
                raise PackageError(self._out[package.sha256])
            having = [crew for crew in self._crews if package and crew.role == ACTIVE and crew.has(package)]
            at_work = self._at_work()  # one that is still loading would let the study wait
            return _newest([crew for crew in having if crew in at_work] or having or at_work).pool

    def any_pool(self) -> WorkerPool:
        """Return the newest pool, for work that needs no package."""
        with self._lock:
            return _newest(self._at_work()).pool

    def _at_work(self) -> list[Crew]:
        """Return the crews that serve pipelines, the newest last."""
        serving = [crew for _, crew in self._active.values()]
        crews = [crew for crew in self._crews if crew in serving]
        return crews or [crew for crew in self._crews if crew.role == ACTIVE]

    def shadow_pool(self) -> WorkerPool:
        """Return the pool of the shadow packages."""
        with self._lock:
            return _newest([self._shadows] if self._shadows else []).pool

    # --- changes --------------------------------------------------------------------------------------------------

    def open(self, packages: Packages, *, role: str, start_pool: StartPool) -> Crew:
        """Start children with these packages; nothing is sent to them yet."""
        crew = Crew(packages=packages, role=role)
        self._say_faults_again(crew)
        crew.pool = start_pool(packages, partial(self._heard, crew), idle=role == SHADOW)
        with self._lock:
            self._crews.append(crew)
        return crew

    def go_over(self, crew: Crew, *, pipelines: Iterable[str]) -> None:
        """Let a crew serve pipelines from now on; what was taken out of service and is in it is back."""
        with self._lock:
            before = self.active()
            for pipeline in pipelines:
                package = crew.packages[pipeline]
                self._active[pipeline] = (package, crew)
                self._out.pop(package.identity.sha256, None)
            now = {package.identity.sha256 for package, _ in self._active.values()}
            gone = [package for package in before.values() if package.identity.sha256 not in now]
        for package in gone:
            self._tell_retired(package, role=ACTIVE)

    def shadow_with(self, crew: Crew | None) -> None:
        """Let a crew run the shadow packages from now on, and end the one before it."""
        with self._lock:
            old, self._shadows = self._shadows, crew
        if old is not None:
            kept = {package.identity.sha256 for package in crew.packages.values()} if crew else set()
            for package in old.packages.values():
                if package.identity.sha256 not in kept:
                    self._tell_retired(package, role=SHADOW)
            threading.Thread(target=self.end, args=(old,), name="shadow-end", daemon=True).start()

    def unused(self, needed: Iterable[str]) -> list[Crew]:
        """Return the crews that serve no pipeline and alone have no package of `needed`, digests of unfinished jobs."""
        with self._lock:
            at_work = self._at_work()
            idle = [crew for crew in self._crews if crew.role == ACTIVE and crew not in at_work]
            alone = frozenset(needed).difference(*(crew.digests for crew in at_work))
        return [crew for crew in idle if alone.isdisjoint(crew.digests)]

    def end(self, crew: Crew, *, at_once: bool = False) -> None:
        """End a crew when it has answered what it was asked, or `at_once`."""
        with self._lock:
            if crew in self._crews:
                self._crews.remove(crew)
        if at_once:
            crew.pool.kill()
        else:
            crew.pool.close()

    def kill(self) -> None:
        """End all children at once."""
        with self._lock:
            crews, self._crews = self._crews, []
        for crew in crews:
            crew.pool.kill()

    def take_out(self, package: PackageIdentity, reason: str) -> None:
        """Let the package analyse no study any more; its studies end as not analysed, for this reason."""
        with self._lock:
            self._out[package.sha256] = reason

    # --- what people see ------------------------------------------------------------------------------------------

    def out_of_service(self) -> Mapping[str, str]:
        """Return why packages analyse no study any more, by their SHA-256."""
        with self._lock:
            return dict(self._out)

    def crews(self) -> tuple[Crew, ...]:
        """Return all crews."""
        with self._lock:
            return tuple(self._crews)

    def at_work(self) -> tuple[Crew, ...]:
        """Return the crews that serve pipelines, and that of the shadows."""
        with self._lock:
            return (*self._at_work(), *([self._shadows] if self._shadows else ()))

    def workers(self) -> dict[str, Workers]:
        """Return the child processes by role, those of crews that only end what they began among them."""
        by_role: dict[str, list[WorkerPool]] = {}
        for crew in self.crews():
            by_role.setdefault(crew.role, []).append(crew.pool)
        return {role: _census(pools) for role, pools in by_role.items()}

    def problem(self) -> str:
        """Return "" while each pipeline has a warm child, else why not."""
        with self._lock:
            pools = [crew.pool for crew in self._at_work()]
        return "; ".join(filter(None, (pool.problem for pool in pools)))

    def notes(self) -> str:
        """Return what does not run as config.yaml says: packages out of service, providers passed over."""
        with self._lock:
            digests = frozenset[str]().union(*(crew.digests for crew in self._crews))
            known = [*self._out.items(), *self._elsewhere.items()]
        return "; ".join(sorted(text for digest, text in known if digest in digests))

    def moved(self, event: ProviderPassedOver) -> None:
        """Note that a child went on with another provider in the middle of its work."""
        with self._lock:
            for crew in self._crews:
                for item in crew.packages.values():
                    if (item.identity.name, item.identity.version) == (event.package, event.version):
                        self._elsewhere[item.identity.sha256] = _moved_text(item.identity, event.used, event.provider)

    def _heard(self, crew: Crew, report: dict[str, Any]) -> None:
        """Tell what a child says of its packages, unless the child before it said the same."""
        for key, entry in REPORTS.validate_python(report["packages"]).items():
            identity = crew.packages[key].identity
            with self._lock:
                crew.reports[key] = entry
                said = (entry.error, entry.device, entry.passed_over)
                is_news = self._told.get((identity.sha256, crew.role)) != said
                self._told[identity.sha256, crew.role] = said
                self._elsewhere.pop(identity.sha256, None)
                if entry.passed_over:
                    wanted = ", ".join(item.provider for item in entry.passed_over)
                    self._elsewhere[identity.sha256] = _moved_text(identity, entry.device, wanted)
            for event in report_events(identity, entry, role=crew.role):
                if is_news or isinstance(event, GoldenTested):
                    self._observe(event)

    def _say_faults_again(self, crew: Crew) -> None:
        """Let what is wrong with packages be told of new children too: somebody has asked for them again."""
        with self._lock:
            for item in crew.packages.values():
                if self._told.get((item.identity.sha256, crew.role), ("",))[0]:
                    del self._told[item.identity.sha256, crew.role]

    def _tell_retired(self, package: InstalledPackage, *, role: str) -> None:
        with self._lock:
            self._told.pop((package.identity.sha256, role), None)
        self._observe(retired_event(package.identity, role=role))


class _Live(Mapping[str, InstalledPackage]):
    """The active packages, as they are whenever somebody looks."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def __getitem__(self, pipeline: str) -> InstalledPackage:
        return self._serving.active()[pipeline]

    def __iter__(self) -> Iterator[str]:
        return iter(self._serving.active())

    def __len__(self) -> int:
        return len(self._serving.active())


def _newest(crews: Sequence[Crew]) -> Crew:
    if not crews:
        raise WorkerUnavailableError("there are no child processes for this; the node is stopping")
    return crews[-1]


def _census(pools: Sequence[WorkerPool]) -> Workers:
    warm, size = sum(pool.warm for pool in pools), sum(pool.size for pool in pools)
    ids = tuple(number for pool in pools for number in pool.process_ids)
    return Workers(warm=warm, starting=max(0, size - warm), process_ids=ids)


def _name(identity: PackageIdentity) -> str:
    return f"{identity.name} {identity.version}"


def _moved_text(identity: PackageIdentity, used: str, wanted: str) -> str:
    return f"{_name(identity)} runs on {used}, not on {wanted}"
