# SPDX-License-Identifier: Apache-2.0
"""Accelerated proximal gradient steps (FISTA, Beck & Teboulle 2009) with backtracking and restart, for an L1 penalty.

The proximal step sets weights to exactly 0; a plain gradient of |w| never would.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class _Problem:
    """smooth(parameters) + penalty * |parameters[0]|_1, over one vector of all parameters."""

    def __init__(self, parameters: Sequence[nn.Parameter], smooth: Callable[[], Tensor], penalty: float) -> None:
        self._parameters, self._smooth, self._penalty = parameters, smooth, penalty
        self._penalised = parameters[0].numel()

    def start(self) -> Tensor:
        return torch.cat([parameter.detach().reshape(-1) for parameter in self._parameters])

    def put(self, point: Tensor) -> None:
        place = 0
        with torch.no_grad():
            for parameter in self._parameters:
                parameter.copy_(point[place : place + parameter.numel()].view(parameter.shape))
                place += parameter.numel()

    def value(self, point: Tensor) -> float:
        self.put(point)
        with torch.no_grad():
            return float(self._smooth())

    def gradient(self, point: Tensor) -> tuple[float, Tensor]:
        self.put(point)
        with torch.enable_grad():
            loss = self._smooth()
            parts = torch.autograd.grad(loss, list(self._parameters))
        return float(loss.detach()), torch.cat([part.reshape(-1) for part in parts])

    def proximal(self, point: Tensor, size: float) -> Tensor:
        weights = point[: self._penalised]
        shrunk = weights.sign() * (weights.abs() - self._penalty * size).clamp(min=0)
        return torch.cat([shrunk, point[self._penalised :]])

    def cost(self, point: Tensor) -> float:
        return self._penalty * float(point[: self._penalised].abs().sum())


def descend(
    parameters: Sequence[nn.Parameter],
    smooth: Callable[[], Tensor],
    *,
    penalty: float,
    tolerance: float,
    most_steps: int,
) -> int:
    """Minimise smooth() + penalty * |parameters[0]|_1 in place; return the number of steps.

    It ends when the proximal gradient's largest element is at most `tolerance`, or after `most_steps`.
    """
    problem = _Problem(parameters, smooth, penalty)
    point = problem.start()
    total = problem.value(point) + problem.cost(point)
    ahead, momentum, curvature = point, 1.0, 1.0
    for taken in range(1, most_steps + 1):
        trial, found, curvature = _step(problem, ahead, 0.9 * curvature)
        small = curvature * float((trial - ahead).abs().max()) <= tolerance
        new_total = found + problem.cost(trial)
        if new_total > total and ahead is not point:
            ahead, momentum = point, 1.0  # the momentum overshot: go on from the best point without it
            continue
        faster = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = trial + (momentum - 1) / faster * (trial - point)
        point, total, momentum = trial, new_total, faster
        if small or taken == most_steps:
            break
    problem.put(point)
    return taken


def _step(problem: _Problem, place: Tensor, curvature: float) -> tuple[Tensor, float, float]:
    """Return the proximal point, the smooth part there, and a curvature that bounds it from above."""
    loss, gradient = problem.gradient(place)
    while True:
        trial = problem.proximal(place - gradient / curvature, 1 / curvature)
        move = trial - place
        found = problem.value(trial)
        bound = loss + float(gradient @ move) + curvature / 2 * float(move @ move)
        if found <= bound + 1e-14 * max(1.0, abs(loss)):
            return trial, found, curvature
        curvature *= 2
