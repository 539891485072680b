# SPDX-License-Identifier: Apache-2.0
"""Weighs several classifiers by their errors on cases they were not trained on, and votes, in one graph.

The weights are those of SAMME (Zhu 2009): alpha = ln((1 - e) / e) + ln(K - 1). The error e must be out of fold: deep
networks fit their training cases, and alpha would measure nothing but that.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn

from models.networks.depths import Depths, GivesDepths

OUTPUT_NAMES = ("vote", "probability", "margin", "divergence")
Probabilities = NDArray[np.floating]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One classifier's out-of-fold error, in [0, 1], and the weight that follows; kept when the weight is above 0."""

    name: str
    error: float
    alpha: float

    @property
    def kept(self) -> bool:
        """Whether it votes: below, it would be no better than guessing one of K classes."""
        return self.alpha > 0


def samme_weights(out_of_fold: Mapping[str, Probabilities], truth: Indices, *, classes: int) -> tuple[Member, ...]:
    """Weigh every member by its out-of-fold probabilities (cases, K) against the true classes (cases,).

    An error of 0 (or 1) would give an infinite weight: it counts as half a case.

    Raises
    ------
    ValueError
        Cases or classes do not fit, or no member is better than guessing; the message gives every error.
    """
    members = tuple(
        _weigh(name, probability, truth, classes=classes) for name, probability in sorted(out_of_fold.items())
    )
    if not any(member.kept for member in members):
        raise ValueError(f"no member is better than guessing among {classes} classes: {describe(members)}")
    return members


def _weigh(name: str, probability: Probabilities, truth: Indices, *, classes: int) -> Member:
    if probability.shape != (len(truth), classes):
        raise ValueError(f"member {name} has probabilities {probability.shape}, not {(len(truth), classes)}")
    error = float(np.mean(probability.argmax(axis=1) != truth))
    bounded = min(max(error, 0.5 / len(truth)), 1 - 0.5 / len(truth))
    return Member(name=name, error=error, alpha=math.log((1 - bounded) / bounded) + math.log(classes - 1))


def describe(members: Sequence[Member]) -> str:
    """Say each member's error and weight, and which were dropped, for a model card."""
    told = [
        f"{member.name}: out-of-fold error {member.error:.4f}, alpha {member.alpha:.4f}"
        + ("" if member.kept else " (dropped: not better than guessing)")
        for member in members
    ]
    return "; ".join(told)


def out_of_fold(
    fit: Callable[[Indices], Callable[[Indices], Probabilities]],
    truth: Indices,
    patients: NDArray[np.generic],
    *,
    classes: int,
    folds: int = 5,
    seed: int = 0,
) -> Probabilities:
    """Return probabilities (cases, K), each by a network that was trained without any case of the same patient.

    Parameters
    ----------
    fit
        Trains on the cases with these indices and returns what gives the probabilities of other cases.
    patients
        Patient of each case; a patient is in one fold only.
    """
    result = np.full((len(truth), classes), np.nan)
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(truth, truth, patients)
    for trained, held_out in split:
        result[held_out] = fit(trained)(held_out)
    return result


def voters(networks: Collection[str], members: Sequence[Member]) -> tuple[tuple[Member, ...], Tensor]:
    """Return the members that vote, and their weights float64 (members,), which add up to 1.

    Raises
    ------
    ValueError
        Nobody votes, or weights and networks, by name, are not of the same members.
    """
    kept = tuple(member for member in members if member.kept)
    if not kept or {member.name for member in members} != set(networks):
        raise ValueError(f"weights are for {describe(members) or 'nobody'}, networks are {', '.join(networks)}")
    alphas = torch.tensor([member.alpha for member in kept], dtype=torch.float64)
    return kept, alphas / alphas.sum()


class EnsembleGraph(nn.Module):
    """Maps images to (vote, probability, margin, divergence) by the weighted vote of its members.

    vote (N, K) is the share of the weights that stand for each class (hard weighted majority; its argmax is the
    reference result of AdaBoost), probability (N, K) the weighted mean of the members' (soft vote), margin (N,) the
    distance between the two most probable classes, divergence (N,) the Jensen-Shannon divergence of the members in
    nats: 0 when they agree, at most ln(members).

    Parameters
    ----------
    networks
        Classifiers by name, each from images (N, ...) to logits (N, K).
    members
        Their weights; those that are not kept do not enter the graph.
    """

    weights: Tensor

    def __init__(self, networks: Mapping[str, nn.Module], members: Sequence[Member]) -> None:
        super().__init__()
        kept, weights = voters(networks, members)
        self.names = tuple(member.name for member in kept)
        self.networks = nn.ModuleList(networks[name] for name in self.names)
        self.register_buffer("weights", weights)
        self.strongest = int(weights.argmax())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (vote, probability, margin, divergence)."""
        return self._voted([network(image) for network in self.networks])

    def with_depths(self, image: Tensor) -> tuple[tuple[Tensor, ...], Depths]:
        """Return (outputs, pooled features by depth of the member that weighs most)."""
        (own, *_), depths = cast("GivesDepths", self.networks[self.strongest]).with_depths(image)
        logits = [own if index == self.strongest else network(image) for index, network in enumerate(self.networks)]
        return self._voted(logits), depths

    def _voted(self, logits: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        each = torch.stack([found.softmax(dim=1) for found in logits])
        return combine(each, self.weights.to(each.dtype))


def combine(each: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return (vote, probability, margin, divergence) of probabilities (members, N, K); weights (members,) sum to 1."""
    share = weights[:, None, None]
    hard = nn.functional.one_hot(each.argmax(dim=2), each.shape[2]).to(each.dtype)
    vote, probability = (share * hard).sum(dim=0), (share * each).sum(dim=0)
    highest = probability.topk(2, dim=1).values
    divergence = _entropy(probability) - (weights[:, None] * _entropy(each)).sum(dim=0)
    return vote, probability, highest[:, 0] - highest[:, 1], divergence.clamp(min=0)


def _entropy(probability: Tensor) -> Tensor:
    """Return the entropy in nats over the last axis; p ln p is 0 at p = 0."""
    tiny = torch.finfo(probability.dtype).tiny
    return -(probability * probability.clamp(min=tiny).log()).sum(dim=-1)
