# SPDX-License-Identifier: Apache-2.0
"""Loads model packages: nothing is used that is not listed, unaltered, within its contract and reproducible here."""

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import service
from service.domain.errors import PackageError
from service.domain.event import InferenceFinished
from service.domain.result import PackageIdentity
from service.inference.golden import check_golden
from service.inference.manifest import Manifest
from service.inference.onnx_file import check_onnx
from service.inference.package_files import PackageFiles, read_package
from service.inference.session import Provider, Session
from service.inference.signature import UNSIGNED_ALLOWED, SignaturePolicy
from service.ports import Observer, Tensors


class LoadedPackage:
    """A verified package with warm sessions (service.ports.Package)."""

    def __init__(self, files: PackageFiles, sessions: Mapping[str, Session], *, observer: Observer | None) -> None:
        self._identity, self._manifest = files.identity, files.manifest
        self._sessions, self._observer = sessions, observer

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

    def run(self, graph: str, inputs: Tensors) -> dict[str, NDArray[np.float32]]:
        """Run one graph.

        Raises
        ------
        PackageError
            The graph is unknown, or a tensor differs from the manifest's contract.
        """
        session = self._sessions.get(graph)
        if session is None:
            raise PackageError(
                f"package {self.identity.name} has no graph {graph!r}; it has {', '.join(sorted(self._sessions))}"
            )
        start = time.perf_counter()
        outputs = session.run(inputs)
        self._report(graph, session.device, time.perf_counter() - start)
        return outputs

    def _report(self, graph: str, device: str, seconds: float) -> None:
        if self._observer is None:
            return
        name, version = self.identity.name, self.identity.version
        self._observer(InferenceFinished(package=name, version=version, graph=graph, device=device, seconds=seconds))


def load_package(
    folder: Path,
    *,
    provider: Provider = "auto",
    threads: int = 1,
    observer: Observer | None = None,
    policy: SignaturePolicy = UNSIGNED_ALLOWED,
) -> LoadedPackage:
    """Load `<packages>/<name>/<version>/`, or a .cadpkg file, after every check that takes no pipeline.

    Parameters
    ----------
    threads
        Threads of one session; 0 leaves the number to ONNX Runtime.
    policy
        Whose signatures the site asks for.

    Raises
    ------
    PackageError
        What is wrong with the package, why that matters and what to do.
    ConfigurationError
        The provider does not exist on this machine, or a key file of the policy cannot be used.
    """
    files = read_package(folder, policy=policy)
    sessions = start_sessions(files, provider=provider, threads=threads)
    verify_golden(files, sessions)
    return LoadedPackage(files, sessions, observer=observer)


def start_sessions(files: PackageFiles, *, provider: Provider, threads: int) -> dict[str, Session]:
    """Start a session for each graph, from the very bytes that were verified."""
    return {name: _start_session(files, name, provider=provider, threads=threads) for name in files.manifest.graphs}


def _start_session(files: PackageFiles, name: str, *, provider: Provider, threads: int) -> Session:
    graph = files.manifest.graphs[name]
    model, where = files.contents[graph.file], str(files.folder / graph.file)
    check_onnx(model, where=where)
    return Session(model, graph, where=where, provider=provider, threads=threads)


def verify_golden(files: PackageFiles, sessions: Mapping[str, Session]) -> dict[str, float]:
    """Reproduce all golden tensors; return the largest difference by graph."""
    largest: dict[str, float] = {}
    for golden in files.manifest.golden:
        difference = check_golden(
            sessions[golden.graph],
            files.contents[golden.file],
            tolerance=golden.tolerance,
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
