# SPDX-License-Identifier: Apache-2.0
"""`dokuei models`: which packages are here, and do they work on this machine."""

from dataclasses import asdict
from pathlib import Path

from service.bootstrap.packages import packages_folder
from service.cli.console import complain, console, print_json, print_table
from service.domain.errors import DokueiError
from service.inference.listing import PackageListing, check_package, list_packages
from service.inference.package import find_packages
from service.settings import Settings, load_settings


def list_installed(config: Path | None, *, as_json: bool) -> int:
    """Print every package folder with its identity or its problem."""
    folder = packages_folder(_settings(config))
    listings = list_packages(folder)
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


def check(folders: list[Path], config: Path | None, *, as_json: bool) -> int:
    """Make every load check of each folder; exit status 1 when one would not be loaded."""
    chosen = folders or list(find_packages(packages_folder(_settings(config))))
    reports = [_check_one(folder) for folder in chosen]
    if as_json:
        print_json(reports)
    else:
        _tell(reports)
    return 0 if reports and all(report["ok"] for report in reports) else 1


def _check_one(folder: Path) -> dict[str, object]:
    try:
        result = check_package(folder.resolve())
    except DokueiError as error:
        return {"folder": str(folder), "ok": False, "problem": str(error)}
    return {"folder": str(folder), "ok": True, **asdict(result)}


def _tell(reports: list[dict[str, object]]) -> None:
    for report in reports:
        if not report["ok"]:
            complain(f"{report['folder']}: REJECTED: {report['problem']}")
            continue
        console.print(f"{report['folder']}: good")
        console.print(f"  golden results reproduced within: {report['golden_differences']}", markup=False)
        console.print(
            f"  devices: {report['devices']}; {report['files']} files; {report['seconds']:.1f} s", markup=False
        )
