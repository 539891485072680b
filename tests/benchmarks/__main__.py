# SPDX-License-Identifier: Apache-2.0
"""Measures the node beside named peers in the same run; `python -m tests.benchmarks --out build/benchmarks.json`."""

import argparse
import json
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from harness.proc import file_system
from tests.benchmarks.around_graphs import measure_around_graphs
from tests.benchmarks.associations import (
    measure_cpu,
    measure_huge_object,
    measure_idle,
    measure_memory,
    measure_set_up,
)
from tests.benchmarks.bench import Bench
from tests.benchmarks.encoding import measure_encoding
from tests.benchmarks.graphs import measure_graphs
from tests.benchmarks.load import measure_burst, measure_commits, measure_journal, measure_steady
from tests.benchmarks.long_series import measure_long_series
from tests.benchmarks.measure import Measurement
from tests.benchmarks.one_exam import measure_one_exam
from tests.benchmarks.one_film import measure_one_film
from tests.benchmarks.pass_lines import line_for
from tests.benchmarks.receiving import dcmtk_sender_benchmarks, durable_benchmarks, not_flushed_benchmarks
from tests.benchmarks.result_sets import measure_result_sets
from tests.benchmarks.scraping import measure_scraping
from tests.benchmarks.sending import measure_sending
from tests.benchmarks.shadowing import measure_shadowing
from tests.benchmarks.status_page import measure_status_page
from tests.benchmarks.turnaround import measure_turnaround

BENCHMARKS: dict[str, Callable[[Bench], Iterable[Measurement]]] = {
    **not_flushed_benchmarks(),
    **durable_benchmarks(),
    **dcmtk_sender_benchmarks(),
    "association-set-up": measure_set_up,
    "association-idle": measure_idle,
    "association-memory": measure_memory,
    "association-cpu": measure_cpu,
    "huge-object": measure_huge_object,
    "send": measure_sending,
    "load-steady": measure_steady,
    "load-commits": measure_commits,
    "load-journal": measure_journal,
    "load-burst": measure_burst,
    "turnaround": measure_turnaround,
    "encode-maps": measure_encoding,
    "encode-sets": measure_result_sets,
    "graphs": measure_graphs,
    "around-graphs": measure_around_graphs,
    "one-film": measure_one_film,
    "one-exam": measure_one_exam,
    "long-series": measure_long_series,
    "shadow": measure_shadowing,
    "status-page": measure_status_page,
    "scrape": measure_scraping,
}


def main() -> None:
    """Run the chosen benchmarks, write one list of measurements and print a table."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is stopped then, and folders go
    options = _options()
    chosen = [name for name in BENCHMARKS if re.search(options.only, name)]
    if not chosen:
        raise SystemExit(f"--only {options.only!r} matches none of: {', '.join(BENCHMARKS)}")
    with (
        tempfile.TemporaryDirectory(prefix="dokuei-bench-", dir=options.disk) as disk,
        tempfile.TemporaryDirectory(prefix="dokuei-bench-", dir=options.memory) as memory,
    ):
        bench = Bench(
            disk=Path(disk),
            memory=Path(memory),
            samples=Path(disk) / "samples",
            repeats=options.repeats or (2 if options.quick else 5),
            quick=options.quick,
            load_seconds=options.load_seconds,
            graphs=options.graphs,
        )
        places = f"durable on {file_system(bench.disk)}, not flushed on {file_system(bench.memory)}"
        found: list[Measurement] = []
        failures: dict[str, str] = {}
        for entry in _measured(bench, chosen, failures):
            found.append(entry)
            _write(found, options.out)
    _print(found, failures, places)
    raise SystemExit(bool(failures))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks.json"))
    parser.add_argument("--only", default="", metavar="PATTERN", help="regular expression over the benchmarks' names")
    parser.add_argument(
        "--graphs", default="", metavar="PATTERN", help="the same over the graphs of benchmark 'graphs'"
    )
    parser.add_argument("--repeats", type=int, default=0, help="timed runs of each (default 5; quick: 2)")
    parser.add_argument("--quick", action="store_true", help="short runs: for trying out, not for judging")
    parser.add_argument("--load-seconds", type=float, default=60.0, help="length of the steady load (goal 1: 600)")
    parser.add_argument("--disk", type=Path, default=None, help="folder on a real file system (default: $TMPDIR)")
    parser.add_argument("--memory", type=Path, default=Path("/dev/shm"), help="folder on tmpfs")  # noqa: S108
    return parser.parse_args()


def _measured(bench: Bench, chosen: list[str], failures: dict[str, str]) -> Iterator[Measurement]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        whole = progress.add_task("benchmarks", total=len(chosen))
        for name in chosen:
            progress.update(whole, description=name)
            bench.advance = progress.console.log
            try:
                yield from BENCHMARKS[name](bench)
            except Exception as error:  # noqa: BLE001 - one benchmark that fails must not take the others' numbers
                failures[name] = f"{type(error).__name__}: {error}"
                progress.console.log(traceback.format_exc())
            progress.advance(whole)


def _write(found: list[Measurement], out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([as_line(entry) for entry in found], indent=1) + "\n")


def as_line(entry: Measurement) -> dict[str, object]:
    """Return a line of benchmarks.json: the measurement, its pass line and whether it is reached (null: none)."""
    line = line_for(entry)
    return {
        **asdict(entry),
        "pass_line": str(line) if line else "",
        "reached": line.reached_by(entry) if line else None,
    }


def _print(found: list[Measurement], failures: dict[str, str], places: str) -> None:
    table = Table(title=f"Benchmarks ({places})", title_justify="left")
    for heading in ("benchmark", "value", "unit", "against", "ratio", "spread", "pass line", ""):
        table.add_column(heading)
    for entry in found:
        line = line_for(entry)
        verdict = "" if line is None else "reached" if line.reached_by(entry) else "NOT REACHED"
        ratio = f"{entry.ratio:.2f}" if entry.against else ""
        row = (entry.name, f"{entry.value:g}", entry.unit, entry.against, ratio, f"{entry.spread:.0%}")
        table.add_row(*row, str(line or ""), verdict)
    console = Console(width=200)
    console.print(table)
    judged = [line.reached_by(entry) for entry in found if (line := line_for(entry))]
    console.print(f"{sum(judged)} of {len(judged)} pass lines reached")
    for name, reason in failures.items():
        console.print(f"FAILED {name}: {reason}", markup=False)


if __name__ == "__main__":
    main()
