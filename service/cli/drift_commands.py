# SPDX-License-Identifier: Apache-2.0
"""The commands of `dokuei drift` and their help."""

from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

drift_app = typer.Typer(
    no_args_is_help=True,
    help="See whether studies are still like those that a model package is watched by, and answer alarms.\n\n"
    "While an alarm stands, results say that performance is not assured. The node may be running or not; see "
    "docs/drift.md.",
)

Config = Annotated[Path, typer.Argument(metavar="CONFIG", help="The site's configuration, for example config.yaml.")]
Model = Annotated[str, typer.Option("--model", metavar="NAME", help="The package's name, from `dokuei drift list`.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of a table.")]
HERE = Path("config.yaml")


class Then(StrEnum):
    """What becomes of the watch."""

    KEEP = "keep"
    RESTART = "restart"
    RELEARN = "relearn"


def _command() -> Any:
    return import_module("service.cli.drift")


@drift_app.command("list")
def list_watches(config: Config = HERE, *, as_json: Json = False) -> None:
    """Show the watch over each package: usual, alarm or learning, and since when. Exit status 1 while an alarm stands.

    Score PSI is the population stability index of the latest scores; what is usual for it: docs/drift.md.
    """
    raise typer.Exit(_command().list_watches(config, as_json=as_json))


@drift_app.command()
def acknowledge(
    config: Config = HERE,
    *,
    model: Model,
    by: Annotated[str, typer.Option("--by", metavar="PERSON", help="Who has looked into it.")],
    note: Annotated[str, typer.Option("--note", help="What was found; no patient's name.")] = "",
    then: Annotated[
        Then,
        typer.Option(
            help="keep: the alarm stands. restart: the cause is mended, watch anew by the same reference. relearn: the "
            "change is here to stay, collect studies for a new baseline."
        ),
    ] = Then.KEEP,
) -> None:
    """Say that a person has seen an alarm, and what is to become of the watch."""
    raise typer.Exit(_command().acknowledge(config, model, by=by, note=note, then=then.value))


@drift_app.command()
def reference(
    config: Config = HERE,
    *,
    model: Model,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="First day of the reference period.")] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Day after its last.")] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="PERSON", help="Who confirms that these studies are usual.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what the site's own studies of a period look like; with --by, make them the reference of the watch.

    Nothing is learned without a person: a period in which something was wrong would make the wrong usual.
    """
    raise typer.Exit(_command().reference(config, model, since=since, until=until, by=by, as_json=as_json))
