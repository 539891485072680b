# SPDX-License-Identifier: Apache-2.0
"""How commands talk to a person or to a script."""

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

WIDTH_OF_A_FILE = 200
"""Columns when nobody looks: a log or a pipe must not fold tables at 80."""

console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH_OF_A_FILE)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def complain(message: str) -> None:
    """Print an error."""
    errors.print(f"dokuei: {message}", markup=False)


def stop(message: str, *, status: int) -> NoReturn:
    """Print an error and leave with an exit status."""
    complain(message)
    sys.exit(status)


def print_json(value: Any) -> None:
    """Print JSON for scripts."""
    console.print_json(json.dumps(value, default=str, ensure_ascii=False))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table that a person can read and copy from."""
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
