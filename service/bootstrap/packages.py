# SPDX-License-Identifier: Apache-2.0
"""Which model package each pipeline runs, whether the site allows it, and the packages themselves."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from service.bootstrap.dicomweb import dicomweb_problems
from service.bootstrap.drift import drift_problems
from service.bootstrap.durability import durability_problems
from service.bootstrap.secret_files import secret_problems
from service.bootstrap.security import security_problems
from service.bootstrap.tracing import trace_problems
from service.bootstrap.viewers import viewer_problems
from service.domain.errors import ConfigurationError, DokueiError, PackageError
from service.domain.event import Event, GoldenTested, PackageLoaded, PackageRetired
from service.domain.result import PackageIdentity, PackageStatus
from service.inference.package import (
    LoadedPackage,
    default_packages_folder,
    find_packages,
    load_package,
    passed_over_events,
)
from service.inference.package_files import read_package
from service.inference.providers import PassedOver
from service.inference.signature import UNSIGNED_ALLOWED, SignaturePolicy, load_public_key
from service.pipelines import PIPELINES
from service.ports import InstalledPackage, Observer
from service.settings import PackageSettings, Profile, Provider, Settings

DEMONSTRATION_REFUSED = (
    "is a demonstration, not for clinical use; set 'site: {allow_demonstration: true}' to run it all the same (every "
    "object says so, and it never raises a priority), or name your own package"
)


ACTIVE, SHADOW = "active", "shadow"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChoice:
    """What a child process needs to load the package of one pipeline.

    `sha256` is the digest of the package that the node read; a child loads no other, whatever the folder holds later.
    """

    folder: Path
    provider: tuple[Provider, ...]
    threads: int
    policy: SignaturePolicy = UNSIGNED_ALLOWED
    gpu_memory_bytes: int = 0
    sha256: str = ""
    prevalence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageReport:
    """What became of a package in a child; `device` and the others hold where `error` is ""."""

    error: str = ""
    device: str = ""
    golden_difference: float = 0.0
    seconds: float = 0.0
    passed_over: tuple[PassedOver, ...] = ()


def packages_folder(settings: Settings) -> Path:
    """Return the folder of model packages that this site uses."""
    return settings.inference.packages_folder or default_packages_folder()


def signature_policy(settings: Settings) -> SignaturePolicy:
    """Return whose signatures this site asks for."""
    signatures = settings.inference.signatures
    return SignaturePolicy(required=signatures.required, keys=signatures.keys)


def choose_packages(settings: Settings, *, cores: int) -> dict[str, PackageChoice]:
    """Return the active package of each configured pipeline, by pipeline name."""
    return {
        name: _choice(settings, choice, cores=cores, prevalence=choice.prevalence)
        for name, choice in settings.pipelines.items()
    }


def choose_shadows(settings: Settings, *, cores: int) -> dict[str, PackageChoice]:
    """Return the shadow packages by "pipeline/package/version" (see `shadow_key`)."""
    return {
        shadow_key(name, shadow.package, shadow.version): _choice(
            settings, shadow, cores=cores, prevalence=choice.prevalence
        )
        for name, choice in settings.pipelines.items()
        for shadow in choice.shadow
    }


def shadow_key(pipeline: str, package: str, version: str) -> str:
    """Return the name by which a child process knows a shadow package."""
    return f"{pipeline}/{package}/{version}"


def _choice(
    settings: Settings, package: PackageSettings, *, cores: int, prevalence: float | None = None
) -> PackageChoice:
    inference = settings.inference
    return PackageChoice(
        folder=_folder_of(settings, package),
        provider=inference.provider,
        threads=inference.threads or max(1, cores // inference.workers),
        policy=signature_policy(settings),
        gpu_memory_bytes=inference.gpu_memory_bytes,
        prevalence=prevalence,
    )


def pinned(choices: Mapping[str, PackageChoice], installed: Mapping[str, InstalledPackage]) -> dict[str, PackageChoice]:
    """Return the choices that are installed, each with the digest of what was read."""
    return {key: replace(choices[key], sha256=package.identity.sha256) for key, package in installed.items()}


def installed_packages(
    choices: Mapping[str, PackageChoice], observe: Observer, *, role: str = ACTIVE
) -> dict[str, InstalledPackage]:
    """Verify the packages' files; return those that are sound, by the keys of `choices`, and tell of the others."""
    installed: dict[str, InstalledPackage] = {}
    for key, choice in choices.items():
        try:
            files = read_package(choice.folder, policy=choice.policy)
        except (PackageError, ConfigurationError) as error:
            observe(_rejected(choice, error, role=role))
            continue
        manifest = files.manifest
        installed[key] = InstalledPackage(
            identity=files.identity, acceptance=manifest.acceptance, drift=manifest.drift_reference
        )
    return installed


def _rejected(choice: PackageChoice, error: DokueiError, *, role: str) -> PackageLoaded:
    name, version = choice.folder.parent.name, choice.folder.name
    return PackageLoaded(package=name, version=version, status="rejected", sha256_8="", error=str(error), role=role)


def report_events(identity: PackageIdentity, report: PackageReport, *, role: str) -> Iterator[Event]:
    """Yield what is to be said of a package that a child process loaded, or rejected."""
    name, version = identity.name, identity.version
    yield PackageLoaded(
        package=name,
        version=version,
        status=identity.status.value,
        sha256_8=identity.sha256[:8],
        error=report.error,
        role=role,
        device=report.device,
        golden_difference=report.golden_difference,
    )
    yield from passed_over_events(identity, report.passed_over, used=report.device)
    if not report.error:
        difference, seconds = report.golden_difference, report.seconds
        yield GoldenTested(package=name, version=version, result="passed", difference=difference, seconds=seconds)


def retired_event(identity: PackageIdentity, *, role: str) -> PackageRetired:
    """Return what is to be said of a package that gave its place to another one."""
    return PackageRetired(
        package=identity.name,
        version=identity.version,
        status=identity.status.value,
        sha256_8=identity.sha256[:8],
        role=role,
    )


def load_choices(
    choices: Mapping[str, PackageChoice], observe: Observer
) -> tuple[dict[str, LoadedPackage], dict[str, PackageReport]]:
    """Load the packages with every check, golden results included; a bad one does not keep the others from running."""
    loaded: dict[str, LoadedPackage] = {}
    reports: dict[str, PackageReport] = {}
    for key, choice in choices.items():
        started = time.monotonic()
        try:
            loaded[key] = load_choice(choice, observe)
        except (PackageError, ConfigurationError) as error:
            reports[key] = PackageReport(error=str(error))
            continue
        reports[key] = _report(loaded[key], seconds=time.monotonic() - started)
    return loaded, reports


def load_choice(choice: PackageChoice, observe: Observer) -> LoadedPackage:
    """Load the package of a choice with every check of loading.

    Raises
    ------
    PackageError
        It fails a check, or the folder holds another package than the node read.
    ConfigurationError
        No provider of the order exists on this machine, or a key file cannot be used.
    """
    package = load_package(
        choice.folder,
        provider=choice.provider,
        threads=choice.threads,
        gpu_memory_bytes=choice.gpu_memory_bytes,
        observer=observe,
        policy=choice.policy,
        prevalence=choice.prevalence,
    )
    if choice.sha256 and package.identity.sha256 != choice.sha256:
        raise PackageError(
            f"{choice.folder}: holds another package (SHA-256 {package.identity.sha256[:8]}...) than the node read "
            f"({choice.sha256[:8]}...); `dokuei reload` takes it up"
        )
    return package


def golden_reports(loaded: Mapping[str, LoadedPackage]) -> dict[str, PackageReport]:
    """Have loaded packages reproduce their golden outputs once more."""
    return {key: _tested(package) for key, package in loaded.items()}


def _tested(package: LoadedPackage) -> PackageReport:
    started = time.monotonic()
    try:
        differences = package.self_test()
    except PackageError as error:
        return PackageReport(error=str(error))
    largest = max(differences.values(), default=0.0)
    seconds = time.monotonic() - started
    return PackageReport(device=package.warm.provider, golden_difference=largest, seconds=seconds)


def _report(package: LoadedPackage, *, seconds: float) -> PackageReport:
    warm = package.warm
    return PackageReport(
        device=warm.provider,
        golden_difference=max(warm.golden_differences.values(), default=0.0),
        seconds=seconds,
        passed_over=warm.passed_over,
    )


def configuration_problems(settings: Settings) -> list[str]:
    """Return what is wrong in the configuration and in the packages and files that it names."""
    return [
        *start_problems(settings),
        *(problem for name in settings.pipelines for problem in _refusals(settings, name)),
    ]


def start_problems(settings: Settings) -> list[str]:
    """Return what keeps the node from starting.

    A package that fails its checks does not: the pipelines of the others run, and its own studies end as not analysed.
    """
    problems = [problem for name in settings.pipelines for problem in _pipeline_problems(settings, name)]
    problems += _key_problems(settings) + _destination_problems(settings) + security_problems(settings)
    problems += secret_problems(settings) + durability_problems(settings) + dicomweb_problems(settings)
    return problems + viewer_problems(settings) + drift_problems(settings.drift) + trace_problems(settings.traces)


def _folder_of(settings: Settings, choice: PackageSettings) -> Path:
    return packages_folder(settings) / choice.package / choice.version


def _pipeline_problems(settings: Settings, name: str) -> list[str]:
    if name not in PIPELINES:
        return [f"pipelines.{name}: no such pipeline; known: {', '.join(sorted(PIPELINES))}"]
    choice = settings.pipelines[name]
    problems = _package_problems(settings, name, choice, key=f"pipelines.{name}")
    for shadow in choice.shadow:
        problems += _package_problems(settings, name, shadow, key=f"pipelines.{name}.shadow")
    return problems


def _package_problems(settings: Settings, pipeline: str, choice: PackageSettings, *, key: str) -> list[str]:
    folder = _folder_of(settings, choice)
    if folder.is_dir():
        return [f"{key}: {problem}" for problem in _status_problems(settings, pipeline, folder)]
    known = ", ".join(f"{path.parent.name} {path.name}" for path in find_packages(packages_folder(settings)))
    missing = f"{key}: package {choice.package} {choice.version} is not in {packages_folder(settings)}"
    return [f"{missing}; installed: {known or 'none'}"]


def _status_problems(settings: Settings, pipeline: str, folder: Path) -> list[str]:
    try:
        files = read_package(folder, policy=signature_policy(settings))
    except (PackageError, ConfigurationError):
        return []  # see _refusals and _key_problems
    if files.manifest.pipeline != pipeline:
        return [f"package {files.identity.name} is made for pipeline {files.manifest.pipeline}"]
    allowed = settings.site.allow_demonstration or settings.site.profile is Profile.DEMO
    if files.identity.status is PackageStatus.DEMONSTRATION and not allowed:
        return [f"package {files.identity.name} {DEMONSTRATION_REFUSED}"]
    return []


def _refusals(settings: Settings, name: str) -> list[str]:
    """Return why packages that are there would be refused."""
    choice = settings.pipelines[name]
    named = [(f"pipelines.{name}", choice), *((f"pipelines.{name}.shadow", shadow) for shadow in choice.shadow)]
    return [f"{key}: {error}" for key, package in named if (error := _refusal(settings, package))]


def _refusal(settings: Settings, choice: PackageSettings) -> str:
    folder = _folder_of(settings, choice)
    if not folder.is_dir():
        return ""
    try:
        read_package(folder, policy=signature_policy(settings))
    except PackageError as error:
        return str(error)
    except ConfigurationError:
        return ""  # see _key_problems
    return ""


def _key_problems(settings: Settings) -> list[str]:
    problems = []
    for path in settings.inference.signatures.keys:
        try:
            load_public_key(path)
        except ConfigurationError as error:
            problems.append(f"inference.signatures.keys: {error}")
    return problems


def _destination_problems(settings: Settings) -> list[str]:
    if settings.destinations:
        return []
    return ["destinations: none is configured, so no result could leave the node; add the PACS"]
