# SPDX-License-Identifier: Apache-2.0
"""Which model package each pipeline runs, whether the site allows it, and the packages themselves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from service.bootstrap.dicomweb import dicomweb_problems
from service.bootstrap.durability import durability_problems
from service.bootstrap.security import security_problems
from service.domain.errors import ConfigurationError, DokueiError, PackageError
from service.domain.event import PackageLoaded
from service.domain.result import PackageStatus
from service.inference.package import LoadedPackage, default_packages_folder, find_packages, load_package
from service.inference.package_files import read_package
from service.inference.signature import UNSIGNED_ALLOWED, SignaturePolicy
from service.pipelines import PIPELINES
from service.ports import InstalledPackage, Observer
from service.settings import Profile, Settings

DEMONSTRATION_REFUSED = (
    "is a demonstration, not for clinical use; set 'site: {allow_demonstration: true}' to run it all the same (every "
    "object says so, and it never raises a priority), or name your own package"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageChoice:
    """What a child process needs to load the package of one pipeline."""

    folder: Path
    provider: Literal["auto", "cpu", "cuda"]
    threads: int
    policy: SignaturePolicy = UNSIGNED_ALLOWED


def packages_folder(settings: Settings) -> Path:
    """Return the folder of model packages that this site uses."""
    return settings.inference.packages_folder or default_packages_folder()


def signature_policy(settings: Settings) -> SignaturePolicy:
    """Return whose signatures this site asks for."""
    signatures = settings.inference.signatures
    return SignaturePolicy(required=signatures.required, keys=signatures.keys)


def choose_packages(settings: Settings, *, cores: int) -> dict[str, PackageChoice]:
    """Return the package of each configured pipeline, by pipeline name."""
    inference = settings.inference
    threads = inference.threads or max(1, cores // inference.workers)
    folder, policy = packages_folder(settings), signature_policy(settings)
    return {
        name: PackageChoice(
            folder=folder / choice.package / choice.version,
            provider=inference.provider,
            threads=threads,
            policy=policy,
        )
        for name, choice in settings.pipelines.items()
    }


def installed_packages(
    choices: Mapping[str, PackageChoice], observe: Observer
) -> tuple[dict[str, InstalledPackage], dict[str, str]]:
    """Verify the packages' files; return those that are sound, and the error of each other, by pipeline name."""
    installed: dict[str, InstalledPackage] = {}
    errors: dict[str, str] = {}
    for pipeline, choice in choices.items():
        try:
            files = read_package(choice.folder, policy=choice.policy)
        except (PackageError, ConfigurationError) as error:
            errors[pipeline] = str(error)
            observe(_rejected(choice, error))
            continue
        installed[pipeline] = InstalledPackage(identity=files.identity, acceptance=files.manifest.acceptance)
    return installed, errors


def _rejected(choice: PackageChoice, error: DokueiError) -> PackageLoaded:
    name, version = choice.folder.parent.name, choice.folder.name
    return PackageLoaded(package=name, version=version, status="rejected", sha256_8="", error=str(error))


def package_report(installed: Mapping[str, InstalledPackage], errors: Mapping[str, str]) -> Iterator[PackageLoaded]:
    """Yield what became of each installed package in the child process; `errors` by pipeline name."""
    for pipeline, package in installed.items():
        identity = package.identity
        yield PackageLoaded(
            package=identity.name,
            version=identity.version,
            status=identity.status.value,
            sha256_8=identity.sha256[:8],
            error=errors.get(pipeline, ""),
        )


def load_choices(
    choices: Mapping[str, PackageChoice], observe: Observer
) -> tuple[dict[str, LoadedPackage], dict[str, str]]:
    """Load the packages with every check, golden results included; a bad one does not keep the others from running."""
    loaded: dict[str, LoadedPackage] = {}
    errors: dict[str, str] = {}
    for pipeline, choice in choices.items():
        try:
            package = load_package(
                choice.folder,
                provider=choice.provider,
                threads=choice.threads,
                observer=observe,
                policy=choice.policy,
            )
        except (PackageError, ConfigurationError) as error:
            errors[pipeline] = str(error)
            continue
        loaded[pipeline] = package
    return loaded, errors


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
    problems += _destination_problems(settings) + security_problems(settings)
    return problems + durability_problems(settings) + dicomweb_problems(settings)


def _folder_of(settings: Settings, name: str) -> Path:
    choice = settings.pipelines[name]
    return packages_folder(settings) / choice.package / choice.version


def _pipeline_problems(settings: Settings, name: str) -> list[str]:
    if name not in PIPELINES:
        return [f"pipelines.{name}: no such pipeline; known: {', '.join(sorted(PIPELINES))}"]
    choice, folder = settings.pipelines[name], _folder_of(settings, name)
    if not folder.is_dir():
        known = ", ".join(f"{path.parent.name} {path.name}" for path in find_packages(packages_folder(settings)))
        where = packages_folder(settings)
        missing = f"pipelines.{name}: package {choice.package} {choice.version} is not in {where}"
        return [f"{missing}; installed: {known or 'none'}"]
    return _status_problems(settings, name, folder)


def _status_problems(settings: Settings, name: str, folder: Path) -> list[str]:
    try:
        files = read_package(folder, policy=signature_policy(settings))
    except PackageError:
        return []  # see _refusals
    except ConfigurationError as error:
        return [f"inference.signatures.keys: {error}"]
    if files.manifest.pipeline != name:
        return [f"pipelines.{name}: package {files.identity.name} is made for pipeline {files.manifest.pipeline}"]
    allowed = settings.site.allow_demonstration or settings.site.profile is Profile.DEMO
    if files.identity.status is PackageStatus.DEMONSTRATION and not allowed:
        return [f"pipelines.{name}: package {files.identity.name} {DEMONSTRATION_REFUSED}"]
    return []


def _refusals(settings: Settings, name: str) -> list[str]:
    """Return why a package that is there would be refused."""
    folder = _folder_of(settings, name)
    if not folder.is_dir():
        return []
    try:
        read_package(folder, policy=signature_policy(settings))
    except PackageError as error:
        return [f"pipelines.{name}: {error}"]
    except ConfigurationError:
        return []  # see _status_problems
    return []


def _destination_problems(settings: Settings) -> list[str]:
    if settings.destinations:
        return []
    return ["destinations: none is configured, so no result could leave the node; add the PACS"]
