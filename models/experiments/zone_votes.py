# SPDX-License-Identifier: Apache-2.0
"""Zone readers that vote against one reader of the same effort: the plain one, each member alone, and all together.

All are fitted to the zones of one recipe, with its passes and seed, and measured on phantoms and real films that none
has seen; each lowers its cuts by the recipe's own rule. The lungs of real films are those of a package's lung finder.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.ensemble import Member
from models.networks.zone_profusion import ABNORMAL, ZoneProfusion
from models.recipes.pneumoconiosis_cuts import enough
from models.recipes.pneumoconiosis_data import ZoneSet
from models.recipes.pneumoconiosis_evaluation import FilmReadings, rate, readings_of, zone_logits
from models.recipes.pneumoconiosis_members import train_ensemble
from models.recipes.pneumoconiosis_recipe import PneumoconiosisRecipe, ZoneNetwork
from models.recipes.pneumoconiosis_sets import draw_zones, held_out
from models.recipes.pneumoconiosis_training import Run, auc, kappa, train_zones
from models.train import read_recipe
from models.training.fit import FitError, Places
from models.training.recipe_file import RecipeError, digest
from service.inference.package import load_package
from service.pipelines.pneumoconiosis.reading import ABNORMAL as ABNORMAL_LEVEL

ALONE, TOGETHER = "one plain reader", "votes, mean of the logits"
_DRAWS = 2000


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, measure and print the table; a run that was stopped goes on from the checkpoints in `--out`."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(1)
    try:
        _, recipe = read_recipe(options.recipe, effort="quick" if options.quick else None)
        if not isinstance(recipe, PneumoconiosisRecipe):
            sys.stderr.write(
                f"zone_votes: {options.recipe} is of the pipeline {recipe.pipeline}; give another recipe\n"
            )
            return 2
        options.out.mkdir(parents=True, exist_ok=True)
        places = Places(checkpoints=options.out, resume=True, identity=digest(recipe), progress=False)
        sys.stdout.write(f"{compare(recipe, options.package, places=places)}\n")
    except (RecipeError, FitError) as error:
        sys.stderr.write(f"zone_votes: {error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.experiments.zone_votes", description=__doc__)
    parser.add_argument("recipe", type=Path, metavar="RECIPE.yaml", help="of pneumoconiosis, with a section ensemble")
    parser.add_argument("--package", type=Path, required=True, metavar="FOLDER", help="whose lung finder is used")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="for checkpoints")
    parser.add_argument("--quick", action="store_true", help="lay the recipe's effort.quick over it")
    return parser


class PackageLungs(nn.Module):
    """The lung finder of a package, as if it were a network: films (N, 1, 256, 256) to masks (N, 3, 256, 256)."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._package = load_package(folder)

    def forward(self, film: Tensor) -> Tensor:
        """Return the probabilities."""
        return torch.from_numpy(self._package.run("lungseg", {"film": film.numpy()})["masks"])


def compare(recipe: PneumoconiosisRecipe, package: Path, *, places: Places) -> str:
    """Train the readers of a recipe with an ensemble and return the table of what they make of unseen zones.

    Raises
    ------
    RecipeError
        The recipe has no ensemble, or names real films that are not there.
    """
    if recipe.ensemble is None:
        raise RecipeError("the recipe has no section ensemble; add one, or give another recipe")
    zones, tuning = draw_zones(recipe)
    run = Run(name="zones", places=places)
    alone = train_zones(zones, passes=recipe.fit.zones, seed=recipe.seed, run=run, network=ZoneNetwork())
    ensemble = train_ensemble(zones, recipe, recipe.ensemble, places=places)
    sets = held_out(recipe, PackageLungs(package))
    seen = {"scanner-shift": sets.shifted, "in-domain": sets.in_domain, **({"films": sets.films} if sets.films else {})}
    asked = [*tuning, *seen.values()]
    networks = {ALONE: alone.eval(), **dict(zip(ensemble.names, ensemble.networks, strict=True))}
    found = {name: [Zones.of(network, data) for data in asked] for name, network in networks.items()}  # type: ignore[arg-type]
    found[TOGETHER] = [mean(parts, ensemble.weights.numpy()) for parts in zip(*list(found.values())[1:], strict=True)]
    lowered = {name: lowered_by_tuning(each, count=len(tuning)) for name, each in found.items()}
    return table({name: dict(zip(seen, each, strict=True)) for name, each in lowered.items()}, ensemble.members)


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Zones:
    """What a reader says of the zones of a set: logits (N, 11) and (N, 6)."""

    data: ZoneSet
    profusion: NDArray[np.float32]
    shape: NDArray[np.float32]

    @classmethod
    def of(cls, reader: ZoneProfusion, data: ZoneSet) -> "Zones":
        """Let a reader read a set."""
        profusion, shape = zone_logits(reader, data)
        return cls(data=data, profusion=profusion, shape=shape)

    @property
    def levels(self) -> NDArray[np.int64]:
        """The true levels (N,)."""
        return np.asarray(self.data.levels.numpy())

    @property
    def auc(self) -> float:
        """Of 1/0 or more against 0/0 or less."""
        return self.auc_of(np.arange(len(self.levels)))

    def auc_of(self, zones: NDArray[np.int64]) -> float:
        """Return the AUC over some zones, each as often as it is named; NaN where all are of one kind."""
        levels = self.levels[zones]
        sick, clear = levels >= ABNORMAL_LEVEL, levels <= 1
        if not sick.any() or not clear.any():
            return float("nan")
        told = sick | clear
        return auc(self.profusion[zones, ABNORMAL][told].astype(np.float64), sick[told])

    @property
    def kappa(self) -> float:
        """Of the 12-point scale, with quadratic weights."""
        steps = (1 / (1 + np.exp(-self.profusion.astype(np.float64)))).sum(axis=1)
        return kappa(self.levels, np.rint(steps).astype(np.int64))

    @property
    def films(self) -> FilmReadings:
        """The films as they are read."""
        return readings_of(self.profusion, self.shape, self.data)


def mean(parts: Sequence[Zones], weights: NDArray[np.floating]) -> Zones:
    """Return what `ZoneEnsemble` reads of one set: the weighted means of its members' logits."""
    profusion, shape = (
        np.tensordot(weights, np.stack([getattr(part, name) for part in parts]), axes=1).astype(np.float32)
        for name in ("profusion", "shape")
    )
    return Zones(data=parts[0].data, profusion=profusion, shape=shape)


def lowered_by_tuning(each: Sequence[Zones], *, count: int) -> list[Zones]:
    """Lower the logits by what the first `count` sets, which are for tuning, ask for; return the other sets."""
    amount = np.float32(max(enough(part.profusion, part.shape, part.data) for part in each[:count]))
    return [replace(part, profusion=part.profusion - amount) for part in each[count:]]


def gain(more: Zones, less: Zones) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two AUCs of one set; bodies are drawn with replacement.

    Draws that lack one kind of zones do not count; NaN where all do.
    """
    rng = np.random.default_rng(0)
    bodies = more.data.bodies
    own = [np.flatnonzero(bodies == body) for body in np.unique(bodies)]
    drawn = (np.concatenate([own[index] for index in rng.integers(len(own), size=len(own))]) for _ in range(_DRAWS))
    differences = np.array([more.auc_of(zones) - less.auc_of(zones) for zones in drawn])
    known = differences[np.isfinite(differences)]
    low, high = np.quantile(known, [0.025, 0.975]) if known.size else (np.nan, np.nan)
    return float(low), float(high)


def table(found: Mapping[str, Mapping[str, Zones]], members: Sequence[Member]) -> str:
    """Return the figures as Markdown, unseen scanners first, and how much the votes gain."""
    conditions = [name for name in next(iter(found.values())) if name != "films"]
    heads = [f"{condition}: {figure}" for condition in conditions for figure in ("AUC", "kappa")]
    heads += ["normal real films called", "drawn opacities found"] if "films" in found[TOGETHER] else []
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---|' * len(heads)}"]
    for name, sets in found.items():
        cells = [f"{value:.3f}" for each in conditions for value in (sets[each].auc, sets[each].kappa)]
        lines.append(f"| {name} | {' | '.join([*cells, *_film_cells(sets)])} |")
    told = "; ".join(f"{member.name} {member.error:.3f}, {member.alpha:.2f}" for member in members)
    return "\n".join([*lines, "", *_gains(found, conditions), f"Out-of-fold error and weight: {told}."])


def _film_cells(sets: Mapping[str, Zones]) -> Iterator[str]:
    if "films" in sets:
        films = sets["films"].films
        yield from (str(rate(films.called[asked])) for asked in (films.clear, films.abnormal))


def _gains(found: Mapping[str, Mapping[str, Zones]], conditions: Sequence[str]) -> Iterator[str]:
    for name in found:
        for condition in conditions if name != TOGETHER else ():
            low, high = gain(found[TOGETHER][condition], found[name][condition])
            yield f"Votes against {name}, {condition}: AUC {low:+.3f} to {high:+.3f} (95 % interval)."


if __name__ == "__main__":
    sys.exit(main())
