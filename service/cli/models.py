# SPDX-License-Identifier: Apache-2.0
"""`dokuei models`: which packages are here, and do they work on this machine."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from service.bootstrap.package_check import CheckOrder, check_in_child
from service.bootstrap.packages import packages_folder, signature_policy
from service.cli.console import complain, console, print_json, print_table
from service.domain.errors import DokueiError
from service.inference.listing import PackageListing, list_packages
from service.inference.package import find_packages
from service.settings import Settings, load_settings


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


def check(folders: list[Path], config: Path | None, *, limits: Mapping[str, Any], as_json: bool) -> int:
    """Make every check of each package; exit status 1 when one would be refused."""
    settings = _settings(config)
    chosen = folders or list(find_packages(packages_folder(settings)))
    orders = [CheckOrder(place=place.resolve(), policy=signature_policy(settings), **limits) for place in chosen]
    reports = [_check_one(order) for order in orders]
    if as_json:
        print_json(reports)
    else:
        _tell(reports)
    return 0 if reports and all(report["ok"] for report in reports) else 1


def _check_one(order: CheckOrder) -> dict[str, Any]:
    try:
        result = check_in_child(order)
    except DokueiError as error:
        return {"folder": str(order.place), "ok": False, "problem": str(error)}
    studies = {name: asdict(study) for name, study in result.studies.items()}
    return {
        "folder": str(order.place),
        "ok": True,
        **asdict(result.load),
        "studies": studies,
        "refuses_noise": result.refuses_noise,
    }


def _tell(reports: list[dict[str, Any]]) -> None:
    for report in reports:
        if not report["ok"]:
            complain(f"{report['folder']}: REJECTED: {report['problem']}")
            continue
        console.print(f"{report['folder']}: good", markup=False)
        console.print(f"  golden results reproduced within: {report['golden_differences']}", markup=False)
        for name, study in report["studies"].items():
            cost = f"{study['cpu_seconds']:.1f} s CPU, {study['memory_bytes'] / 1e6:.0f} MB"
            console.print(f"  golden study {name}: {study['outcome']}, as expected ({cost})", markup=False)
        signers = ", ".join(signer[:16] for signer in report["signers"]) or "nobody that this site names"
        console.print(f"  signed by: {signers}", markup=False)
        console.print(
            f"  devices: {report['devices']}; {report['files']} files; {report['seconds']:.1f} s", markup=False
        )
