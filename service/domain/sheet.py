# SPDX-License-Identifier: Apache-2.0
"""A form as people fill it in: questions in a fixed order, each with an answer or the words that it was not read."""

from dataclasses import dataclass
from typing import Final

NOT_READ: Final = "not read"
"""The answer to a question that nothing looked at; it must never be taken for "none"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """A question and its answer, both in printable ASCII; `is_read` is False where nothing looked at it."""

    name: str
    answer: str
    is_read: bool = True

    @classmethod
    def unread(cls, name: str, *, why: str = "") -> "SheetRow":
        """Return the row of a question that was not read, and why not."""
        return cls(name=name, answer=f"{NOT_READ} ({why})" if why else NOT_READ, is_read=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetSection:
    """Rows that belong together."""

    title: str
    rows: tuple[SheetRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingSheet:
    """The whole form; `note` says what it is not, and stands wherever the sheet is shown."""

    title: str
    note: str
    sections: tuple[SheetSection, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        """The sheet as lines of text, "Section - question: answer"."""
        return tuple(f"{section.title} - {row.name}: {row.answer}" for section in self.sections for row in section.rows)
