# SPDX-License-Identifier: Apache-2.0
"""The feature selection layer of report 003: every input times one weight, |weight| its importance, most weights 0.

Without a hidden layer the weighted inputs are summed: a logistic regression with an L1 penalty, a convex problem that
is solved to its optimum. With one, the columns behind the layer have length 1, so that the weights alone carry the
scale.
"""

from dataclasses import dataclass

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.fusion.proximal import descend

_DECAY = 1e-2
"""Penalty of a hidden layer's output weights: without it they grow while the inputs' weights shrink for free."""


class SelectionNetwork(nn.Module):
    """Maps inputs (N, J) to logits (N,) through one multiplicative weight per input.

    Parameters
    ----------
    hidden
        Units of a layer behind the weights; 0 sums the weighted inputs.
    """

    def __init__(self, inputs: int, *, hidden: int = 0, seed: int = 0) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(seed)
        start = torch.full((inputs,), 0.1 if hidden else 0.0, dtype=torch.float64)
        self.weight = nn.Parameter(start)
        self.bias = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.hidden = hidden
        if hidden:
            draw = torch.randn(hidden, inputs, generator=random, dtype=torch.float64)
            self.directions = nn.Parameter(draw)
            self.offsets = nn.Parameter(torch.zeros(hidden, dtype=torch.float64))
            out = torch.randn(hidden, generator=random, dtype=torch.float64)
            self.out = nn.Parameter(out / hidden**0.5)

    def selected(self, inputs: Tensor) -> Tensor:
        """Return the weighted inputs (N, J)."""
        return inputs * self.weight

    def head(self, selected: Tensor) -> Tensor:
        """Return the logits (N,) of weighted inputs."""
        if not self.hidden:
            return selected.sum(dim=1) + self.bias
        directions = self.directions / self.directions.norm(dim=0, keepdim=True)
        return torch.tanh(selected @ directions.T + self.offsets) @ self.out + self.bias

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits (N,)."""
        return self.head(self.selected(inputs))

    @property
    def importance(self) -> Tensor:
        """Return |weight| (J,)."""
        return self.weight.detach().abs()


@dataclass(frozen=True, eq=False, slots=True)
class Data:
    """Standardised inputs (N, J) and targets (N,), float64."""

    inputs: Tensor
    target: Tensor

    @classmethod
    def of(cls, inputs: NDArray, target: NDArray) -> "Data":  # type: ignore[type-arg]
        """Take numpy arrays."""
        return cls(torch.from_numpy(inputs.astype("float64")), torch.from_numpy(target.astype("float64")))


def largest_penalty(data: Data) -> float:
    """Return the smallest L1 penalty at which every weight of the linear network is 0."""
    residual = data.target - data.target.mean()
    return (1 + 1e-9) * float((data.inputs.T @ residual).abs().max() / len(residual))  # above rounding


@dataclass(frozen=True, slots=True)
class Effort:
    """When to stop: at this proximal gradient, or after this many steps."""

    tolerance: float
    most_steps: int


_EXACT, _BOUNDED = Effort(1e-7, 5000), Effort(1e-3, 150)


def fit(network: SelectionNetwork, data: Data, *, penalty: float, effort: Effort | None = None) -> SelectionNetwork:
    """Minimise mean log-loss + penalty * sum |weight| in place, from where the network is; return it.

    A linear network is solved to its optimum. A hidden layer makes the problem non-convex: it ends in one of its
    hollows, the same for the same seed, and `effort` bounds the time.
    """
    parameters = list(network.parameters())  # the weights come first

    def smooth() -> Tensor:
        loss = nn.functional.binary_cross_entropy_with_logits(network(data.inputs), data.target)
        return loss + _DECAY / 2 * (network.out**2).sum() if network.hidden else loss

    chosen = effort or (_BOUNDED if network.hidden else _EXACT)
    descend(parameters, smooth, penalty=penalty, tolerance=chosen.tolerance, most_steps=chosen.most_steps)
    return network
