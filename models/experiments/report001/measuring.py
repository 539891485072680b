# SPDX-License-Identifier: Apache-2.0
"""Measures cells one by one and keeps each in a file of its own, so that an interrupted table goes on."""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.experiments.report001.cells import Cell, Design
from models.experiments.report001.films import FilmSet
from models.experiments.report001.folds import cross_validate, leave_one_site_out
from models.experiments.report001.training import as_input

Measured = Mapping[str, Any]
"""What a cell's file holds: scores of films and what they were made with."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Collection:
    """The films as collected, and the same patients with their scanners shuffled where they can be had.

    `name` says which films these are; kept cells of other films are not taken.
    """

    name: str
    collected: FilmSet
    shuffled: FilmSet | None = None


def kept_or_measured(path: Path, described: object, measure: Callable[[], Measured]) -> Measured:
    """Return what `path` keeps, or measure and keep it; `described` is all that the result depends on.

    Raises
    ------
    ValueError
        What is kept was made with something else.
    """
    made_with = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
    if path.exists():
        kept: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if kept["made_with"] != made_with:
            raise ValueError(
                f"{path} was measured with other films or settings (it has {kept['made_with']}, now {made_with}); "
                "give --out another folder, or remove that one"
            )
        return kept
    started = time.process_time()
    measured = {**measure(), "made_with": made_with}
    measured["cpu_seconds"] = round(time.process_time() - started, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(measured), encoding="utf-8")
    partial.rename(path)
    return measured


def described(cell: Cell, films: Collection, design: Design) -> list[object]:
    """Return all that a cell's result depends on; where it ran is not."""
    return [asdict(cell), {**asdict(design), "device": "", "networks": ""}, films.name, len(films.collected)]


def measure(cell: Cell, films: Collection, design: Design) -> Measured:
    """Train and read one cell.

    Raises
    ------
    ValueError
        It is a control, and these films have no shuffled form; or its training has one class alone.
    """
    effort = design.effort(cell, len(films.collected))
    if cell.left_out_site:
        inputs = as_input(films.collected.films, _lungs(films.collected, cell), size=design.size)
        scores = leave_one_site_out(films.collected, inputs, effort, site=cell.left_out_site)
        return {"scores": scores.tolist()}
    own = films.collected if cell.trained_on == "collected" else films.shuffled
    if own is None:
        raise ValueError(f"cell {cell.name} needs films with shuffled scanners, which only phantoms have")
    other = films.shuffled if cell.trained_on == "collected" else None
    told = cross_validate(
        own,
        as_input(own.films, _lungs(own, cell), size=design.size),
        effort,
        folds=design.folds,
        shuffled=None if other is None else as_input(other.films, _lungs(other, cell), size=design.size),
    )
    return {
        "scores": told.scores.tolist(),
        "shuffled": None if told.shuffled is None else told.shuffled.tolist(),
        "sites": told.sites.tolist(),
    }


def _lungs(films: FilmSet, cell: Cell) -> Any:
    return films.lungs if cell.masked else None
