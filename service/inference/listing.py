# SPDX-License-Identifier: Apache-2.0
"""Answers for people: which packages are here, and does one work on this machine."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from service.domain.errors import PackageError
from service.domain.result import PackageIdentity
from service.inference.package import find_packages, load_package
from service.inference.package_files import read_package
from service.inference.providers import Order
from service.inference.signature import UNSIGNED_ALLOWED, SignaturePolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageListing:
    """One folder: its identity, pipeline and verified signers, or the problem that keeps it from being loaded."""

    folder: Path
    identity: PackageIdentity | None = None
    pipeline: str = ""
    problem: str = ""
    signers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageCheck:
    """A package that loads here: device by graph, largest difference from golden outputs by graph, seconds taken.

    `passed_over` says of each provider that was asked for before the one that is used why it is not.
    """

    identity: PackageIdentity
    pipeline: str
    files: int
    devices: Mapping[str, str]
    golden_differences: Mapping[str, float]
    passed_over: Mapping[str, str]
    seconds: float
    signers: tuple[str, ...] = ()


def list_packages(packages_folder: Path, *, policy: SignaturePolicy = UNSIGNED_ALLOWED) -> tuple[PackageListing, ...]:
    """List every package with its digests and signatures checked; no graph is run."""
    return tuple(_list_one(folder, policy) for folder in find_packages(packages_folder))


def _list_one(folder: Path, policy: SignaturePolicy) -> PackageListing:
    try:
        files = read_package(folder, policy=policy)
    except PackageError as error:
        return PackageListing(folder=folder, problem=str(error))
    return PackageListing(
        folder=folder, identity=files.identity, pipeline=files.manifest.pipeline, signers=files.signers
    )


def check_package(
    folder: Path, *, provider: Order = "auto", threads: int = 1, policy: SignaturePolicy = UNSIGNED_ALLOWED
) -> PackageCheck:
    """Make every check of loading and say how closely the golden outputs were reproduced.

    Raises
    ------
    PackageError
        The package would not be loaded, and why.
    ConfigurationError
        No provider of the order exists on this machine.
    """
    start = time.perf_counter()
    package = load_package(folder, provider=provider, threads=threads, policy=policy)
    warm, manifest = package.warm, package.manifest
    return PackageCheck(
        identity=package.identity,
        pipeline=manifest.pipeline,
        files=len(manifest.files),
        devices=dict.fromkeys(manifest.graphs, warm.provider),
        golden_differences=warm.golden_differences,
        passed_over={item.provider: item.detail for item in warm.passed_over},
        seconds=time.perf_counter() - start,
        signers=package.signers,
    )
