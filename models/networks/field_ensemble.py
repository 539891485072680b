# SPDX-License-Identifier: Apache-2.0
"""Several networks for fields that vote on every patch in one graph, with how far they agree."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Final

import torch
from torch import Tensor, nn

from models.ensemble import Member, combine, voters
from models.networks.depths import Depths
from models.networks.field import FieldClassifier

ENSEMBLE_OUTPUTS: Final = ("probability", "logits", "cam", "feature", "vote", "margin", "divergence")


class FieldEnsemble(nn.Module):
    """Fields (N, 1, H, W) in [0, 1] to the outputs of `ENSEMBLE_OUTPUTS`, a row for each of T patches.

    probability (T, K) is the soft vote, brought to a temperature: its power 1 / temperature, which keeps the order of
    the classes. vote (T, K) is the share of the weights that stand for each class (the hard weighted majority), margin
    (T,) the distance between the two most probable classes, divergence (T,) the Jensen-Shannon divergence of the
    members in nats. logits (T, K) are the weighted mean of the members', which their maps cam (T, K, 6, 6), weighed in
    the same way, decompose exactly; a mean of probabilities has no such maps. feature (T, D) and the depths are those
    of the member that weighs most.

    Parameters
    ----------
    networks
        Classifiers by name.
    members
        Their weights; those that are not kept do not enter the graph.
    """

    weights: Tensor

    def __init__(
        self, networks: Mapping[str, FieldClassifier], members: Sequence[Member], *, temperature: float = 1.0
    ) -> None:
        super().__init__()
        kept, weights = voters(networks, members)
        self.members = tuple(members)
        self.networks = nn.ModuleDict({member.name: networks[member.name] for member in kept})
        self.register_buffer("weights", weights)
        self.strongest = kept[int(weights.argmax())].name
        self.temperature = temperature

    def tempered(self, temperature: float) -> "FieldEnsemble":
        """Return the same members at another temperature."""
        other = copy(self)
        other.temperature = temperature
        return other

    def forward(self, fields: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs."""
        return self.with_depths(fields)[0]

    def with_depths(self, fields: Tensor) -> tuple[tuple[Tensor, ...], Depths]:
        """Return (outputs, pooled features by depth of the member that weighs most)."""
        found = {name: network.with_depths(fields) for name, network in self.networks.items()}  # type: ignore[operator]
        outputs = [each for each, _ in found.values()]
        weights = self.weights.to(fields.dtype)
        probabilities, logits, maps = (torch.stack([each[index] for each in outputs]) for index in range(3))
        vote, soft, _, divergence = combine(probabilities, weights)
        probability = self._at_temperature(soft)
        highest = probability.topk(2, dim=1).values
        (_, _, _, feature), depths = found[self.strongest]
        mean_logits = (weights[:, None, None] * logits).sum(dim=0)
        cam = (weights[:, None, None, None, None] * maps).sum(dim=0)
        margin = highest[:, 0] - highest[:, 1]
        return (probability, mean_logits, cam, feature, vote, margin, divergence), depths

    def _at_temperature(self, soft: Tensor) -> Tensor:
        return torch.softmax(soft.clamp(min=LEAST_PROBABILITY).log() / self.temperature, dim=1)


LEAST_PROBABILITY: Final = 1e-12
"""Below it a soft vote counts as this much, so that its logarithm is finite."""
