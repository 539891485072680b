# SPDX-License-Identifier: Apache-2.0
"""A small residual network that names the lung pattern of one patch and says from where, in one graph."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from models.networks.cam import CamHead
from models.networks.depths import Depths, pooled

_FIRST_BLOCK_END = 4
"""Layers of the backbone up to the first residual block, the stem's three included."""


class _Residual(nn.Module):
    """Two 3x3 convolutions, halving the size, with a 1x1 short cut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel_size=3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.short_cut = nn.Conv2d(inputs, outputs, kernel_size=1, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Halve height and width."""
        return torch.relu(self.body(x) + self.short_cut(x))


class PatchResNet(nn.Module):
    """Patches (N, 1, 48, 48) in [0, 1] to probability, logits, maps (N, K, 6, 6) and features (N, D).

    The maps decompose the logits exactly (see CamHead).
    """

    def __init__(self, classes: int, *, widths: tuple[int, ...] = (24, 48, 96)) -> None:
        super().__init__()
        stem = nn.Conv2d(1, widths[0], kernel_size=5, stride=2, padding=2, bias=False)
        blocks = [_Residual(low, high) for low, high in pairwise(widths)]
        self.backbone = nn.Sequential(stem, nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True), *blocks)
        self.head = CamHead(widths[-1], classes)

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return (probability, logits, cam, feature)."""
        return self._read(self.backbone(patches * 2 - 1))

    def with_depths(self, patches: Tensor) -> tuple[tuple[Tensor, ...], Depths]:
        """Return (outputs, mean features after the first residual block and the last)."""
        shallow = self.backbone[:_FIRST_BLOCK_END](patches * 2 - 1)
        deep = self.backbone[_FIRST_BLOCK_END:](shallow)
        return self._read(deep), {"shallow": pooled(shallow), "deep": pooled(deep)}

    def _read(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        logits, maps = self.head(features)
        return torch.softmax(logits, dim=1), logits, maps, features.mean(dim=(2, 3))
