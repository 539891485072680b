# SPDX-License-Identifier: Apache-2.0
"""Trains and reads fold by fold: a patient is never on both sides."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from models.experiments.report001.films import FilmSet
from models.experiments.report001.training import Effort, Reading, read, train

Index = NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class HeldOut:
    """What networks say of films that they were not trained on.

    `scores` (N,) probabilities of disease; `shuffled` (N,) those of the same patients on another scanner, or None;
    `sites` (N,) the site that a linear model reads from the network's features.
    """

    scores: NDArray[np.float64]
    shuffled: NDArray[np.float64] | None
    sites: NDArray[np.str_]


def patient_folds(films: FilmSet, *, folds: int, seed: int) -> list[tuple[Index, Index]]:
    """Return (trained, held out) by patient, each fold with its share of every label at every site.

    Raises
    ------
    ValueError
        Fewer patients with one of the labels than folds.
    """
    for label in (True, False):
        patients = len(np.unique(films.patients[films.labels == label]))
        if patients < folds:
            what = "with" if label else "without"
            raise ValueError(
                f"{patients} patients {what} disease, {folds} folds need at least one each; give more films"
            )
    strata = _strata(films, folds)
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return [(trained, held) for trained, held in split.split(strata, strata, films.patients)]


def _strata(films: FilmSet, folds: int) -> NDArray[np.str_]:
    """Return site and label of each film, or the label alone where any such pair has fewer films than folds."""
    label = np.where(films.labels, "+", "-")
    both = np.char.add(films.sites, label)
    return np.asarray(both if np.unique(both, return_counts=True)[1].min() >= folds else label)


def cross_validate(
    films: FilmSet, inputs: Tensor, effort: Effort, *, folds: int, shuffled: Tensor | None = None
) -> HeldOut:
    """Train once for each fold and read what it left out; `shuffled` are the same films, exposed otherwise."""
    labels = torch.from_numpy(films.labels.astype(np.int64))
    scores, again = np.full(len(films), np.nan), np.full(len(films), np.nan)
    sites = np.full(len(films), "", dtype=films.sites.dtype)
    for number, (trained, held) in enumerate(patient_folds(films, folds=folds, seed=effort.seed)):
        network = train(inputs[trained], labels[trained], replace(effort, seed=effort.seed + number))
        told = read(network, inputs[held], device=effort.device)
        scores[held] = told.scores
        sites[held] = _read_sites(read(network, inputs[trained], device=effort.device), films.sites[trained], told)
        if shuffled is not None:
            again[held] = read(network, shuffled[held], device=effort.device).scores
    return HeldOut(scores=scores, shuffled=None if shuffled is None else again, sites=sites)


def _read_sites(trained: Reading, sites: NDArray[np.str_], held: Reading) -> NDArray[np.str_]:
    """Predict the site of held-out films by a linear model on the network's features."""
    if len(np.unique(sites)) < 2:
        return np.full(len(held.scores), sites[0], dtype=sites.dtype)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, class_weight="balanced"))
    found: NDArray[np.str_] = model.fit(trained.features, sites).predict(held.features)
    return found


def leave_one_site_out(films: FilmSet, inputs: Tensor, effort: Effort, *, site: str) -> NDArray[np.float64]:
    """Return the scores of one site's films by a network that saw only the other sites'.

    Raises
    ------
    ValueError
        The other sites show one class alone.
    """
    held = films.sites == site
    seen = films.labels[~held]
    if not seen.any() or seen.all():
        raise ValueError(f"without site {site!r} one class is left; a network cannot be trained")
    labels = torch.from_numpy(films.labels.astype(np.int64))
    network = train(inputs[~held], labels[~held], effort)
    return read(network, inputs[held], device=effort.device).scores
