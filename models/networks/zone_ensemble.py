# SPDX-License-Identifier: Apache-2.0
"""Several readers of zones that vote on every zone in one graph, with how far they agree."""

from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from models.ensemble import Member, combine, voters
from models.networks.depths import Depths
from models.networks.zone_profusion import ABNORMAL, OUTPUT_NAMES, ZoneProfusion

ENSEMBLE_OUTPUTS: Final = (*OUTPUT_NAMES, "vote", "probability", "margin", "divergence")


class ZoneEnsemble(nn.Module):
    """Maps zones as `ZoneProfusion` does to the outputs of `ENSEMBLE_OUTPUTS`.

    profusion_logits (N, 11) and shape_logits (N, 6) are the weighted means of the members'; so is cam (N, 1, h, w),
    which therefore adds up to profusion_logits[:, ABNORMAL] exactly. Coarse maps repeat their cells until they have as
    many as the finest. feature (N, D) and the depths are those of the member that weighs most. The votes are on "1/0 or
    more", the second of two classes: vote (N, 2) is the share of the weights that stand for each, probability (N, 2)
    the weighted mean of the members' (no sigmoid of a mean), margin (N,) their distance, divergence (N,) the
    Jensen-Shannon divergence of the members in nats.

    Parameters
    ----------
    networks
        Readers by name.
    members
        Their weights; those that are not kept do not enter the graph.
    """

    weights: Tensor

    def __init__(self, networks: Mapping[str, ZoneProfusion], members: Sequence[Member]) -> None:
        super().__init__()
        kept, weights = voters(networks, members)
        self.members = tuple(members)
        self.names = tuple(member.name for member in kept)
        self.networks = nn.ModuleList(networks[name] for name in self.names)
        self.register_buffer("weights", weights)
        self.strongest = int(weights.argmax())
        cells_px = [networks[name].cell_px for name in self.names]
        self.times = tuple(px // min(cells_px) for px in cells_px)

    def forward(self, zone: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs."""
        return self.with_depths(zone)[0]

    def with_depths(self, zone: Tensor) -> tuple[tuple[Tensor, ...], Depths]:
        """Return (outputs, pooled features by depth of the member that weighs most)."""
        found = [network.with_depths(zone) for network in self.networks]  # type: ignore[operator]
        outputs = [each for each, _ in found]
        weights = self.weights.to(zone.dtype)
        profusion, shape = (_mean(weights, torch.stack([each[index] for each in outputs])) for index in range(2))
        cam = _mean(weights, torch.stack([_repeated(each[2], n) for each, n in zip(outputs, self.times, strict=True)]))
        (_, _, _, feature), depths = found[self.strongest]
        above = torch.stack([each[0][:, ABNORMAL].sigmoid() for each in outputs])
        votes = combine(torch.stack([1 - above, above], dim=2), weights)
        return (profusion, shape, cam, feature, *votes), depths

    def lower(self, amount: float) -> None:
        """Lower the cuts of every member, and with them every profusion logit, by an amount."""
        for network in self.networks:
            network.lower(amount)  # type: ignore[operator]


ZoneReader = ZoneProfusion | ZoneEnsemble
"""What reads the zones of a package."""


def _mean(weights: Tensor, each: Tensor) -> Tensor:
    """Return the weighted mean (N, ...) of (members, N, ...); the weights add up to 1."""
    return (weights.reshape(-1, *(1 for _ in each.shape[1:])) * each).sum(dim=0)


def _repeated(maps: Tensor, times: int) -> Tensor:
    """Repeat each cell of maps (N, 1, h, w) along both sides, which keeps their means."""
    rows, columns = maps.shape[2:]
    wide = maps[:, :, :, None, :, None].expand(-1, -1, rows, times, columns, times)
    return wide.reshape(-1, 1, rows * times, columns * times)
