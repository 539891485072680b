# SPDX-License-Identifier: Apache-2.0
"""Breaks the node in every way that a hospital does, and counts; `python -m tests.chaos --out build/chaos.json`."""

import argparse
import json
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from harness.postgres import PostgresServer
from tests.chaos import (
    archives,
    cutting,
    disk_full,
    drain,
    failing_calls,
    half_open,
    kill_node,
    members,
    same_instance,
    worker_deaths,
)
from tests.chaos.verdict import Chaos, Sizes, SkippedError, Verdict

SCENARIOS: dict[str, Callable[[Chaos], Verdict]] = {
    "same-instance": same_instance.run,
    "restart": cutting.run_restart,
    "disk-full": disk_full.run,
    "failing-calls": failing_calls.run,
    "half-open": half_open.run,
    "drain": drain.run,
    "archive-faults": archives.run_faults,
    "archive-restarts": archives.run_restarts,
    "worker-deaths": worker_deaths.run,
    "cut": cutting.run_cuts,
    "members": members.run,
    "kill": kill_node.run,
}
QUICK = Sizes(kills=5, studies=10, cuts=60, copies=100, senders=20, restarts=3)
DATABASES = ("sqlite", "postgresql")


def main() -> None:
    """Run the chosen scenarios on the chosen databases; exit status 1 when any does not pass."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped then, and folders go
    options = _options()
    chosen = [name for name in SCENARIOS if re.search(options.only, name)]
    if not chosen:
        raise SystemExit(f"--only {options.only!r} matches none of: {', '.join(SCENARIOS)}")
    verdicts: list[Verdict] = []
    for verdict in _verdicts(chosen, options):
        verdicts.append(verdict)
        _write(verdicts, options.out)
    _print(verdicts)
    raise SystemExit(not all(verdict.passed or verdict.skipped for verdict in verdicts))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/chaos.json"))
    parser.add_argument("--only", default="", metavar="PATTERN", help="regular expression over the scenarios' names")
    parser.add_argument("--database", choices=(*DATABASES, "both"), default="both")
    parser.add_argument("--quick", action="store_true", help="small sizes: for trying out, not for judging")
    parser.add_argument("--seed", type=int, default=20261120)
    for size in fields(Sizes):
        parser.add_argument(f"--{size.name}", type=int, default=None, help=f"default {size.default}")
    return parser.parse_args()


def sizes(options: argparse.Namespace) -> Sizes:
    """Return the sizes: those of the goals or the quick ones, and what the command line says otherwise."""
    given = {size.name: getattr(options, size.name) for size in fields(Sizes)}
    return replace(QUICK if options.quick else Sizes(), **{key: value for key, value in given.items() if value})


def _verdicts(chosen: list[str], options: argparse.Namespace) -> Iterator[Verdict]:
    databases = DATABASES if options.database == "both" else (options.database,)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        whole = progress.add_task("chaos", total=len(chosen) * len(databases))
        for database in databases:
            with _server(database) as server:
                for name in chosen:
                    progress.update(whole, description=f"{name} on {database}")
                    with tempfile.TemporaryDirectory(prefix="dokuei-chaos-", ignore_cleanup_errors=True) as folder:
                        chaos = Chaos(
                            folder=Path(folder),
                            database=database,
                            sizes=sizes(options),
                            seed=options.seed,
                            postgres=server,
                            progress=lambda text: progress.update(whole, description=text),
                        )
                        yield _verdict(name, chaos)
                    progress.advance(whole)


def _verdict(name: str, chaos: Chaos) -> Verdict:
    """Run a scenario; one that breaks off is a fault, not the end of all."""
    try:
        return SCENARIOS[name](chaos)
    except SkippedError as reason:
        return Verdict(name=name, database=chaos.database, skipped=str(reason))
    except Exception as error:  # noqa: BLE001 - the other scenarios must run
        traceback.print_exc()
        return Verdict(name=name, database=chaos.database, faults=(f"{type(error).__name__}: {error}"[:2_000],))


@contextmanager
def _server(database: str) -> Iterator[PostgresServer | None]:
    if database == "sqlite":
        yield None
        return
    server = PostgresServer()
    server.start()
    try:
        yield server
    finally:
        server.remove()


def _write(verdicts: list[Verdict], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = [{**asdict(verdict), "passed": verdict.passed} for verdict in verdicts]
    out.write_text(json.dumps(lines, indent=1) + "\n")


def _print(verdicts: list[Verdict]) -> None:
    table = Table(title="Chaos", title_justify="left", show_lines=True)
    for heading in ("scenario", "database", "kills", "lost", "doubled", "seconds", "", "found"):
        table.add_column(heading)
    for each in verdicts:
        word = "skipped" if each.skipped else "passed" if each.passed else "FAILED"
        numbers = (str(each.kills), str(each.lost), str(each.duplicated), f"{each.seconds:g}")
        said = (
            each.skipped or "; ".join(each.faults) or ", ".join(f"{key}: {value}" for key, value in each.found.items())
        )
        table.add_row(each.name, each.database, *numbers, word, said)
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
