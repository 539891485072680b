# SPDX-License-Identifier: Apache-2.0
"""Runs the parts of the experiment one after the other, from what is kept where it can, and writes the pages."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from models.experiments.report001.arms import ARMS, ArmPlan, compare_arms
from models.experiments.report001.cells import Cell, Design, control_cells, site_cells
from models.experiments.report001.measuring import Collection, Measured, described, kept_or_measured, measure
from models.experiments.report001.page import (
    arms_markdown,
    as_markdown,
    control_markdown,
    kinds_markdown,
    sites_markdown,
)
from models.experiments.report001.table import as_csv, row
from models.experiments.report001.training import Effort
from models.generative.wgan import GanPlan

Step = Callable[[], object]
PARTS = ("table", "control", "sites", "arms")
"""The table, its networks trained on shuffled scanners, without one site, and the arms with invented disease."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """What is measured: the design and the cells of the table, how the arms are trained, and which parts are run."""

    design: Design
    cells: tuple[Cell, ...]
    arm_epochs: float = 2.0
    gan: GanPlan = field(default_factory=GanPlan)
    parts: tuple[str, ...] = PARTS


def steps_of(experiment: Experiment, films: Collection) -> int:
    """Return how often `step` is called."""
    networks = experiment.design.networks
    steps = {
        "table": len(experiment.cells),
        "control": len(control_cells(networks)) if films.shuffled is not None else 0,
        "sites": len(site_cells(networks[:1], _sites(films))),
        "arms": (1 + len(ARMS)) * experiment.design.folds,
    }
    return sum(steps[part] for part in experiment.parts)


def run(experiment: Experiment, films: Collection, out: Path, *, step: Step) -> tuple[Path, ...]:
    """Measure what `out` does not keep yet, part after part; each part's page is written when it is there.

    The last page holds all of them. Films of a site have no control: their scanners cannot be shuffled.
    """
    makers = {"table": _table, "control": _controls, "sites": _left_out, "arms": _arms}
    wanted = [part for part in PARTS if part in experiment.parts and (part != "control" or films.shuffled is not None)]
    written = [makers[part](experiment, films, out, step=step) for part in wanted]
    page = out / "report001.md"
    page.write_text("\n".join(path.read_text("utf-8") for path in written), encoding="utf-8")
    return (*written, page)


def _sites(films: Collection) -> list[str]:
    return [str(name) for name in np.unique(films.collected.sites)]


def _measured(
    cells: Iterable[Cell], experiment: Experiment, films: Collection, out: Path, *, step: Step
) -> dict[Cell, Measured]:
    told: dict[Cell, Measured] = {}
    for cell in cells:
        path = out / "cells" / f"{cell.name}.json"
        about = described(cell, films, experiment.design)
        told[cell] = kept_or_measured(path, about, lambda cell=cell: measure(cell, films, experiment.design))  # type: ignore[misc]
        step()
    return told


def _table(experiment: Experiment, films: Collection, out: Path, *, step: Step) -> Path:
    told = _measured(experiment.cells, experiment, films, out, step=step)
    rows = [row(cell, measured, films.collected) for cell, measured in told.items()]
    (out / "table.csv").write_text(as_csv(rows), encoding="utf-8")
    return _write(out / "table.md", as_markdown(films.collected, experiment.design, rows))


def _controls(experiment: Experiment, films: Collection, out: Path, *, step: Step) -> Path:
    if films.shuffled is None:
        raise ValueError("the control needs films with shuffled scanners, which only phantoms have")
    told = _measured(control_cells(experiment.design.networks), experiment, films, out, step=step)
    rows = [row(cell, measured, films.shuffled) for cell, measured in told.items()]
    page = control_markdown(rows)
    return _write(out / "control.md", page + "\n" + kinds_markdown(films.shuffled, told))


def _left_out(experiment: Experiment, films: Collection, out: Path, *, step: Step) -> Path:
    told: dict[Cell, Measured | None] = {}
    for cell in site_cells(experiment.design.networks[:1], _sites(films)):
        rest = films.collected.labels[films.collected.sites != cell.left_out_site]
        if rest.any() and not rest.all():
            told.update(_measured([cell], experiment, films, out, step=step))
            continue
        told[cell] = None
        step()
    return _write(out / "sites.md", sites_markdown(films.collected, told))


def _arms(experiment: Experiment, films: Collection, out: Path, *, step: Step) -> Path:
    own = films.collected if films.shuffled is None else films.shuffled
    design = experiment.design
    trained = len(own.patches) * (design.folds - 1) / design.folds
    plan = ArmPlan(
        effort=Effort(
            network=design.networks[0],
            steps=max(1, round(experiment.arm_epochs * trained / 16)),
            batch=16,
            learning_rate=design.learning_rate,
            seed=design.seed,
        ),
        gan=experiment.gan,
        folds=design.folds,
        checkpoints=out / "gan",
    )
    told = kept_or_measured(
        out / "cells" / "arms.json",
        [plan.described(), films.name, len(own)],
        lambda: compare_arms(own, plan, step=step),
    )
    return _write(out / "arms.md", arms_markdown(own, told))


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
