# SPDX-License-Identifier: Apache-2.0
"""Turns columns into inputs: imputation, missingness, one-hot lists and scales, all learnt on training rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.fusion.table import Table

Kind = Literal["value", "missing", "category"]
MISSING_CODE = -2.0
UNSEEN_CODE = -1.0
MISSING_WORD = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input of the network, from one column.

    "value" is the column's number, its mean where missing; "missing" is 1 where the column has no value; "category" is
    1 where the column is `word` (MISSING_WORD: where it has none); of two words the second alone has an input, because
    twins would share their weight by chance. `code` is the word's place in the column's list.
    """

    column: str
    kind: Kind
    word: str = ""
    code: float = 0.0

    @property
    def name(self) -> str:
        """What it is called in reports."""
        if self.kind == "value":
            return self.column
        return f"{self.column} missing" if self.kind == "missing" or not self.word else f"{self.column}={self.word}"


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Preparation:
    """What was learnt on training rows.

    Parameters
    ----------
    means
        Of each numeric column's known values; they stand for missing ones.
    categories
        The words of each other column, sorted; their places are the codes.
    inputs
        J inputs, in order.
    centres, scales
        (J,) mean and standard deviation of each input; a constant input has the scale 1.
    """

    means: Mapping[str, float]
    categories: Mapping[str, tuple[str, ...]]
    inputs: tuple[Input, ...]
    centres: NDArray[np.float64]
    scales: NDArray[np.float64]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the matrix that `encode` makes, in order."""
        return (*self.means, *self.categories)

    def encode(self, table: Table) -> NDArray[np.float64]:
        """Return columns as numbers (N, columns): values, codes of words, UNSEEN_CODE, and NaN where missing."""
        numbers = [table.numbers[name] for name in self.means]
        codes = [_codes(table.words[name], words) for name, words in self.categories.items()]
        return np.stack([*numbers, *codes], axis=1)

    def transform(self, table: Table) -> NDArray[np.float64]:
        """Return the inputs (N, J), standardised."""
        raw = np.stack([_raw(each, table, self.means) for each in self.inputs], axis=1)
        return np.asarray((raw - self.centres) / self.scales)

    def unseen(self, table: Table) -> dict[str, int]:
        """Count the rows, by column, with a word that no training row had; all its inputs are 0 there."""
        counts = {
            name: int((_codes(table.words[name], words) == UNSEEN_CODE).sum())
            for name, words in self.categories.items()
        }
        return {name: count for name, count in counts.items() if count}


def prepare(table: Table) -> Preparation:
    """Learn from training rows.

    Raises
    ------
    ValueError
        A column has no value in any training row.
    """
    means = {name: _mean(name, column) for name, column in table.numbers.items()}
    categories = {name: tuple(sorted({*column.tolist()} - {""})) for name, column in table.words.items()}
    empty = [name for name, words in categories.items() if not words]
    if empty:
        raise ValueError(f"column {empty[0]!r} has no value in any training row; leave it out with --leave-out")
    inputs = (*_numeric_inputs(table), *_category_inputs(table, categories))
    raw = np.stack([_raw(each, table, means) for each in inputs], axis=1)
    deviations = raw.std(axis=0)
    return Preparation(
        means=means,
        categories=categories,
        inputs=inputs,
        centres=raw.mean(axis=0),
        scales=np.where(deviations > 1e-12, deviations, 1.0),
    )


def _mean(name: str, column: NDArray[np.float64]) -> float:
    known = column[~np.isnan(column)]
    if not len(known):
        raise ValueError(f"column {name!r} has no value in any training row; leave it out with --leave-out")
    return float(known.mean())


def _numeric_inputs(table: Table) -> list[Input]:
    inputs = [Input(column=name, kind="value") for name in table.numbers]
    return inputs + [
        Input(column=name, kind="missing") for name, column in table.numbers.items() if np.isnan(column).any()
    ]


def _category_inputs(table: Table, categories: Mapping[str, tuple[str, ...]]) -> list[Input]:
    inputs = []
    for name, words in categories.items():
        kept = list(enumerate(words))[-1:] if len(words) == 2 else enumerate(words)
        inputs += [Input(column=name, kind="category", word=word, code=float(code)) for code, word in kept]
        if (table.words[name] == "").any():
            inputs.append(Input(column=name, kind="category", word=MISSING_WORD, code=MISSING_CODE))
    return inputs


def _raw(each: Input, table: Table, means: Mapping[str, float]) -> NDArray[np.float64]:
    if each.kind == "category":
        return np.asarray(table.words[each.column] == each.word, dtype=np.float64)
    column = table.numbers[each.column]
    if each.kind == "missing":
        return np.isnan(column).astype(np.float64)
    return np.where(np.isnan(column), means[each.column], column)


def _codes(column: NDArray[np.str_], words: tuple[str, ...]) -> NDArray[np.float64]:
    places = {word: float(code) for code, word in enumerate(words)} | {"": np.nan}
    return np.array([places.get(word, UNSEEN_CODE) for word in column.tolist()])
