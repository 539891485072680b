# SPDX-License-Identifier: Apache-2.0
"""`dokuei models`: which packages are here, and do they work on this machine."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from service.bootstrap.package_check import CheckOrder, check_in_child
from service.bootstrap.packages import packages_folder, signature_policy
from service.cli.console import complain, console, print_json, print_table
from service.domain.errors import ConfigurationError, DokueiError
from service.inference.listing import PackageListing, list_packages
from service.inference.package import find_packages
from service.inference.providers import BACKENDS, usable_providers, uses_gpu
from service.settings import InferenceSettings, Provider, Settings, load_settings


def list_installed(config: Path | None, *, as_json: bool) -> int:
    """Print every package folder with its identity or its problem."""
    settings = _settings(config)
    folder = packages_folder(settings)
    listings = list_packages(folder, policy=signature_policy(settings))
    if as_json:
        print_json([asdict(listing) for listing in listings])
        return _status(listings)
    columns = ("package", "version", "pipeline", "status", "digest", "problem")
    print_table(f"Model packages in {folder}", columns, [_row(listing) for listing in listings])
    return _status(listings)


def _settings(config: Path | None) -> Settings:
    return load_settings(config) if config else Settings()


def _status(listings: tuple[PackageListing, ...]) -> int:
    return 1 if not listings or any(listing.problem for listing in listings) else 0


def _row(listing: PackageListing) -> tuple[str, ...]:
    name, version = listing.folder.parent.name, listing.folder.name
    if listing.identity is None:
        return name, version, "", "", "", listing.problem
    return name, version, listing.pipeline, listing.identity.status, listing.identity.sha256[:8], ""


def check(
    folders: list[Path],
    config: Path | None,
    *,
    providers: Sequence[str] = (),
    limits: Mapping[str, Any],
    as_json: bool,
) -> int:
    """Make every check of each package, on each provider; exit status 1 when one would be refused.

    Without `providers` these are the ones of the site's order that this machine has; the others are named.
    """
    settings = _settings(config)
    chosen = folders or list(find_packages(packages_folder(settings)))
    used, lacking = _providers(settings, providers)
    orders = [_order(place, provider, settings, limits) for place in chosen for provider in used]
    reports = [{**_check_one(order), "not_checked_on": lacking} for order in orders]
    if as_json:
        print_json(reports)
    else:
        _tell(reports)
    return 0 if reports and all(report["ok"] for report in reports) else 1


def _providers(settings: Settings, asked: Sequence[str]) -> tuple[tuple[Provider, ...], dict[Provider, str]]:
    """Return the providers to check on, and why the others of the site's order are left out; what is asked for stays.

    Raises
    ------
    ConfigurationError
        A provider is not known, or this machine has none of the site's order.
    """
    if asked:
        try:
            return InferenceSettings.model_validate({"provider": tuple(asked)}).provider, {}
        except ValidationError:
            known = ", ".join(sorted(BACKENDS))
            raise ConfigurationError(f"--provider {', '.join(asked)}: known are {known}; name each once") from None
    used, lacking = usable_providers(settings.inference.provider)
    if not used:
        raise ConfigurationError("; ".join(lacking.values()))
    return used, lacking


def _order(place: Path, provider: Provider, settings: Settings, limits: Mapping[str, Any]) -> CheckOrder:
    chosen = {**limits, "memory_bytes": None} if uses_gpu(provider) else limits
    return CheckOrder(place=place.resolve(), policy=signature_policy(settings), provider=provider, **chosen)


def _check_one(order: CheckOrder) -> dict[str, Any]:
    where = {"folder": str(order.place), "provider": order.provider}
    try:
        result = check_in_child(order)
    except DokueiError as error:
        return {**where, "ok": False, "problem": str(error)}
    studies = {name: asdict(study) for name, study in result.studies.items()}
    return {
        **where,
        "ok": True,
        **asdict(result.load),
        "studies": studies,
        "refuses_noise": result.refuses_noise,
    }


def _tell(reports: list[dict[str, Any]]) -> None:
    for provider, why in (reports[0]["not_checked_on"] if reports else {}).items():
        console.print(f"not checked on {provider}: {why}", markup=False)
    for report in reports:
        place = f"{report['folder']} on {report['provider']}"
        if not report["ok"]:
            complain(f"{place}: REJECTED: {report['problem']}")
            continue
        console.print(f"{place}: good", markup=False)
        console.print(f"  golden results reproduced within: {report['golden_differences']}", markup=False)
        for name, study in report["studies"].items():
            cost = f"{study['cpu_seconds']:.1f} s CPU, {study['memory_bytes'] / 1e6:.0f} MB"
            console.print(f"  golden study {name}: {study['outcome']}, as expected ({cost})", markup=False)
        signers = ", ".join(signer[:16] for signer in report["signers"]) or "nobody that this site names"
        console.print(f"  signed by: {signers}", markup=False)
        console.print(
            f"  devices: {report['devices']}; {report['files']} files; {report['seconds']:.1f} s", markup=False
        )
