# SPDX-License-Identifier: Apache-2.0
"""Wrappers that put temperature and distances into the exported graph, where golden tensors hold them."""

from collections.abc import Iterable, Mapping
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.calibration.distance import TiedGaussian
from models.networks.depths import Depths, GivesDepths


def distance_name(depth: str) -> str:
    """Return the name of the graph output for a depth."""
    return f"distance_{depth}"


class GaussianDistance(nn.Module):
    """Maps features (N, D) to their distance (N,) from the nearest class of a `TiedGaussian`.

    Both are brought to where the covariance is 1 first, around the mean of all classes, so that float32 loses little.
    """

    centre: Tensor
    factor: Tensor
    means: Tensor

    def __init__(self, gaussian: TiedGaussian) -> None:
        super().__init__()
        centre = gaussian.means.mean(axis=0)
        self.register_buffer("centre", _float(centre))
        self.register_buffer("factor", _float(gaussian.factor.T))
        self.register_buffer("means", _float((gaussian.means - centre) @ gaussian.factor.T))

    def forward(self, features: Tensor) -> Tensor:
        """Return the distance (N,)."""
        whitened = torch.matmul(features - self.centre, self.factor)
        squares = ((whitened[:, None] - self.means) ** 2).sum(dim=2)
        nearest: Tensor = squares.amin(dim=1)
        return nearest.sqrt()


def _float(array: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))


class WithDistances(nn.Module):
    """A network whose outputs are followed by one distance (N,) for each depth, in the order of `gaussians`.

    Export it with `output_names=module.output_names(names)`, where `names` are those of the network alone.
    """

    def __init__(self, network: nn.Module, gaussians: Mapping[str, TiedGaussian]) -> None:
        super().__init__()
        self.network = network
        self.depths = tuple(gaussians)
        self.distances = nn.ModuleList(GaussianDistance(gaussian) for gaussian in gaussians.values())

    def output_names(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the names of all outputs."""
        return (*names, *(distance_name(depth) for depth in self.depths))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return (outputs of the network, distances)."""
        outputs, found = cast("GivesDepths", self.network).with_depths(image)
        distances = (measure(found[depth]) for depth, measure in zip(self.depths, self.distances, strict=True))
        return (*outputs, *distances)


class Tempered(nn.Module):
    """A classifier with outputs (probability, logits, ...) whose probability is softmax(logits / temperature).

    Logits and whatever explains them stay as they are.
    """

    def __init__(self, network: nn.Module, temperature: float) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return (probability, logits, ...)."""
        return self._tempered(self.network(image))

    def with_depths(self, image: Tensor) -> tuple[tuple[Tensor, ...], Depths]:
        """Return (outputs, pooled features by depth)."""
        outputs, depths = cast("GivesDepths", self.network).with_depths(image)
        return self._tempered(outputs), depths

    def _tempered(self, outputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        _, logits, *others = outputs
        return (torch.softmax(logits / self.temperature, dim=1), logits, *others)


@torch.no_grad()
def depth_features(network: nn.Module, batches: Iterable[Tensor]) -> dict[str, NDArray[np.float64]]:
    """Return the pooled features (N, D) by depth of all batches of images, for `fit_gaussian`."""
    network.eval()
    found = [cast("GivesDepths", network).with_depths(batch)[1] for batch in batches]
    return {depth: torch.cat([each[depth] for each in found]).double().numpy() for depth in found[0]}
