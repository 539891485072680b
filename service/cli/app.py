# SPDX-License-Identifier: Apache-2.0
"""The commands of `dokuei` and their help; each is a few lines over one module of this room."""

from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from service import __version__
from service.cli.console import stop
from service.cli.drift_commands import drift_app
from service.cli.models_audit import audit
from service.cli.models_commands import register
from service.cli.operations import register as register_operations
from service.cli.phantom_commands import phantom_app
from service.domain.errors import DokueiError
from service.domain.member import Role
from service.settings import SettingsError

app = typer.Typer(
    name="dokuei",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A headless DICOM node for computer-aided diagnosis: it receives studies, analyses them and sends the results "
    "back as Structured Reports and heatmaps.\n\nResearch software: not for diagnosis.",
)
models_app = typer.Typer(no_args_is_help=True, help="List, check, make, sign, promote and install model packages.")
register(models_app)
app.add_typer(models_app, name="models")
models_app.command("audit")(audit)
quarantine_app = typer.Typer(
    no_args_is_help=True,
    help="See what was not let in and why, and let out what may be let out.\n\n"
    "Objects whose structure or identity is in doubt, second versions of instances, and studies that killed their "
    "worker process twice wait here for a person. The node may be running or not.",
)
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(phantom_app, name="phantom")
app.add_typer(drift_app, name="drift")
register_operations(app)

Config = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="The site's configuration, for example config.yaml.", show_default=True)
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="CONFIG", help="The site's configuration; defaults otherwise.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of a table.")]
DEFAULT_CONFIG = Path("config.yaml")


def _command(name: str) -> Any:
    """Return a command's module when it is called: loading all of them takes seconds, and --help needs none."""
    return import_module(f"service.cli.{name}")


@app.callback(invoke_without_command=True)
def dokuei(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Handle the options that stand before a command."""
    if version:
        typer.echo(f"dokuei {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        raise typer.Exit(2)


@app.command()
def run(
    config: Config = DEFAULT_CONFIG,
    *,
    role: Annotated[
        Role,
        typer.Option(help="What this process does. Several receivers, workers and senders share one PostgreSQL "
                          "database and one data folder, with the same config.yaml (docs/scale-out.md)."),
    ] = Role.ALL,
    name: Annotated[
        str | None,
        typer.Option(help="With --role: its name among those processes, the same after a restart.",
                     show_default="host and role"),
    ] = None,
) -> None:  # fmt: skip
    """Run the node until it is told to stop (SIGTERM or Ctrl-C: it finishes what it is receiving first)."""
    _command("run").run(config, role=role, name=name)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Holds 'studies' with DICOM files; results and previews go here too.")],
) -> None:
    """Send sample studies through a node into a small archive on this machine, and show what came back.

    `make demo` draws the sample studies first. Everything stays on loopback; nothing of it is for clinical use.
    """
    raise typer.Exit(_command("demo").demo(folder))


@app.command()
def check(config: Config = DEFAULT_CONFIG, *, as_json: Json = False) -> None:
    """Check a configuration and the packages it names: every problem at once, with its line, then the effective values.

    Exit status 0 when the node would start with it, 2 when not.
    """
    raise typer.Exit(_command("check").check(config, as_json=as_json))


@app.command()
def doctor(config: Config = DEFAULT_CONFIG, *, as_json: Json = False) -> None:
    """Look at this machine as the node would: disk, clock, ports, decoders, ONNX Runtime, packages, destinations.

    Exit status 0 when all is well, 1 when something needs attention.
    """
    raise typer.Exit(_command("doctor").doctor(config, as_json=as_json))


@app.command()
def route(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="DICOM files, or folders of them.")],
    config: ConfigOption = None,
    *,
    as_json: Json = False,
) -> None:
    """Show which rule each study among the files would match, which pipelines it would get, and why or why not."""
    raise typer.Exit(_command("route").route(files, config, as_json=as_json))


@models_app.command("list")
def models_list(config: ConfigOption = None, *, as_json: Json = False) -> None:
    """List the installed model packages."""
    raise typer.Exit(_command("models").list_installed(config, as_json=as_json))


@models_app.command("check")
def models_check(
    folders: Annotated[
        list[Path] | None, typer.Argument(metavar="[PACKAGE...]", help="Folders or .cadpkg files; all if absent.")
    ] = None,
    config: ConfigOption = None,
    provider: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Check on this one; may be given several times. Those of inference.provider that are here if absent.",
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, max=86_400, help="Longest that one package may take.")] = 600,
    memory: Annotated[
        int, typer.Option(min=500_000_000, help="Address space, in bytes, of the process that checks a package.")
    ] = 12_000_000_000,
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="The checks of loading alone, without golden studies.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make every check of packages, each in its own process: files, signatures, graphs, golden results and studies.

    Golden studies run through the real pipeline, and must come to what they came to at the maker's, on each provider.
    Exit status 1 when a package would be refused. Good for a timer, once a day: a new library or processor may change
    what a model says.
    """
    limits = {"seconds": seconds, "memory_bytes": memory, "quick": quick}
    code = _command("models").check(folders or [], config, providers=provider or (), limits=limits, as_json=as_json)
    raise typer.Exit(code)


@app.command()
def status(config: Config = DEFAULT_CONFIG, *, as_json: Json = False) -> None:
    """Show the studies of a node, its queues and destinations, from the ledger (the node may be running or not)."""
    raise typer.Exit(_command("status").status(config, as_json=as_json))


@app.command()
def reload(config: Config = DEFAULT_CONFIG, *, as_json: Json = False) -> None:
    """Have the running node take over the model packages and providers of its configuration, without a restart.

    As SIGHUP does. A package that fails its checks leaves the old one in service; studies end as they began.
    """
    raise typer.Exit(_command("reload").reload(config, as_json=as_json))


@app.command()
def shadows(config: Config = DEFAULT_CONFIG, *, as_json: Json = False) -> None:
    """Show how shadow packages compare with the active ones on the same studies (the node may be running or not)."""
    raise typer.Exit(_command("shadows").shadows(config, as_json=as_json))


@app.command()
def retry(
    config: Config = DEFAULT_CONFIG,
    destination: Annotated[str | None, typer.Option(help="Only results for this destination.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Send again what destinations refused for good; a running node picks it up within a minute."""
    raise typer.Exit(_command("retry").retry(config, destination, as_json=as_json))


@app.command()
def viewer(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name that the viewer signs in with.")],
) -> None:
    """Ask for a password and print the line of a viewer for http.viewers.passwords_file: a name and a salted hash.

    (umask 027; dokuei viewer dr.sato >> /etc/dokuei/viewers)
    """
    raise typer.Exit(_command("viewer").viewer(name))


Identity = Annotated[
    bool, typer.Option("--identity", help="Show UIDs too: they name a patient's study, keep them out of tickets.")
]
Entry = Annotated[int, typer.Argument(metavar="NUMBER", help="The entry's number, from `dokuei quarantine list`.")]


@app.command()
def held(
    config: Config = DEFAULT_CONFIG,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Show so many, the latest first.")] = 50,
    *,
    forget: Annotated[bool, typer.Option("--forget", help="Forget them instead: somebody has seen to it.")] = False,
    identity: Identity = False,
    as_json: Json = False,
) -> None:
    """List the result objects that failed the checks before sending, and why; exit status 1 when there are any.

    The reasons are shown without the values that they are about; the files lie under storage.folder/results.
    """
    if forget:
        raise typer.Exit(_command("held").forget(config))
    raise typer.Exit(_command("held").held(config, limit=limit, identity=identity, as_json=as_json))


@quarantine_app.command("list")
def quarantine_list(
    config: Config = DEFAULT_CONFIG,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Show so many, the latest first.")] = 50,
    *,
    identity: Identity = False,
    as_json: Json = False,
) -> None:
    """List what is kept aside, the latest first: when it came, why it is here, from which peer, how large it is."""
    raise typer.Exit(_command("quarantine").list_entries(config, limit=limit, identity=identity, as_json=as_json))


@quarantine_app.command("show")
def quarantine_show(
    number: Entry, config: Config = DEFAULT_CONFIG, *, identity: Identity = False, as_json: Json = False
) -> None:
    """Show one entry: what is wrong, where in the file (its structure up to there, no values), and what to do."""
    raise typer.Exit(_command("quarantine").show(config, number, identity=identity, as_json=as_json))


@quarantine_app.command("release")
def quarantine_release(
    number: Entry,
    config: Config = DEFAULT_CONFIG,
    *,
    discard: Annotated[bool, typer.Option("--discard", help="Delete it instead; there is no way back.")] = False,
) -> None:
    """Let an entry out: an object is admitted leniently, a study is analysed again. Exit status 1 when it stays.

    What could belong to another patient, or be another object than it says, is never let out: have it sent again.
    """
    raise typer.Exit(_command("quarantine").release(config, number, discard=discard))


def main() -> None:
    """Run the command line; errors that we raise on purpose become one message and an exit status."""
    try:
        app()
    except SettingsError as error:
        stop(str(error), status=2)
    except DokueiError as error:
        stop(str(error), status=1)
