# SPDX-License-Identifier: Apache-2.0
"""The commands for those who keep a node running, and their help."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

Config = Annotated[
    Path, typer.Option("--config", "-c", metavar="CONFIG", help="The site's configuration.", show_default=True)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Seconds = Annotated[float, typer.Option("--timeout", min=0, max=86_400, help="Give up waiting after so many seconds.")]
DEFAULT_CONFIG = Path("config.yaml")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `dokuei`."""
    for command in (selftest, hold, replay, drain, backup, restore, ledger):
        app.command()(command)


def _module(name: str) -> Any:
    return import_module(f"service.cli.{name}")


def selftest(
    config: Config = DEFAULT_CONFIG,
    pipeline: Annotated[
        str | None, typer.Option(help="Test this pipeline; the first that is configured if absent.")
    ] = None,
    peer: Annotated[
        str | None, typer.Option(help="Send as this entry of 'peers'; one that this machine may send as if absent.")
    ] = None,
    timeout: Seconds = 300,
    orthanc: Annotated[
        str | None, typer.Option(metavar="URL", help="Delete the test study there afterwards, by Orthanc's REST API.")
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Send a phantom study through the running node to its destinations, and ask them whether the result is there.

    The study is of the patient DOKUEI^SELFTEST, number DOKUEI-SELFTEST, and never raises a priority. What it leaves at
    the destinations is named at the end, for you to delete: no PACS lets a sender do that.

    Exit status 0 when every destination has the result, 1 when not, 2 when the test cannot be made.
    """
    raise typer.Exit(
        _module("selftest").selftest(
            config, pipeline=pipeline, peer=peer, seconds=timeout, orthanc=orthanc, as_json=as_json
        )
    )


def hold(
    destination: Annotated[str, typer.Argument(metavar="DESTINATION", help="Its name in config.yaml.")],
    config: Config = DEFAULT_CONFIG,
    *,
    release: Annotated[bool, typer.Option("--release", help="Send to it again.")] = False,
    as_json: Json = False,
) -> None:
    """Send nothing more to a destination until you release it; results wait, across restarts too.

    The node may be running or not; one that runs goes on within a minute after a release.
    """
    raise typer.Exit(_module("hold").hold(config, destination, release=release, as_json=as_json))


def replay(
    study: Annotated[
        str | None, typer.Argument(metavar="[STUDY]", help="Study Instance UID, or the study_key of the log.")
    ] = None,
    config: Config = DEFAULT_CONFIG,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="All that arrived since: 2026-05-01T08:00, or 90m, 6h, 2d ago.")
    ] = None,
    pipeline: Annotated[str | None, typer.Option(help="By this pipeline alone.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Analyse stored studies again, with the present rules and packages; a running node begins within a minute.

    The same package on the same images comes to the same objects under the same UIDs, and they are sent again. Another
    package, or other rules, come to a new result that names the old one as its predecessor. Nobody is notified twice.

    Exit status 1 when a study was left out: its images are deleted, it is still arriving, or it is at work.
    """
    raise typer.Exit(_module("replay").replay(config, study, since=since, pipeline=pipeline, as_json=as_json))


def drain(
    config: Config = DEFAULT_CONFIG,
    timeout: Seconds = 600,
    *,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the node when it is done.")] = False,
    as_json: Json = False,
) -> None:
    """Have the running node take nothing more in, and wait until all that it has is analysed and delivered.

    Exit status 0 when nothing is left, 1 when something is after the time, 2 when no node runs. It goes on draining
    either way: a restart takes studies in again. What waits for a destination that a person holds is not waited for.
    """
    raise typer.Exit(_module("drain").drain(config, seconds=timeout, stop=stop, as_json=as_json))


def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Is made; must not be there.")],
    config: Config = DEFAULT_CONFIG,
    *,
    as_json: Json = False,
) -> None:
    """Copy the ledger and every file that it names into a folder, while the node runs or not.

    Exit status 0 when the backup is whole, 1 when files that the ledger names are missing (they are listed).
    """
    raise typer.Exit(_module("backup").backup(config, folder, as_json=as_json))


def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `dokuei backup` made.")],
    config: Config = DEFAULT_CONFIG,
    *,
    as_json: Json = False,
) -> None:
    """Put a backup into the empty data folder (and empty database) of config.yaml, every file checked by its digest.

    Exit status 0 when all is there, 1 when the backup is damaged or does not fit, which changes nothing.
    """
    raise typer.Exit(_module("backup").restore(config, folder, as_json=as_json))


def ledger(
    config: Config = DEFAULT_CONFIG,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="REVISION", help="Take the stopped node's ledger there: 0007, or head."),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Show the revision of the ledger's tables, or change it: down before an older version is installed.

    A node migrates upwards by itself. Exit status 1 when the ledger is newer than this version.
    """
    raise typer.Exit(_module("ledger").ledger(config, to=to, as_json=as_json))
