# SPDX-License-Identifier: Apache-2.0
"""From a table to a fusion network and what is known of it: split, penalty, fit, stability, held-out figures."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.fusion.evaluation import Auc, clustered_auc, split_patients
from models.fusion.missingness import Missingness, missingness
from models.fusion.path import Choice, Progress, Stability, choose_penalty, follow, stability
from models.fusion.preparation import Preparation, prepare
from models.fusion.selection import Data, SelectionNetwork, fit
from models.fusion.table import Table

_STABILITY_STEPS = 8
"""Stability is judged on this many penalties, from the one that selects nothing to the chosen one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to train: hidden units (0: none), parts of the split, seed, half-samples, bootstrap resamples."""

    hidden: int = 0
    parts: int = 4
    seed: int = 0
    half_samples: int = 50
    resamples: int = 2000


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Trained:
    """A network with its preparation, and what was measured."""

    preparation: Preparation
    network: SelectionNetwork
    choice: Choice
    stability: Stability
    missing: tuple[Missingness, ...]
    unseen: dict[str, int]
    auc: Auc
    training_auc: Auc
    training_rows: int
    training_patients: int
    held_out: Table

    @property
    def importance(self) -> NDArray[np.float64]:
        """|weight| of each input, (J,)."""
        return np.asarray(self.network.importance.numpy(), dtype=np.float64)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know before any figure."""
        unseen = [
            f"column {name!r}: {count} held-out rows have a word that no training row has; their inputs are 0"
            for name, count in self.unseen.items()
        ]
        nothing = [] if self.importance.any() else ["no input was selected: the score is the same for everybody"]
        return (*(each.warning() for each in self.missing if each.suspicious), *unseen, *nothing)


def train(table: Table, plan: Plan, *, progress: Progress) -> Trained:
    """Train on some patients and measure on the others.

    Raises
    ------
    ValueError
        Too few patients, or a column without values.
    """
    training, held_out = split_patients(table, parts=plan.parts, seed=plan.seed)
    choice = choose_penalty(training, hidden=plan.hidden, seed=plan.seed, progress=progress)
    progress("fit: all training patients")
    preparation = prepare(training)
    data = Data.of(preparation.transform(training), training.target)
    network = follow(data, choice.penalties[: choice.chosen + 1], hidden=plan.hidden, seed=plan.seed)[-1]
    fit(network, data, penalty=choice.penalty)
    path = np.geomspace(choice.penalties[0], choice.penalty, _STABILITY_STEPS)
    stable = stability(
        data,
        training.patients,
        path,
        hidden=plan.hidden,
        seed=plan.seed,
        progress=progress,
        samples=plan.half_samples,
    )
    progress("held-out patients: area under the ROC curve")
    return Trained(
        preparation=preparation,
        network=network,
        choice=choice,
        stability=stable,
        missing=missingness(training),
        unseen=preparation.unseen(held_out),
        auc=_auc(network, preparation, held_out, plan),
        training_auc=_auc(network, preparation, training, plan),
        training_rows=len(training.target),
        training_patients=len(set(training.patients.tolist())),
        held_out=held_out,
    )


def scores(network: SelectionNetwork, preparation: Preparation, table: Table) -> NDArray[np.float64]:
    """Return the logit of each row."""
    with torch.no_grad():
        return np.asarray(network(torch.from_numpy(preparation.transform(table))).numpy())


def _auc(network: SelectionNetwork, preparation: Preparation, table: Table, plan: Plan) -> Auc:
    found = scores(network, preparation, table)
    return clustered_auc(table.target, found, table.patients, seed=plan.seed, resamples=plan.resamples)
