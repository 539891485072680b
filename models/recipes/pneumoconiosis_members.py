# SPDX-License-Identifier: Apache-2.0
"""Trains zone readers that vote and weighs them by zones of bodies that none of a fold's networks has seen."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from models.ensemble import Indices, Member, Probabilities, out_of_fold, samme_weights
from models.networks.zone_ensemble import ENSEMBLE_OUTPUTS, ZoneEnsemble, ZoneReader
from models.networks.zone_profusion import ABNORMAL, ZoneProfusion
from models.recipes.pneumoconiosis_data import ZoneSet
from models.recipes.pneumoconiosis_evaluation import read_films, zone_logits
from models.recipes.pneumoconiosis_recipe import Ensemble, PneumoconiosisRecipe, ZoneNetwork
from models.recipes.pneumoconiosis_training import Run, auc, read_zones, train_zones, zone_metrics
from models.training.fit import FitError, Places
from service.pipelines.pneumoconiosis.reading import ABNORMAL as ABNORMAL_LEVEL

_CLASSES = 2
"""Whether a zone has 1/0 or more."""
_FIGURES = ("AUC profusion >= 1/0 against <= 0/0", "quadratic weighted kappa, 12-point scale")


def train_ensemble(data: ZoneSet, recipe: PneumoconiosisRecipe, settings: Ensemble, *, places: Places) -> ZoneEnsemble:
    """Train every member on all zones, and once more for each fold without the bodies of the fold.

    The weights are SAMME's (see `models.ensemble`), from the errors on "1/0 or more" of a fold's zones. All films of a
    phantom or of a patient are in one fold.

    Raises
    ------
    FitError
        No member is better than guessing.
    """
    truth = np.asarray(data.levels.numpy() >= ABNORMAL_LEVEL, dtype=np.int64)
    networks: dict[str, ZoneProfusion] = {}
    found: dict[str, Probabilities] = {}
    for name, member in settings.members.items():
        networks[name] = _train(data, recipe, member, run=f"zones-{name}", places=places)
        fit = _FoldFit(data, recipe, member, name=name, places=places)
        found[name] = out_of_fold(fit, truth, data.bodies, classes=_CLASSES, folds=settings.folds, seed=recipe.seed)
    try:
        members = samme_weights(found, truth, classes=_CLASSES)
    except ValueError as error:
        raise FitError(f"{error}; train the members longer") from error
    return ZoneEnsemble(networks, members).eval()


class _FoldFit:
    """Trains a member on some zones and returns what gives its probabilities of others; counts its runs."""

    def __init__(
        self, data: ZoneSet, recipe: PneumoconiosisRecipe, member: ZoneNetwork, *, name: str, places: Places
    ) -> None:
        self._data, self._recipe, self._member, self._name, self._places = data, recipe, member, name, places
        self._runs = 0

    def __call__(self, trained: Indices) -> Callable[[Indices], Probabilities]:
        self._runs += 1
        run = f"zones-{self._name}-fold-{self._runs}"
        network = _train(
            self._data.where(self._chosen(trained)), self._recipe, self._member, run=run, places=self._places
        )
        return lambda held_out: _probabilities(network, self._data.where(self._chosen(held_out)))

    def _chosen(self, indices: Indices) -> NDArray[np.bool_]:
        chosen = np.zeros(len(self._data.levels), dtype=np.bool_)
        chosen[indices] = True
        return chosen


def _train(
    data: ZoneSet, recipe: PneumoconiosisRecipe, member: ZoneNetwork, *, run: str, places: Places
) -> ZoneProfusion:
    return train_zones(
        data, passes=recipe.fit.zones, seed=recipe.seed, run=Run(name=run, places=places), network=member
    )


def _probabilities(network: ZoneProfusion, data: ZoneSet) -> Probabilities:
    """Return the probabilities (N, 2) of "0/1 or less" and "1/0 or more"."""
    above = 1 / (1 + np.exp(-zone_logits(network, data)[0][:, ABNORMAL].astype(np.float64)))
    return np.stack([1 - above, above], axis=1)


def votes_table(ensemble: ZoneEnsemble, conditions: Mapping[str, ZoneSet], films: ZoneSet | None) -> str:
    """Return a Markdown table of the members, of what is read and of both votes, by condition.

    Parameters
    ----------
    conditions
        Phantoms: AUC and kappa of their zones, see `pneumoconiosis_training.zone_metrics`.
    films
        Real normal films, plain and with opacities drawn into them.
    """
    heads = [f"{name}: {figure}" for name in conditions for figure in ("AUC", "kappa")]
    heads += ["normal real films called"] if films else []
    lines = [f"| | {' | '.join(heads)} | out-of-fold error | weight |", f"|---|{'---|' * (len(heads) + 2)}"]
    networks = dict(zip(ensemble.names, ensemble.networks, strict=True))
    for member in ensemble.members:
        network = networks.get(member.name)
        cells = ["dropped"] * len(heads) if network is None else list(_figures(network, conditions, films))  # type: ignore[arg-type]
        lines.append(_row(member.name, [*cells, *_weight(member)]))
    lines.append(_row("weighted mean of the logits, which is read", [*_figures(ensemble, conditions, films), "-", "-"]))
    for title, output in (("soft vote", "probability"), ("hard vote", "vote")):
        cells = [cell for data in conditions.values() for cell in (_vote_auc(ensemble, data, output), "-")]
        lines.append(_row(title, [*cells, *(["-"] if films else []), "-", "-"]))
    return "\n".join(lines)


def _row(title: str, cells: list[str]) -> str:
    return f"| {title} | {' | '.join(cells)} |"


def _weight(member: Member) -> tuple[str, str]:
    return f"{member.error:.3f}", f"{member.alpha:.2f}"


def _figures(network: ZoneReader, conditions: Mapping[str, ZoneSet], films: ZoneSet | None) -> Iterator[str]:
    for data in conditions.values():
        measured = zone_metrics(*read_zones(network, data), data)
        yield from (f"{measured[name]:.3f}" for name in _FIGURES)
    if films:
        read = read_films(network, films)
        yield f"{int(read.called[read.clear].sum())} of {int(read.clear.sum())}"


def _vote_auc(ensemble: ZoneEnsemble, data: ZoneSet, output: str) -> str:
    """Return the AUC of a vote for "1/0 or more" against 0/0 or less."""
    index = ENSEMBLE_OUTPUTS.index(output)
    levels = data.levels.numpy()
    clear = (levels >= ABNORMAL_LEVEL) | (levels <= 1)
    with torch.no_grad():
        share = torch.cat([ensemble(part.float())[index][:, 1] for part in torch.split(data.tensors, 32)]).numpy()
    return f"{auc(share[clear].astype(np.float64), (levels >= ABNORMAL_LEVEL)[clear]):.3f}"
