# SPDX-License-Identifier: Apache-2.0
"""commands.toml: how each command of the documents is tried."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from doc_blocks import Block, Command, commands, shell_blocks

TABLE = Path(__file__).with_name("commands.toml")
WAYS = {"run", "served", "help", "make", "syntax"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table; see the head of commands.toml."""

    match: str
    how: str
    why: str = ""
    needs: str = ""
    before: str = ""
    instead: tuple[tuple[str, str], ...] = ()
    document: str = ""
    may_end_with: tuple[int, ...] = ()
    long: bool = False
    generic: bool = False

    def fits(self, command: Command) -> bool:
        return command.place.startswith(self.document) and re.search(self.match, command.text) is not None


def rows() -> list[Row]:
    """Return the rows in their order; the first that fits counts."""
    return [
        Row(
            **{
                **row,
                "instead": tuple(map(tuple, row.get("instead", []))),
                "may_end_with": tuple(row.get("may_end_with", [])),
            }
        )
        for row in table()["command"]
    ]


def table() -> Mapping[str, Any]:
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def row_of(command: Command, among: list[Row]) -> Row | None:
    return next((row for row in among if row.fits(command)), None)


def classified() -> list[tuple[Block, list[tuple[Command, Row | None]]]]:
    """Return every block for a shell with its commands and their rows."""
    known = rows()
    return [(block, [(command, row_of(command, known)) for command in commands(block)]) for block in shell_blocks()]
