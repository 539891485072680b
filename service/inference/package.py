# SPDX-License-Identifier: Apache-2.0
"""Loads model packages: nothing is used that is not listed, unaltered, within its contract and reproducible here."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import service
from service.domain.errors import PackageError, ProviderError, WorkerUnavailableError
from service.domain.event import Event, InferenceFinished, ProviderPassedOver
from service.domain.reliability import Reliability
from service.domain.result import PackageIdentity
from service.domain.screening import Performance
from service.inference.golden import NOT_IN_BF16, NOT_VALIDATED, check_golden
from service.inference.manifest import Manifest
from service.inference.onnx_file import check_onnx
from service.inference.package_files import PackageFiles, read_package
from service.inference.providers import BACKENDS, LOST, Order, PassedOver, first_that_works, provider_order
from service.inference.session import Session
from service.inference.signature import UNSIGNED_ALLOWED, SignaturePolicy
from service.inference.unlike import verify_noise_is_refused
from service.ports import Observer, Tensors
from service.settings import Provider


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """How sessions are started: which providers are tried in which order, and what each session may take.

    `policy` says whose signatures are asked for when the files are read once more. `threads` 0 leaves their number to
    ONNX Runtime; `gpu_memory_bytes` 0 sets no limit.
    """

    order: tuple[Provider, ...]
    threads: int = 1
    gpu_memory_bytes: int = 0
    policy: SignaturePolicy = UNSIGNED_ALLOWED


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """Sessions that reproduced the golden outputs on one provider, and the providers that were asked for before it.

    `golden_differences` are the largest absolute differences from the golden outputs, by graph.
    """

    provider: Provider
    sessions: Mapping[str, Session]
    golden_differences: Mapping[str, float]
    passed_over: tuple[PassedOver, ...] = ()


class LoadedPackage:
    """A verified package with warm sessions (service.ports.Package)."""

    def __init__(
        self,
        files: PackageFiles,
        warm: Warm,
        how: WarmUp,
        *,
        observer: Observer | None,
        prevalence: float | None = None,
    ) -> None:
        self._identity, self._manifest = files.identity, files.manifest
        self._prevalence = prevalence
        golden = {item.file: files.contents[item.file] for item in files.manifest.golden}
        self._golden = replace(files, contents=golden)  # the graphs are in their sessions: no second copy of them
        self._warm, self._how, self._observer = warm, how, observer

    @property
    def identity(self) -> PackageIdentity:
        """Name, version, digest and status."""
        return self._identity

    @property
    def manifest(self) -> Manifest:
        """Everything else that the package says about itself."""
        return self._manifest

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Preprocessing and post-processing parameters."""
        return MappingProxyType(self._manifest.parameters)

    @property
    def acceptance(self) -> Mapping[str, Any]:
        """The acceptance profile."""
        return MappingProxyType(self._manifest.acceptance)

    @property
    def operating_points(self) -> Mapping[str, float]:
        """Thresholds by name."""
        return {name: point.threshold for name, point in self._manifest.operating_points.items()}

    @property
    def triage_operating_point(self) -> str:
        """Name of the operating point that triage applies."""
        return self._manifest.triage_operating_point

    @property
    def reliability(self) -> Reliability:
        """Calibration, sets and limits of distribution."""
        return self._manifest.reliability

    @property
    def performance(self) -> Mapping[str, Performance]:
        """What the operating points did, where the manifest says both sensitivity and specificity."""
        return {
            name: Performance(
                sensitivity=point.sensitivity, specificity=point.specificity, measured_on=point.measured_on
            )
            for name, point in self._manifest.operating_points.items()
            if point.sensitivity is not None and point.specificity is not None
        }

    @property
    def prevalence(self) -> float | None:
        """Share of disease among the site's studies; None where nobody has said it."""
        return self._prevalence

    @property
    def signers(self) -> tuple[str, ...]:
        """Who signed it, of the site's keys."""
        return self._golden.signers

    @property
    def warm(self) -> Warm:
        """What runs the graphs now."""
        return self._warm

    def run(self, graph: str, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Run one graph; where its provider fails, on the next one of the order from then on.

        Raises
        ------
        PackageError
            The graph is unknown, or a tensor differs from the manifest's contract.
        WorkerUnavailableError
            The provider failed, and the order names no other one that works.
        """
        if graph not in self._warm.sessions:
            known = ", ".join(sorted(self._warm.sessions))
            raise PackageError(f"package {self.identity.name} has no graph {graph!r}; it has {known}")
        start = time.perf_counter()
        try:
            outputs = self._warm.sessions[graph].run(inputs)
        except ProviderError as error:
            self._fall_back(error)
            outputs = self._warm.sessions[graph].run(inputs)
        self._report(graph, self._warm.provider, time.perf_counter() - start)
        return outputs

    def self_test(self) -> dict[str, float]:
        """Reproduce the golden outputs once more; return the largest absolute differences by graph.

        Raises
        ------
        PackageError
            An output differs by more than its tolerance.
        WorkerUnavailableError
            As `run`.
        """
        try:
            return verify_golden(self._golden, self._warm.sessions, self._warm.provider)
        except ProviderError as error:
            self._fall_back(error)
            return verify_golden(self._golden, self._warm.sessions, self._warm.provider)

    def _fall_back(self, error: ProviderError) -> None:
        """Go on with the providers that come after the one that failed, after all the checks of loading."""
        order, failed = self._how.order, self._warm.provider
        rest = order[order.index(failed) + 1 :]
        if not rest:
            raise WorkerUnavailableError(f"{error}; inference.provider names no other provider to go on with")
        files = read_package(self._golden.folder, policy=self._how.policy)
        if files.identity != self._identity:
            raise WorkerUnavailableError(
                f"{error}; the package was replaced on disk since, so that it must be reloaded"
            )
        try:
            warm = warm_up(files, replace(self._how, order=rest))
        except (PackageError, ProviderError) as other:
            raise WorkerUnavailableError(f"{error}; {other}") from None
        lost = PassedOver(provider=failed, reason=LOST, detail=str(error))
        self._warm = replace(warm, passed_over=(lost, *warm.passed_over))
        for event in passed_over_events(self._identity, self._warm.passed_over, used=self._warm.provider):
            self._tell(event)

    def _tell(self, event: Event) -> None:
        if self._observer is not None:
            self._observer(event)

    def _report(self, graph: str, device: str, seconds: float) -> None:
        name, version = self.identity.name, self.identity.version
        self._tell(InferenceFinished(package=name, version=version, graph=graph, device=device, seconds=seconds))


def load_package(
    folder: Path,
    *,
    provider: Order = "auto",
    threads: int = 1,
    gpu_memory_bytes: int = 0,
    observer: Observer | None = None,
    policy: SignaturePolicy = UNSIGNED_ALLOWED,
    prevalence: float | None = None,
) -> LoadedPackage:
    """Load `<packages>/<name>/<version>/`, or a .cadpkg file, after every check that takes no pipeline.

    It runs on the first provider that reproduces the golden outputs.

    Parameters
    ----------
    provider
        One execution provider, or several in the order in which they are tried.
    threads
        Threads of one session; 0 leaves the number to ONNX Runtime.
    policy
        Whose signatures the site asks for.
    prevalence
        Share of disease among the studies that the site sends to the pipeline, for predictive values.

    Raises
    ------
    PackageError
        What is wrong with the package, why that matters and what to do.
    ConfigurationError
        No provider of the order exists on this machine, or a key file of the policy cannot be used.
    """
    files = read_package(folder, policy=policy)
    how = WarmUp(order=provider_order(provider), threads=threads, gpu_memory_bytes=gpu_memory_bytes, policy=policy)
    return LoadedPackage(files, warm_up(files, how), how, observer=observer, prevalence=prevalence)


def warm_up(files: PackageFiles, how: WarmUp) -> Warm:
    """Start the sessions on the first provider of the order that starts them and reproduces the golden outputs.

    Raises
    ------
    PackageError, ProviderError
        None of them does.
    """

    def start(provider: Provider) -> Warm:
        sessions = start_sessions(files, provider=provider, how=how)
        warm = Warm(provider=provider, sessions=sessions, golden_differences=verify_golden(files, sessions, provider))
        verify_noise_is_refused(files, sessions)
        return warm

    warm, passed_over = first_that_works(how.order, start)
    return replace(warm, passed_over=passed_over)


def passed_over_events(
    identity: PackageIdentity, passed_over: tuple[PassedOver, ...], *, used: str
) -> tuple[ProviderPassedOver, ...]:
    """Return what is to be said of the providers that were asked for and are not used."""
    return tuple(
        ProviderPassedOver(
            package=identity.name,
            version=identity.version,
            provider=item.provider,
            reason=item.reason,
            used=used,
            detail=item.detail,
        )
        for item in passed_over
    )


def start_sessions(files: PackageFiles, *, provider: Provider, how: WarmUp) -> dict[str, Session]:
    """Start a session for each graph, from the very bytes that were verified."""
    return {name: _start_session(files, name, provider=provider, how=how) for name in files.manifest.graphs}


def _start_session(files: PackageFiles, name: str, *, provider: Provider, how: WarmUp) -> Session:
    graph = files.manifest.graphs[name]
    model, where = files.contents[graph.file], str(files.folder / graph.file)
    check_onnx(model, where=where)
    memory = how.gpu_memory_bytes
    return Session(model, graph, where=where, provider=provider, threads=how.threads, gpu_memory_bytes=memory)


def verify_golden(files: PackageFiles, sessions: Mapping[str, Session], provider: Provider) -> dict[str, float]:
    """Reproduce all golden tensors; return the largest absolute difference by graph."""
    is_reduced = BACKENDS[provider].precision == "bf16"
    largest: dict[str, float] = {}
    for golden in files.manifest.golden:
        difference = check_golden(
            sessions[golden.graph],
            files.contents[golden.file],
            tolerance=golden.tolerance,
            share=golden.tolerance_bf16 if is_reduced else None,
            cause=NOT_IN_BF16 if is_reduced else NOT_VALIDATED,
            maps=[entry for entry in files.manifest.decompositions if entry.graph == golden.graph],
            where=str(files.folder / golden.file),
        )
        largest[golden.graph] = max(difference, largest.get(golden.graph, 0.0))
    return largest


def find_packages(packages_folder: Path) -> tuple[Path, ...]:
    """Return every `<name>/<version>` folder, sorted by name, then version, numerically."""
    folders = [path for path in packages_folder.glob("[!.]*/[!.]*") if path.is_dir()]
    return tuple(sorted(folders, key=lambda path: (path.parent.name, _version_key(path.name))))


def _version_key(version: str) -> tuple[tuple[int, str], ...]:
    """Order 0.10.0 after 0.9.0; anything that is not a number comes before numbers."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in version.split("."))


def default_packages_folder() -> Path:
    """Return the packages that came with Dokuei: beside the installed service, else in the checkout."""
    here = Path(service.__file__).parent
    installed = here / "_packages"
    return installed if installed.is_dir() else here.parent / "models" / "packages"
