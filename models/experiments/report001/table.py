# SPDX-License-Identifier: Apache-2.0
"""The rows of the report's table, from measured cells to CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from models.experiments.report001.cells import Cell
from models.experiments.report001.films import FilmSet
from models.experiments.report001.measuring import Measured
from models.experiments.report001.statistics import Estimate, area_under_curve, proportion, undefined


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A cell with its numbers; `within_site` is the AUC inside the site that has most films of its rarer class."""

    cell: Cell
    accuracy: Estimate
    auc: Estimate
    within_site: Estimate
    shuffled: Estimate
    site_read: Estimate
    cpu_seconds: float


def row(cell: Cell, measured: Measured, films: FilmSet) -> Row:
    """Turn the scores of a cell over `films` into its row."""
    scores = np.array(measured["scores"])
    mixed = films.sites == mixed_site(films)
    shuffled = measured.get("shuffled")
    return Row(
        cell=cell,
        accuracy=proportion((scores > 0.5) == films.labels),
        auc=area_under_curve(scores, films.labels, films.patients),
        within_site=area_under_curve(scores[mixed], films.labels[mixed], films.patients[mixed]),
        shuffled=undefined(0) if shuffled is None else _auc(np.array(shuffled), films),
        site_read=proportion(np.array(measured["sites"]) == films.sites),
        cpu_seconds=measured["cpu_seconds"],
    )


def _auc(scores: NDArray[np.float64], films: FilmSet) -> Estimate:
    return area_under_curve(scores, films.labels, films.patients)


def mixed_site(films: FilmSet) -> str:
    """Return the site with most films of its rarer class."""
    names = np.unique(films.sites)
    rarer = [
        min((films.labels & (films.sites == name)).sum(), (~films.labels & (films.sites == name)).sum())
        for name in names
    ]
    return str(names[int(np.argmax(rarer))])


def commonest_site_share(films: FilmSet) -> float:
    """Return how often the site would be guessed by always naming the commonest."""
    return float(np.unique(films.sites, return_counts=True)[1].max() / len(films))


_ESTIMATES = ("accuracy", "auc", "within_site", "shuffled", "site_read")


def as_csv(rows: Sequence[Row]) -> str:
    """Return one line for each row, every estimate with its interval and number of films."""
    text = io.StringIO()
    measured = [f"{name}_{part}" for name in _ESTIMATES for part in ("value", "low", "high", "films")]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*asdict(rows[0].cell), *measured, "cpu_seconds"])
    for each in rows:
        numbers = [number for name in _ESTIMATES for number in _numbers(getattr(each, name))]
        writer.writerow([*asdict(each.cell).values(), *numbers, each.cpu_seconds])
    return text.getvalue()


def _numbers(found: Estimate) -> tuple[float | str, ...]:
    """Return value, low, high and films; nothing where it is not defined."""
    if np.isnan(found.value):
        return "", "", "", found.films
    return round(found.value, 4), round(found.low, 4), round(found.high, 4), found.films
