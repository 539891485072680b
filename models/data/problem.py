# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a labels file: every fault of it at once, each with its line, column, value, rule and remedy."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault; `line` counts from 1, the header's line."""

    line: int
    column: str
    value: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        return f"line {self.line}, column '{self.column}', value {self.value!r}: {self.rule}; {self.remedy}"


class LabelsError(ValueError):
    """A labels file that cannot be used as it is; `problems` holds every fault."""

    def __init__(self, where: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        listed = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{where}: {len(self.problems)} problems\n{listed}")


class DataError(ValueError):
    """A folder, a recipe or a split that cannot be used; the message says what and what to do."""
