# SPDX-License-Identifier: Apache-2.0
"""The L1 path, the penalty that held-out patients choose, and how stable a selection is over half of the patients."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold

from models.fusion.preparation import prepare
from models.fusion.selection import Data, Effort, SelectionNetwork, fit, largest_penalty
from models.fusion.table import Table

Array = NDArray[np.float64]
Progress = Callable[[str], None]
_ROUGH = Effort(1e-6, 5000)
THRESHOLD = 0.75
"""Share of half-samples in which an input must be selected to be called stable."""


def penalties(data: Data, *, count: int = 12, smallest: float = 0.02) -> Array:
    """Return `count` penalties from the one that selects nothing down to `smallest` of it."""
    return np.asarray(largest_penalty(data) * np.geomspace(1, smallest, count))


def follow(data: Data, path: Array, *, hidden: int, seed: int) -> list[SelectionNetwork]:
    """Fit a network for each penalty; each starts where the one before ended.

    A network with a hidden layer is followed from the smallest penalty to the largest: from all weights 0 it would not
    move.
    """
    fitted: list[SelectionNetwork] = []
    for penalty in path[::-1] if hidden else path:
        network = SelectionNetwork(data.inputs.shape[1], hidden=hidden, seed=seed)
        if fitted:
            network.load_state_dict(fitted[-1].state_dict())
        fitted.append(fit(network, data, penalty=float(penalty), effort=None if hidden else _ROUGH))
    return fitted[::-1] if hidden else fitted


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Choice:
    """Held-out log-loss along the path: mean and standard error over folds; and which penalty was chosen."""

    penalties: Array
    mean: Array
    error: Array
    chosen: int

    @property
    def penalty(self) -> float:
        """The chosen penalty."""
        return float(self.penalties[self.chosen])


def choose_penalty(table: Table, *, hidden: int, seed: int, progress: Progress, folds: int = 5) -> Choice:
    """Choose the largest penalty whose held-out log-loss is within one standard error of the least.

    Everything, imputation too, is learnt on the other folds; a patient is in one fold alone.
    """
    preparation = prepare(table)
    path = penalties(Data.of(preparation.transform(table), table.target))
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(
        table.target, table.target, table.patients
    )
    losses = []
    for number, (trained, held_out) in enumerate(split):
        progress(f"penalty: fold {number + 1} of {folds}")
        losses.append(_held_out(table.rows(trained), table.rows(held_out), path, hidden=hidden, seed=seed))
    mean, error = np.mean(losses, axis=0), np.std(losses, axis=0, ddof=1) / np.sqrt(len(losses))
    best = int(mean.argmin())
    chosen = int(np.flatnonzero(mean <= mean[best] + error[best])[0])
    return Choice(penalties=path, mean=mean, error=error, chosen=chosen)


def _held_out(trained: Table, held_out: Table, path: Array, *, hidden: int, seed: int) -> Array:
    preparation = prepare(trained)
    networks = follow(Data.of(preparation.transform(trained), trained.target), path, hidden=hidden, seed=seed)
    inputs = torch.from_numpy(preparation.transform(held_out))
    with torch.no_grad():
        scores = [network(inputs).sigmoid().numpy() for network in networks]
    return np.array([log_loss(held_out.target, score, labels=[0, 1]) for score in scores])


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Stability:
    """How often (J,) an input was selected at any penalty of the path, over half-samples of patients."""

    frequency: Array
    mean_selected: float

    @property
    def stable(self) -> NDArray[np.bool_]:
        """Which inputs are stable, (J,)."""
        return self.frequency >= THRESHOLD

    @property
    def false_bound(self) -> float:
        """Bound on the expected number of stable inputs that mean nothing (Meinshausen & Buehlmann 2010).

        It holds if noise inputs are exchangeable and selection is no worse than guessing.
        """
        return self.mean_selected**2 / ((2 * THRESHOLD - 1) * len(self.frequency))


def stability(
    data: Data,
    patients: NDArray[np.str_],
    path: Array,
    *,
    hidden: int,
    seed: int,
    progress: Progress,
    samples: int = 50,
) -> Stability:
    """Select on `samples` random halves of the patients."""
    rng = np.random.default_rng([seed, 1])
    everyone = np.unique(patients)
    hits = np.zeros(data.inputs.shape[1])
    for number in range(samples):
        if number % 10 == 0:
            progress(f"stability: half-sample {number + 1} of {samples}")
        half = rng.permutation(everyone)[: len(everyone) // 2]
        rows = torch.from_numpy(np.flatnonzero(np.isin(patients, half)))
        networks = follow(Data(data.inputs[rows], data.target[rows]), path, hidden=hidden, seed=seed)
        hits += np.any([(network.importance > 0).numpy() for network in networks], axis=0)
    return Stability(frequency=hits / samples, mean_selected=float(hits.sum() / samples))
