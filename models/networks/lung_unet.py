# SPDX-License-Identifier: Apache-2.0
"""A small U-Net that finds the right lung, the left lung and the heart on a whole frontal chest radiograph."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.depths import Depths, pooled


class LungUNet(nn.Module):
    """Maps a letter-boxed film (N, 1, 256, 256) in [0, 1] to probabilities (N, 3, 256, 256): right, left, heart.

    Any other size that 32 divides, and any other number of channels, serves what else is to be found on a film.

    `logits` is for training. Features start at half the resolution: a lung's border is not known better than 1.5 mm.
    """

    def __init__(self, widths: tuple[int, ...] = (8, 16, 32, 48, 64), channels: int = 3) -> None:
        super().__init__()
        self.stem = _convolution(1, widths[0], stride=2)
        self.down = nn.ModuleList(_block(a, b, stride=2) for a, b in pairwise(widths))
        self.up = nn.ModuleList(
            _block(deep + shallow, shallow) for deep, shallow in zip(widths[:1:-1], widths[-2:0:-1], strict=True)
        )
        self.up.append(_convolution(widths[1] + widths[0], widths[0]))
        self.out = nn.Conv2d(widths[0], channels, 1)

    def logits(self, film: Tensor) -> Tensor:
        """Return (N, 3, 256, 256) before the sigmoid."""
        return self._up(self._down(film))

    def with_depths(self, film: Tensor) -> tuple[tuple[Tensor, ...], Depths]:
        """Return (outputs, mean features at 1/4 of the resolution and at the lowest)."""
        features = self._down(film)
        depths = {"shallow": pooled(features[1]), "deep": pooled(features[-1])}
        return (self._up(features).sigmoid(),), depths

    def _down(self, film: Tensor) -> list[Tensor]:
        features = [self.stem(film)]
        for block in self.down:
            features.append(block(features[-1]))
        return features

    def _up(self, features: list[Tensor]) -> Tensor:
        *shallow, deep = features
        for block, skipped in zip(self.up, reversed(shallow), strict=True):
            deep = block(torch.cat([functional.interpolate(deep, scale_factor=2.0), skipped], dim=1))
        shown: Tensor = functional.interpolate(self.out(deep), scale_factor=2.0, mode="bilinear")
        return shown

    def forward(self, film: Tensor) -> Tensor:
        """Return probabilities."""
        return self.logits(film).sigmoid()


def _block(features: int, out: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_convolution(features, out, stride=stride), _convolution(out, out))


def _convolution(features: int, out: int, *, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(features, out, 3, stride=stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU())
