# SPDX-License-Identifier: Apache-2.0
"""Tables in Markdown, and the places between two marks where they stand in a document."""

import re
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

MARKED = re.compile(r"(<!-- generated: ([a-z0-9-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
"""What stands between the marks is replaced; the name says by which table."""

Table = Callable[[], str]
Key = TypeVar("Key", bound=Hashable)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, its last line ended."""
    lines = [_line(head), "|" + "---|" * len(head), *map(_line, rows)]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


def filled(text: str, tables: Mapping[str, Table]) -> str:
    """Return the document with every marked place filled anew.

    Raises
    ------
    KeyError
        A mark names no table.
    """
    return MARKED.sub(lambda match: f"{match[1]}{_named(match[2], tables)()}{match[3]}", text)


def _named(name: str, tables: Mapping[str, Table]) -> Table:
    if name not in tables:
        raise KeyError(f"a document asks for the generated table {name!r}; there are {', '.join(sorted(tables))}")
    return tables[name]


def names_in(text: str) -> list[str]:
    """Return the tables that a document asks for."""
    return [match[2] for match in MARKED.finditer(text)]


def explained(texts: Mapping[Key, str], keys: Collection[Key], *, what: str) -> list[tuple[Key, str]]:
    """Return what is said of each key, in the order of the keys; nothing may be left unsaid, and nothing said of none.

    Raises
    ------
    ValueError
        The code has a key without a text, or a text is about nothing that the code has.
    """
    missing, left = [key for key in keys if key not in texts], [key for key in texts if key not in set(keys)]
    if missing or left:
        raise ValueError(f"{what}: no text for {missing}, and nothing in the code for texts of {left}; correct them")
    return [(key, texts[key]) for key in keys]


def hexadecimal(status: int) -> str:
    """Return a status as the standard writes it."""
    return f"0x{status:04X}"


def joined(values: Iterable[object]) -> str:
    """Return values in a row, without repetitions, in the order in which they come."""
    return ", ".join(dict.fromkeys(str(value) for value in values))
