# SPDX-License-Identifier: Apache-2.0
"""The commands of `dokuei models` for those who make, approve and install packages, and their help."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

Package = Annotated[Path, typer.Argument(metavar="PACKAGE", help="A package's folder, or its .cadpkg file.")]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="A package's folder <name>/<version>.")]
Key = Annotated[
    Path,
    typer.Option(
        "--key",
        metavar="FILE",
        help="Private key (PEM, mode 0600); 'openssl genpkey -algorithm ed25519 -out FILE' makes one.",
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="CONFIG", help="The site's configuration; defaults otherwise.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def _make() -> Any:
    return import_module("service.cli.models_make")


def register(models_app: typer.Typer) -> None:
    """Add the commands of this module to `dokuei models`."""
    for command in (init, seal, sign, promote, export, install, diff):
        models_app.command()(command)


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The package's name: a-z, 0-9, _ and -.")],
    pipeline: Annotated[str, typer.Option("--pipeline", help="The pipeline that will run it.")],
    folder: Annotated[Path, typer.Option("--out", help="The skeleton goes to FOLDER/NAME/VERSION.")] = Path(),
    version: Annotated[str, typer.Option("--version", help="Of the package, as in semantic versioning.")] = "0.1.0",
) -> None:
    """Write a package to fill in: a manifest whose every line says what belongs there, and what to do next."""
    raise typer.Exit(_make().init(folder, name, pipeline=pipeline, version=version))


def seal(
    folder: Folder,
    *,
    record: Annotated[
        bool, typer.Option("--record", help="Run the golden studies first, and write what they come to as expected.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List every file of a package with its digest in its manifest; comments stay. Do it after every change.

    A package that is in use is never changed: give it a new version first.
    """
    raise typer.Exit(_make().seal_package(folder, record=record, as_json=as_json))


def sign(
    folder: Folder,
    key: Key,
    days: Annotated[int | None, typer.Option("--days", min=1, help="The signature expires after so many days.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Sign a package: say with your key that this is the very package that you made or approved.

    The signature covers the digest of every file. It changes no digest, so that results stay the same.
    """
    raise typer.Exit(_make().sign(folder, key, days=days, as_json=as_json))


def promote(
    place: Package,
    version: Annotated[str, typer.Option("--version", help="Version of the promoted package; a new one.")],
    report: Annotated[
        Path, typer.Option("--report", help="The validation report; it must name the digest of the package.")
    ],
    approver: Annotated[str, typer.Option("--approver", help="Who answers for it: name and function.")],
    *,
    key: Key,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of packages; the site's when absent.")] = None,
    config: ConfigOption = None,
    as_json: Json = False,
) -> None:
    """Raise a package's status by one step, as a new version beside the old one, with the approval in it, signed.

    The steps are demonstration, research, site-validated, approved. The report's SHA-256, the approver and the digest
    of the package that was validated become part of the new package.
    """
    code = _make().promote_package(
        place, version, report=report, approver=approver, key=key, out=out, config=config, as_json=as_json
    )
    raise typer.Exit(code)


def export(
    folder: Folder,
    out: Annotated[Path | None, typer.Option("--out", help="The file; NAME-VERSION.cadpkg when absent.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Write a package as one .cadpkg file; the same package gives the same bytes. An existing file is not replaced."""
    raise typer.Exit(_make().export(folder, out, as_json=as_json))


def install(place: Package, config: ConfigOption = None, *, as_json: Json = False) -> None:
    """Make the checks of loading, then put a package into the site's folder of packages, whole or not at all.

    It runs once config.yaml names it. To roll back, name the earlier version again: installed versions never change.
    """
    raise typer.Exit(_make().install_package(place, config, as_json=as_json))


def diff(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="A package's folder, or its .cadpkg file.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="Another one.")],
    *,
    as_json: Json = False,
) -> None:
    """Show what changed between two packages: manifest, operating points, graphs, golden results.

    Exit status 1 when they differ.
    """
    raise typer.Exit(import_module("service.cli.models_diff").diff(before, after, as_json=as_json))
